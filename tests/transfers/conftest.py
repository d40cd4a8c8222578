"""Two main databases for a module's tests; each test begins with empty ones."""

from collections.abc import Iterator

import psycopg
import pytest

from backups_portal.accounts.models import Account
from backups_portal.projectdb.provisioning import drop_database
from backups_portal.projects.database_dsn import server_url
from backups_portal.projects.models import Project
from restores.snapshot_loader import Target
from tests.factories import make_account
from tests.projectdatabases import main_database
from tests.transfers.projects import add_readings, add_truck, make_project

EMPTIED = (
    "device, series, variable, dashboard, dictionary, entity, run_user, secret, token, action,"
    " transfer_run, change_mark"
)


@pytest.fixture(scope="package")
def databases(project_server: str) -> Iterator[tuple[Target, Target]]:
    """A source and a target."""
    with main_database() as source, main_database() as target:
        yield source, target


def empty(*databases: Target) -> None:
    """Delete all rows."""
    for database in databases:
        with psycopg.connect(database.dsn) as connection:
            connection.execute(f"TRUNCATE {EMPTIED} RESTART IDENTITY CASCADE".encode())


@pytest.fixture
def source(databases: tuple[Target, Target]) -> Target:
    empty(databases[0])
    return databases[0]


@pytest.fixture
def target(databases: tuple[Target, Target]) -> Target:
    empty(databases[1])
    return databases[1]


@pytest.fixture
def owner(transactional_db: None) -> Account:
    return make_account()


@pytest.fixture
def backup(owner: Account, project_server: str) -> Iterator[Project]:
    """A project with a truck of ten readings; it and every other project are dropped."""
    project = make_project(owner, "Cold Chain (restored)")
    add_truck(project)
    add_readings(project, 10)
    yield project
    for made in Project.objects.select_related("server"):
        drop_database(server_url(made.server), prefix=made.prefix)


@pytest.fixture
def live(owner: Account, backup: Project) -> Project:
    """The project that lost them."""
    return make_project(owner, "Cold Chain")
