"""A real project with a stored snapshot, removed without a trace."""

from collections.abc import Iterator
from datetime import UTC, datetime, time

import pytest
from django.conf import settings

from backups_portal.accounts.models import Account
from backups_portal.projectdb.provisioning import drop_database
from backups_portal.projects.database_dsn import project_dsn, server_url
from backups_portal.projects.models import Project
from backups_portal.projects.project_creation import BackupSettings, create_project
from snapshots.models import Snapshot
from snapshots.run.snapshot_run import take
from snapshots.schedule.schedule_tick import queue_due
from tests.factories import make_account
from tests.faults.laboratory import databases
from tests.projectdatabases import Target, add_device, add_rows, open_database

SETTINGS = BackupSettings(time(3), "UTC", 7, datetime(2026, 3, 1, 3, tzinfo=UTC))
DUE = datetime(2026, 3, 1, 3, 0, 30, tzinfo=UTC)


@pytest.fixture
def owner(transactional_db: None) -> Account:
    return make_account()


@pytest.fixture
def project(owner: Account, storage_url: str, project_server: str) -> Iterator[Project]:
    """A project with a real database of ten readings; it and its restores are dropped."""
    project = create_project(name="Cold Chain", owner=owner, settings=SETTINGS)
    with open_database(Target(project_dsn(project), project.prefix)) as connection:
        add_device(connection)
        add_rows(connection, 0, 10)
    yield project
    for made in Project.objects.select_related("server"):
        drop_database(server_url(made.server), prefix=made.prefix)


@pytest.fixture
def nothing_left(project_server: str) -> Iterator[None]:
    """Drop the databases and roles that a test leaves behind."""
    before = databases()
    yield
    for name in databases() - before:
        drop_database(settings.PROJECT_DATABASE_URL, prefix=name.removeprefix("bp_"))


@pytest.fixture
def snapshot(project: Project) -> Snapshot:
    """A snapshot that the schedule took of the project."""
    (snapshot_id,) = queue_due(DUE)
    take(snapshot_id)
    snapshot = Snapshot.objects.get(pk=snapshot_id)
    assert snapshot.state == Snapshot.State.COMPLETED, snapshot.reason
    return snapshot
