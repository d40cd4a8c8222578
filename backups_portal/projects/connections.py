"""How the portal reaches main databases and their servers."""

import psycopg
from django.conf import settings

from backups_portal.lib.crypto import Keyring
from backups_portal.projectdb.connections import database_url
from backups_portal.projects.models import DatabaseServer, Project

SERVER_PURPOSE = "database server"
PASSWORD_PURPOSE = "database password"  # noqa: S105 - names what is sealed, is no password


class ServerDownError(psycopg.OperationalError):
    """The server did not answer when it was looked at last; asking it would only take long."""


def keyring() -> Keyring:
    """The installation's keys."""
    return Keyring.from_hex(settings.INSTALLATION_KEY)


def server_url(server: DatabaseServer) -> str:
    """The URL with which databases are made on this server."""
    return keyring().open(server.sealed_url, SERVER_PURPOSE)


def admin_dsn(project: Project) -> str:
    """The URL of a project's database for the role that made it.

    Raises:
        ServerDownError: its server is known not to answer.
    """
    return database_url(_answering(project.server), database=project.database)


def project_dsn(project: Project, *, statement_seconds: int | None = None) -> str:
    """The URL of a project's database for the project's own role.

    Args:
        statement_seconds: After so long the server itself ends a statement.

    Raises:
        ServerDownError: its server is known not to answer.
    """
    return database_url(
        _answering(project.server),
        database=project.database,
        user=project.role,
        password=keyring().open(project.sealed_password, PASSWORD_PURPOSE),
        statement_seconds=statement_seconds,
    )


def _answering(server: DatabaseServer) -> str:
    """Its URL; without waiting for a server that is away, which would keep others waiting too."""
    if since := server.down_since:
        raise ServerDownError(
            f"The database server has not answered since {since:%Y-%m-%d %H:%M} UTC."
        )
    return server_url(server)
