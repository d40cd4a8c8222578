"""Databases of projects: made from a template, entered by one role, dropped without trace."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
from psycopg import sql

from backups_portal.lib.causes import Cause, driver_cause
from backups_portal.projectdb.catalogue import SCHEMA_VERSION
from backups_portal.projectdb.connections import database_url

SCHEMA = Path(__file__).with_name("schema.sql")
LEDGER = Path(__file__).with_name("ledger.sql")
# Holds every right on the template's tables; each project's role is a member of it and can
# connect to its own database only.
GROUP_ROLE = "backups_portal_projects"
# How often the server and each client hash a role's password, against those who guess. Nobody
# guesses 24 random bytes, and 4,096 times took half of every connection: 5 of 10 ms.
ITERATIONS, ITERATIONS_SINCE = "1", 160_000
# Any number will do, as long as it is ours: "bp" in ASCII.
TEMPLATE_LOCK = 0x6270
# Of pairs, with a prefix: "bd".
DROP_LOCK = 0x6264


class ProvisioningError(Exception):
    """A database could not be made; the sentence is fit for a page."""

    def __init__(self, message: str, *, cause: Cause) -> None:
        super().__init__(message)
        self.cause = cause


@dataclass(frozen=True)
class Provisioned:
    """A new main database and the role that enters it."""

    database: str
    role: str
    password: str


def template_name() -> str:
    """The template of this schema: its name changes when the schema does."""
    schema = SCHEMA.read_bytes() + LEDGER.read_bytes()
    return f"bp_template_{hashlib.sha256(schema).hexdigest()[:10]}"


def database_name(prefix: str) -> str:
    """The name of the database, and of the role, of the project with this prefix."""
    return f"bp_{prefix}"


@contextmanager
def on_server(
    url: str, *, connect_timeout: int = 10
) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    """A connection to the server, for statements that refuse to run inside a transaction."""
    with psycopg.connect(url, autocommit=True, connect_timeout=connect_timeout) as connection:
        yield connection


def prepare_server(url: str) -> None:
    """Make the group role and this schema's template on a server; safe to repeat and to race.

    Raises:
        psycopg.Error: the server cannot be reached or refuses.
    """
    with on_server(url) as connection:
        if _exists(connection, template_name()):
            return
        connection.execute("SELECT pg_advisory_lock(%s)", [TEMPLATE_LOCK])
        if not _exists(connection, template_name()):
            _create_template(connection, url)


def _exists(connection: psycopg.Connection[tuple[object, ...]], database: str) -> bool:
    query = "SELECT 1 FROM pg_database WHERE datname = %s"
    return connection.execute(query, [database]).fetchone() is not None


def _create_template(connection: psycopg.Connection[tuple[object, ...]], url: str) -> None:
    group = connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [GROUP_ROLE])
    if group.fetchone() is None:
        connection.execute(sql.SQL("CREATE ROLE {} NOLOGIN").format(sql.Identifier(GROUP_ROLE)))
    # Filled under another name and renamed, so that a half-made template is never used.
    draft = sql.Identifier(f"{template_name()}_draft")
    connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(draft))
    connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(draft))
    with psycopg.connect(database_url(url, database=f"{template_name()}_draft")) as inside:
        inside.execute(SCHEMA.read_bytes())
        inside.execute(LEDGER.read_bytes())
        _grant(inside)
    connection.execute(
        sql.SQL("ALTER DATABASE {} RENAME TO {}").format(draft, sql.Identifier(template_name()))
    )


def _grant(inside: psycopg.Connection[tuple[object, ...]]) -> None:
    for statement in (
        "GRANT USAGE ON SCHEMA public TO {}",
        "GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA public TO {}",
        "GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA public TO {}",
    ):
        inside.execute(sql.SQL(statement).format(sql.Identifier(GROUP_ROLE)))


def ensure_ledger(inside: psycopg.Connection[tuple[object, ...]]) -> None:
    """Give a main database made by an older version the ledger of transfers.

    Args:
        inside: Opened by the role that made the database.
    """
    found = inside.execute("SELECT to_regclass('transfer_resource')").fetchone()
    if found is None or found[0] is None:
        with inside.transaction():
            inside.execute("SELECT pg_advisory_xact_lock(%s)", [TEMPLATE_LOCK])
            inside.execute(LEDGER.read_bytes())
            _grant(inside)


def create_database(
    url: str, *, prefix: str, password: str, project_name: str, made_by: str = ""
) -> Provisioned:
    """A new main database on the server behind `url`, with a role that enters no other one.

    Args:
        url: The server, with a role that may create databases and roles.
        prefix: 8 hex digits that are no other project's.
        password: Of the new role.
        made_by: Whose it is until it is settled (`settle_database`): written on the role together
            with the time, so that `unsettled` finds what its maker did not live to write down.

    Raises:
        ProvisioningError: the server cannot be reached, is full, or refuses.
    """
    name = database_name(prefix)
    try:
        prepare_server(url)
        with on_server(url) as connection:
            _close_to_the_public(connection)
            with connection.transaction():
                create_role(connection, name, password)
                if made_by:
                    _comment(connection, name, f"{_mark(made_by)}{datetime.now(UTC).isoformat()}")
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY wal_log").format(
                    sql.Identifier(name), sql.Identifier(template_name())
                )
            )
            for statement in (
                "REVOKE CONNECT, TEMPORARY ON DATABASE {name} FROM PUBLIC",
                "GRANT CONNECT ON DATABASE {name} TO {name}",
            ):
                connection.execute(sql.SQL(statement).format(name=sql.Identifier(name)))
        with psycopg.connect(database_url(url, database=name)) as inside:
            inside.execute(
                "INSERT INTO instance (prefix, schema_version) VALUES (%s, %s)",
                [prefix, SCHEMA_VERSION],
            )
            inside.execute("INSERT INTO profile (name) VALUES (%s)", [project_name])
            inside.execute("INSERT INTO run_settings (name) VALUES (%s)", [project_name])
    except psycopg.errors.DiskFull as error:
        raise ProvisioningError(
            "The database server has no space left.", cause=Cause.NO_ROOM
        ) from error
    except psycopg.Error as error:
        raise ProvisioningError(
            f"The database server could not create the database: {error}",
            cause=driver_cause(error),
        ) from error
    return Provisioned(database=name, role=name, password=password)


def create_role(
    connection: psycopg.Connection[tuple[object, ...]], name: str, password: str
) -> None:
    """A role that may enter what it is granted, with the rights of projects on their tables.

    Args:
        password: Of random bytes, and not one that somebody thought of: it is hashed once.
    """
    if connection.info.server_version >= ITERATIONS_SINCE:
        connection.execute("SELECT set_config('scram_iterations', %s, false)", [ITERATIONS])
    connection.execute(
        sql.SQL("CREATE ROLE {} LOGIN PASSWORD {} IN ROLE {}").format(
            sql.Identifier(name), sql.Literal(password), sql.Identifier(GROUP_ROLE)
        )
    )


def settle_database(url: str, *, prefix: str) -> None:
    """It is written down in the catalogue: `unsettled` names it no more.

    Raises:
        psycopg.Error: the server cannot be reached or refuses.
    """
    with on_server(url) as connection:
        _comment(connection, database_name(prefix), None)


def unsettled(url: str, *, made_by: str, older_than: timedelta) -> list[str]:
    """Prefixes of databases, or of roles without one, that were begun so long ago and not settled.

    Only what `made_by` began itself: another installation may use the same server.

    Raises:
        psycopg.Error: the server cannot be reached.
    """
    latest = datetime.now(UTC) - older_than
    with on_server(url) as connection:
        rows = connection.execute(
            """SELECT substr(rolname, 4), shobj_description(oid, 'pg_authid') FROM pg_roles
               WHERE rolname ~ '^bp_[0-9a-f]{8}$'
                 AND starts_with(shobj_description(oid, 'pg_authid'), %s)""",
            [_mark(made_by)],
        ).fetchall()
    begun = {
        str(prefix): datetime.fromisoformat(str(comment).removeprefix(_mark(made_by)))
        for prefix, comment in rows
    }
    return sorted(prefix for prefix, moment in begun.items() if moment < latest)


def _mark(made_by: str) -> str:
    return f"being made by {made_by} since "


def _comment(
    connection: psycopg.Connection[tuple[object, ...]], role: str, text: str | None
) -> None:
    connection.execute(
        sql.SQL("COMMENT ON ROLE {} IS {}").format(sql.Identifier(role), sql.Literal(text))
    )


def _close_to_the_public(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    """Take PUBLIC's right to connect from every database that this role may change."""
    rows = connection.execute(
        """SELECT datname FROM pg_database
           WHERE pg_has_role(datdba, 'MEMBER') AND datname <> 'template0'
             AND (datacl IS NULL OR EXISTS (
                 SELECT FROM aclexplode(datacl)
                 WHERE grantee = 0 AND privilege_type = 'CONNECT'))"""
    ).fetchall()
    for (name,) in rows:
        try:
            connection.execute(
                sql.SQL("REVOKE CONNECT ON DATABASE {} FROM PUBLIC").format(
                    sql.Identifier(str(name))
                )
            )
        except psycopg.errors.InternalError_ as error:
            # Another provisioning did the same at the same time: the outcome is the same.
            if "concurrently updated" not in str(error):
                raise


def drop_database(url: str, *, prefix: str) -> None:
    """Remove the database and the role of a prefix; nothing happens where there are none.

    Several may do it at once: who ends a proof, and a tick that has found its database.

    Raises:
        psycopg.Error: the server cannot be reached or refuses.
    """
    name = sql.Identifier(database_name(prefix))
    with on_server(url) as connection:
        # Of two that drop a role at once, PostgreSQL tells one that it could not find its row.
        number = int.from_bytes(bytes.fromhex(prefix), signed=True)
        connection.execute("SELECT pg_advisory_lock(%s, %s)", [DROP_LOCK, number])
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))
        connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(name))
