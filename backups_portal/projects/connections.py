"""How the portal reaches main databases and their servers."""

from django.conf import settings

from backups_portal.lib.crypto import Keyring
from backups_portal.projectdb.connections import database_url
from backups_portal.projects.models import DatabaseServer, Project

SERVER_PURPOSE = "database server"
PASSWORD_PURPOSE = "database password"  # noqa: S105 - names what is sealed, is no password


def keyring() -> Keyring:
    """The installation's keys."""
    return Keyring.from_hex(settings.INSTALLATION_KEY)


def server_url(server: DatabaseServer) -> str:
    """The URL with which databases are made on this server."""
    return keyring().open(server.sealed_url, SERVER_PURPOSE)


def admin_dsn(project: Project) -> str:
    """The URL of a project's database for the role that made it."""
    return database_url(server_url(project.server), database=project.database)


def project_dsn(project: Project) -> str:
    """The URL of a project's database for the project's own role."""
    return database_url(
        server_url(project.server),
        database=project.database,
        user=project.role,
        password=keyring().open(project.sealed_password, PASSWORD_PURPOSE),
    )
