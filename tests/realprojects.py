"""Projects with real main databases, which the caller drops."""

from django.conf import settings

from backups_portal.accounts.models import Account
from backups_portal.projects.database_dsn import project_dsn
from backups_portal.projects.models import Project
from backups_portal.projects.project_creation import BackupSettings, create_project
from backups_portal.projects.servers import DEFAULT_NAME, register_server
from restores.snapshot_loader import Target
from tests.projectdatabases import add_device, add_rows, open_database


def make_project(name: str, owner: Account, schedule: BackupSettings, *, rows: int = 0) -> Project:
    """Make a project whose main database has one device and a day's readings."""
    register_server(DEFAULT_NAME, settings.PROJECT_DATABASE_URL)
    project = create_project(name=name, owner=owner, settings=schedule)
    with open_database(database_of(project)) as connection:
        add_device(connection)
        add_rows(connection, 0, rows)
    return project


def database_of(project: Project) -> Target:
    """Return a project's main database."""
    return Target(project_dsn(project), project.prefix)
