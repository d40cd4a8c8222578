"""Database servers: choosing one for the next project, and checking them."""

from contextlib import nullcontext
from datetime import datetime
from typing import NoReturn

import psycopg
from django.conf import settings
from django.db import transaction
from django.db.models import F, FloatField, Q, QuerySet
from django.db.models.functions import Cast
from django.utils import timezone

from backups_portal.audit.recorder import record
from backups_portal.lib import pgsession
from backups_portal.lib.addresses.url import without_secrets
from backups_portal.lib.crypto import DecryptionError
from backups_portal.lib.failure_causes import Cause
from backups_portal.lib.loggers import get_logger
from backups_portal.lib.thread_pool import run_parallel
from backups_portal.projectdb.provisioning import ProvisioningError
from backups_portal.projects.database_dsn import (
    SERVER_PURPOSE,
    ServerDownError,
    keyring,
    server_url,
)
from backups_portal.projects.errors import ServerRefusedError
from backups_portal.projects.models import SEEN_COUNTS_FOR, DatabaseServer, Project
from backups_portal.ui.formats import count

log = get_logger(__name__)

DEFAULT_NAME = "main"
# A server that takes longer to accept a connection is useless.
CHECK_SECONDS = 5
CHECKS_AT_ONCE = 16
READ_ONLY = "It accepts no changes: it is a replica, or set to read-only."
# Missing databases that a refusal names.
NAMED = 5


def choose_server(name: str = "") -> DatabaseServer:
    """Choose the server of the next project: by name, or the emptiest.

    Load is counted in projects for each unit of weight. If no server is registered, this registers
    the one in the settings.

    Raises:
        ProvisioningError: no server has that name, or it, or all of them, are closed, full or
            unreachable; its cause is a ServerDownError if an unreachable server would take it.
    """
    if not DatabaseServer.objects.exists():
        register_server(DEFAULT_NAME, settings.PROJECT_DATABASE_URL)
    servers = DatabaseServer.objects.with_load()
    if name:
        servers = servers.filter(name=name)
        if not servers.exists():
            raise ProvisioningError(f"There is no database server “{name}”.", cause=Cause.REMOVED)
    with_room = servers.filter(Q(max_projects=None) | Q(max_projects__gt=F("held")), is_open=True)
    load = (F("held") + 1) / Cast("weight", FloatField())
    server = with_room.exclude(_away(timezone.now())).order_by(load, "id").first()
    if server is None:
        _refuse(name, away=with_room.first())
    return server


def _refuse(name: str, *, away: DatabaseServer | None) -> NoReturn:
    """Explain why no server takes a project; `away` would, if it answered."""
    named = f"The database server “{name}” is not"
    if away is None:
        none = named if name else "No database server is"
        raise ProvisioningError(f"{none} accepting new projects right now.", cause=Cause.NO_ROOM)
    none = named if name else "No database server with room is"
    raise ProvisioningError(
        f"{none} responding right now.", cause=Cause.DATABASE_UNREACHABLE
    ) from ServerDownError(away.trouble)


def register_server(name: str, url: str) -> DatabaseServer:
    """Register a PostgreSQL server, or give one of that name a new URL.

    Args:
        url: Its role must have the right to create databases and roles.
    """
    server, _ = DatabaseServer.objects.update_or_create(
        name=name, defaults={"sealed_url": keyring().seal(url, SERVER_PURPOSE)}
    )
    return server


@transaction.atomic
def remove_server(name: str) -> None:
    """Remove a closed server without projects from all lists.

    Its data is not touched.

    Raises:
        ServerRefusedError: it is open, holds a project, or is unknown; the sentence says which.
    """
    server = DatabaseServer.objects.select_for_update().filter(name=name).first()
    if server is None:
        raise ServerRefusedError(f"There is no database server “{name}”.")
    if server.is_open:
        raise ServerRefusedError(
            f"“{name}” accepts new projects. Close it first: `database_servers set {name} --close`."
        )
    if held := Project.objects.with_database().filter(server=server).count():
        them, their = ("it", "its") if held == 1 else ("them", "their")
        raise ServerRefusedError(
            f"“{name}” holds {count(held, 'project')}. Restore {them} on another server, and shut "
            f"{them} down here: “{name}” can be removed once {their} grace period is over."
        )
    DatabaseServer.objects.filter(pk=server.pk).update(removed_at=timezone.now(), sealed_url=b"")
    record(action="server.removed", actor=None, subject=name)


