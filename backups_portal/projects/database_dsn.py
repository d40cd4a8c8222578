"""URLs of main databases and their servers, and why one does not answer."""

import psycopg
from django.conf import settings

from backups_portal.lib.crypto import Keyring
from backups_portal.lib.loggers import get_logger
from backups_portal.projectdb.database_url import database_url
from backups_portal.projectdb.lock_holders import find_holder
from backups_portal.projects.models import DatabaseServer, Project
from backups_portal.ui.formats import day_and_time

log = get_logger(__name__)

SERVER_PURPOSE = "database server"
UNREACHABLE = "The project's database is not responding."
LOCKED = "Another session has locked the project's data."
PASSWORD_PURPOSE = "database password"  # noqa: S105 - names what is sealed, is no password


class ServerDownError(psycopg.OperationalError):
    """The server failed its last check, so connecting would only take long; or it was removed."""


def keyring() -> Keyring:
    """Return the installation's keys."""
    return Keyring.from_hex(settings.INSTALLATION_KEY)


def server_url(server: DatabaseServer) -> str:
    """Return the URL by which the portal makes databases on a server.

    Raises:
        ServerDownError: the server was removed, with its address.
        DecryptionError: the installation key is not the one that sealed the address.
    """
    if server.removed_at:
        raise ServerDownError("The database server was removed.")
    return keyring().open(server.sealed_url, SERVER_PURPOSE)


def check_key() -> None:
    """Make sure that this installation key sealed the servers' addresses.

    With another one, no token is found by its digest.

    Raises:
        DecryptionError: it is another one.
    """
    server = DatabaseServer.objects.filter(removed_at=None).first()
    if server is not None:
        server_url(server)


def answering_url(server: DatabaseServer) -> str:
    """Return the same URL, unless the server is known to be unreachable.

    Raises:
        ServerDownError: the server is unreachable; each statement would wait for it in vain.
    """
    if since := server.down_since:
        raise ServerDownError(
            f"The database server has not answered since {day_and_time(since)} UTC."
        )
    return server_url(server)


def admin_dsn(project: Project, *, statement_seconds: int | None = None) -> str:
    """Return the URL of a project's database for the role that made it.

    Args:
        statement_seconds: The server's time limit for a statement.

    Raises:
        ServerDownError: its server is known not to answer.
    """
    return database_url(
        answering_url(project.server),
        database=project.database,
        statement_seconds=statement_seconds,
    )


def project_dsn(project: Project, *, statement_seconds: int | None = None) -> str:
    """Return the URL of a project's database for the project's own role.

    Args:
        statement_seconds: The server's time limit for a statement.

    Raises:
        ServerDownError: its server is known not to answer.
    """
    return database_url(
        answering_url(project.server),
        database=project.database,
        user=project.role,
        password=keyring().open(project.sealed_password, PASSWORD_PURPOSE),
        statement_seconds=statement_seconds,
    )


def why_silent(project: Project, error: psycopg.Error) -> str:
    """Explain that a main database is unreachable, or locked by a session."""
    if not isinstance(error, psycopg.errors.LockNotAvailable):
        return UNREACHABLE
    return f"{LOCKED} {who_holds(project)}".strip() + " Then try again."


def who_holds(project: Project, *, of_rows: bool = False) -> str:
    """Tell owners who locks a project's tables; "" if unknown.

    Args: as `find_holder`.
    """
    try:
        # A role sees its own sessions in full; the role that made the database may see all of them.
        holder = find_holder(project_dsn(project), of_rows=of_rows)
        if holder is not None and holder.since is None:
            holder = find_holder(admin_dsn(project), of_rows=of_rows)
    except psycopg.Error:
        log.warning("the holder of a lock is not known", project=project.pk, exc_info=True)
        return ""
    if holder is None:
        return "The lock is gone by now."
    log.warning("a lock is held by %s", holder, project=project.pk)
    return f"The lock is held by {holder}. If that session hangs, end it."
