"""The portal's own database, as the API asks it on the way of every request."""

import time
from functools import cache

import psycopg
from django.db import connection
from psycopg import sql

from backups_portal.api.pools import has_news
from backups_portal.projects.models import Project

# How long a request may take from an earlier one which project a token is of: so long may tokens
# work after their project was shut down. Tokens themselves are looked up by every request.
SECONDS = 1.0
MOST_KNOWN = 1000

_known: dict[str, tuple[float, Project]] = {}


def running_project_of(prefix: str, *, anew: bool = False) -> Project | None:
    """The running project whose tokens and ids begin with these 8 hex digits.

    Args:
        anew: Ask the database, however short the last time is ago.
    """
    found = _known.get(prefix)
    if found and not anew and time.monotonic() - found[0] < SECONDS:
        return found[1]
    project = _read(prefix)
    if project is None:
        _known.pop(prefix, None)
        return None
    if len(_known) >= MOST_KNOWN:
        forget()
    _known[prefix] = time.monotonic(), project
    return project


def forget() -> None:
    """Ask anew about every project."""
    _known.clear()


@cache
def _fields() -> tuple[list[str], bytes]:
    """The fields of a project, and the statement that reads them of the one with a prefix."""
    fields = Project._meta.concrete_fields
    statement = sql.SQL("SELECT {} FROM {} WHERE prefix = %s AND state = %s").format(
        sql.SQL(", ").join(sql.Identifier(str(field.column)) for field in fields),
        sql.Identifier(Project._meta.db_table),
    )
    # Rendered once, and not with each request.
    return [str(field.attname) for field in fields], statement.as_bytes()


def _read(prefix: str) -> Project | None:
    # Putting the query together would take the ORM longer than PostgreSQL takes to answer it.
    names, statement = _fields()
    connection.ensure_connection()
    with psycopg.Cursor(connection.connection) as cursor:
        row = cursor.execute(statement, [prefix, Project.State.ACTIVE]).fetchone()
    return Project.from_db("default", names, row) if row else None


def leave_if_ended() -> None:
    """Let go of a connection that the server has ended, so that the request opens another.

    Django's own check is a statement in each request. This looks at the socket.
    """
    open_one = connection.connection
    if open_one is None or connection.in_atomic_block:
        return
    if open_one.closed or has_news(open_one):
        connection.close()