def check_address(name: str, url: str) -> None:
    """Make sure that a URL leads to a server's databases, as their owner.

    Args:
        name: The server's name, which need not be registered yet.

    Raises:
        ServerRefusedError: it does not, or leads to a server registered under another name.
        psycopg.Error: the server refuses the connection, or does not answer.
    """
    projects = Project.objects.with_database()
    held = set(projects.filter(server__name=name).values_list("database", flat=True))
    with pgsession.connect(url, connect_timeout=CHECK_SECONDS) as connection:
        rows = connection.execute(
            "SELECT datname, pg_has_role(datdba, 'USAGE') FROM pg_database"
        ).fetchall()
        started = _started_at(connection)
    missing = sorted(held - {str(database) for database, is_owned in rows if is_owned})
    if missing:
        shown = ", ".join(missing[:NAMED]) + (" …" if len(missing) > NAMED else "")
        they = "is not there, or belongs" if len(missing) == 1 else "are not there, or belong"
        raise ServerRefusedError(
            f"{len(missing)} of {count(len(held), 'database')} of “{name}” {they} to another role: "
            f"{shown}."
        )
    # Under two names, a server would have twice its limits and be chosen twice as often.
    others = projects.exclude(server__name=name).filter(database__in=[row[0] for row in rows])
    if other := others.values_list("server__name", flat=True).first():
        raise ServerRefusedError(f"The databases of “{other}” are there: it is the same server.")
    empty = DatabaseServer.objects.exclude(name=name).exclude(pk__in=projects.values("server"))
    for one in empty:
        if _is_same(one, started):
            raise ServerRefusedError(f"“{one}” is the same server.")


def _is_same(server: DatabaseServer, started: object) -> bool:
    try:
        with pgsession.connect(server_url(server), connect_timeout=CHECK_SECONDS) as connection:
            return _started_at(connection) == started
    except psycopg.Error:
        # A server that does not answer cannot be the one that just did.
        return False


def _started_at(connection: psycopg.Connection) -> object:
    """Return when a server was started, to the microsecond, to identify it.

    Its system identifier needs extra rights, and cloned machines share it.
    """
    return connection.execute("SELECT pg_postmaster_start_time()").fetchone()


def check_servers() -> dict[str, str]:
    """Check all servers in parallel; return each one's error by name, or ""."""
    servers = list(DatabaseServer.objects.order_by("name"))
    found = run_parallel(
        servers,
        lambda _, server: _trouble(server),
        workers=CHECKS_AT_ONCE,
        resource=lambda: nullcontext(None),
    )
    now = timezone.now()
    for server, trouble in zip(servers, found, strict=True):
        _note(server, trouble, now)
    return {server.name: trouble for server, trouble in zip(servers, found, strict=True)}


def away_servers(now: datetime) -> QuerySet[DatabaseServer]:
    """Return the servers that did not answer the last check."""
    return DatabaseServer.objects.filter(_away(now))


def _away(now: datetime) -> Q:
    return Q(unreachable_since__isnull=False, checked_at__gt=now - SEEN_COUNTS_FOR)


def _trouble(server: DatabaseServer) -> str:
    """Return why a server cannot be used, "" if it can."""
    try:
        with pgsession.connect(server_url(server), connect_timeout=CHECK_SECONDS) as connection:
            row = connection.execute("SHOW transaction_read_only").fetchone()
    except DecryptionError as error:
        # Counting it as away keeps it from new projects, whose passwords the wrong key would seal.
        return str(error)
    except psycopg.Error as error:
        # Older versions stored addresses unchecked, and libpq repeats a malformed one with its
        # password.
        return without_secrets(str(error).strip()) or type(error).__name__
    return READ_ONLY if row == ("on",) else ""


@transaction.atomic
def _note(server: DatabaseServer, trouble: str, now: datetime) -> None:
    """Store the result of a check; log and audit a change."""
    rows = DatabaseServer.objects.filter(pk=server.pk)
    # Read again: with two beats, another check may have stored the change meanwhile.
    known = rows.select_for_update(no_key=True).values_list("unreachable_since", flat=True)
    if not known:
        # The server was removed meanwhile.
        return
    was_away = known[0] is not None
    since = (known[0] or now) if trouble else None
    rows.update(checked_at=now, unreachable_since=since, trouble=trouble)
    if trouble and not was_away:
        log.error("database server does not answer: %s", trouble, server=server.name)
        record(action="server.away", actor=None, subject=server.name)
    elif was_away and not trouble:
        log.info("database server answers again", server=server.name)
        record(action="server.back", actor=None, subject=server.name)
