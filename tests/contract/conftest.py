"""Two projects on a live server, for official clients.

The server and the projects serve all tests of this package; each test finds the projects empty.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, time

import psycopg
import pytest
from django.core.management import call_command
from django.test import override_settings
from pytest_django import DjangoDbBlocker

from backups_portal.projectdb.database_url import database_url
from backups_portal.projectdb.provisioning import drop_database
from backups_portal.projectdb.tokens import TokenGrant, create_token
from backups_portal.projects.database_dsn import keyring, project_dsn, server_url
from backups_portal.projects.models import Membership, Project
from backups_portal.projects.project_creation import BackupSettings, create_project
from restores.models import Restore
from restores.restore_run import run_restore
from snapshots.models import Snapshot
from snapshots.run.snapshot_run import take
from tests.conftest import database_of_this_test
from tests.contract.server import running_api
from tests.factories import make_account, make_restore, make_snapshot
from tests.tagoio_api.conftest import EMPTYING

SETTINGS = BackupSettings(time(3), "UTC", 7, datetime(2026, 3, 1, 3, tzinfo=UTC))


@dataclass(frozen=True)
class Endpoint:
    """A project's URL and tokens, as its owner gives them to a client."""

    url: str
    token: str
    dsn: str
    project: Project


@pytest.fixture(scope="package")
def api_url(
    django_db_setup: None,
    django_db_blocker: DjangoDbBlocker,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[str]:
    """The base URL of a running API, on the test database and a separate storage."""
    folder = tmp_path_factory.mktemp("contract")
    storage = f"file://{folder / 'snapshots'}"
    with django_db_blocker.unblock(), override_settings(SNAPSHOT_STORAGE=storage):
        environment = {"SNAPSHOT_STORAGE": storage, **database_of_this_test()}
        with running_api(environment, folder / "api.log") as url:
            yield url
        call_command("flush", interactive=False, verbosity=0)


@pytest.fixture(scope="package")
def _projects(api_url: str) -> Iterator[list[Project]]:
    owner = make_account()
    projects = [
        create_project(name=name, owner=owner, settings=SETTINGS) for name in ("Old", "New")
    ]
    yield projects
    for project in Project.objects.select_related("server"):
        drop_database(server_url(project.server), prefix=project.prefix)


@pytest.fixture
def transactional_db() -> None:
    """Replace pytest-django's fixture: rows stay for the tests of the package, see `api_url`.

    pytest-django recognises by this name that these tests need the database.
    """


@pytest.fixture
def endpoints(
    transactional_db: None, api_url: str, _projects: list[Project]
) -> tuple[Endpoint, Endpoint]:
    """Two empty projects of one owner."""
    old, new = (_emptied(api_url, project) for project in _projects)
    return old, new


def _emptied(url: str, project: Project) -> Endpoint:
    Restore.objects.filter(snapshot__project=project).delete()
    Snapshot.objects.filter(project=project).delete()
    Membership.objects.filter(project=project).exclude(role=Membership.Role.OWNER).delete()
    with psycopg.connect(
        database_url(server_url(project.server), database=project.database)
    ) as server:
        # A project's own role may not write the tables that describe the database itself.
        server.execute(EMPTYING)
    with psycopg.connect(project_dsn(project)) as connection:
        connection.execute("UPDATE profile SET settings = '{}', logo_url = NULL")
        connection.execute("UPDATE run_settings SET settings = '{}'")
        return endpoint(url, project, connection)


def restored(backed_up: Endpoint) -> Endpoint:
    """A new project restored from a backup of another one."""
    snapshot = make_snapshot(backed_up.project, state=Snapshot.State.QUEUED)
    take(snapshot.pk)
    restore = make_restore(snapshot, requested_by=backed_up.project.created_by)
    run_restore(restore.pk)
    restore.refresh_from_db()
    assert restore.project, restore.reason
    with psycopg.connect(project_dsn(restore.project)) as connection:
        return endpoint(backed_up.url, restore.project, connection)


def endpoint(
    url: str, project: Project, connection: "psycopg.Connection[tuple[object, ...]]"
) -> Endpoint:
    """Return a project with a new profile token."""
    token = create_token(connection, TokenGrant("profile", name="Migration"), keys=keyring())
    return Endpoint(url, token.value, project_dsn(project), project)
