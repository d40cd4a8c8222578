"""The database servers that new projects are placed on."""

from django.conf import settings

from backups_portal.projectdb.provisioning import ProvisioningError
from backups_portal.projects.connections import SERVER_PURPOSE, keyring
from backups_portal.projects.models import DatabaseServer

DEFAULT_NAME = "main"


def open_server() -> DatabaseServer:
    """The server that takes the next project; the one of the settings when none is registered.

    Raises:
        ProvisioningError: servers are registered, and all are closed to new projects.
    """
    if not DatabaseServer.objects.exists():
        return register_server(DEFAULT_NAME, settings.PROJECT_DATABASE_URL)
    server = DatabaseServer.objects.filter(is_open=True).order_by("id").first()
    if server is None:
        raise ProvisioningError("No database server takes new projects at the moment.")
    return server


def register_server(name: str, url: str) -> DatabaseServer:
    """Let a PostgreSQL server hold main databases; one of that name gets the new URL."""
    server, _ = DatabaseServer.objects.update_or_create(
        name=name, defaults={"sealed_url": keyring().seal(url, SERVER_PURPOSE)}
    )
    return server
