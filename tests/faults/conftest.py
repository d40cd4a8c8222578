"""A worker that can be broken at any step, and projects to back up with it."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest
from django.conf import settings
from django.db import connection
from pytest_django import Settings

from backups_portal.accounts.models import Account
from backups_portal.projectdb.provisioning import drop_database
from backups_portal.projects.connections import project_dsn
from backups_portal.projects.models import Project
from backups_portal.projects.services import BackupSettings, create_project
from snapshots.models import Snapshot
from snapshots.queueing import queue_due
from snapshots.taking import take
from tests.conftest import running_worker
from tests.factories import make_account
from tests.faults.laboratory import LEASE_SECONDS, Laboratory, databases
from tests.projectdatabases import Target, add_device, add_rows, open_database

SETTINGS = BackupSettings(time(3), "UTC", 30, datetime(2026, 3, 1, 3, tzinfo=UTC))
DUE = datetime(2026, 3, 1, 3, 0, 30, tzinfo=UTC)

WORKER_ENVIRONMENT = {
    "LEASE_SECONDS": str(LEASE_SECONDS),
    "SNAPSHOT_RETRY_MINUTES": "0,0,0",
    "RESTORE_RETRY_MINUTES": "0,0",
}

Worker = "subprocess.Popen[bytes]"


@pytest.fixture(autouse=True)
def _impatient(settings: Settings) -> None:
    """What is lost is found within seconds, and what failed is tried again at once."""
    settings.LEASE = timedelta(seconds=LEASE_SECONDS)
    settings.SNAPSHOT_RETRY_MINUTES = [0, 0, 0]
    settings.RESTORE_RETRY_MINUTES = [0, 0]


@pytest.fixture
def owner(transactional_db: None) -> Account:
    return make_account()


@pytest.fixture
def make_project(owner: Account, storage_url: str) -> Iterator[Callable[[str], Project]]:
    """Makes projects with real databases of ten readings; all databases are dropped in the end."""

    def make(name: str) -> Project:
        project = create_project(name=name, owner=owner, settings=SETTINGS)
        with open_database(Target(project_dsn(project), project.prefix)) as source:
            add_device(source)
            add_rows(source, 0, 10)
        return project

    yield make
    connection.close()
    for name in databases():
        drop_database(settings.PROJECT_DATABASE_URL, prefix=name.removeprefix("bp_"))


@pytest.fixture
def snapshot(make_project: Callable[[str], Project]) -> Snapshot:
    """A stored snapshot."""
    make_project("Cold Chain")
    (snapshot_id,) = queue_due(DUE)
    take(snapshot_id)
    snapshot = Snapshot.objects.select_related("project").get(pk=snapshot_id)
    assert snapshot.state == Snapshot.State.COMPLETED, snapshot.reason
    return snapshot


@pytest.fixture
def laboratory(tmp_path: Path) -> Laboratory:
    folder = tmp_path / "faults"
    folder.mkdir()
    return Laboratory(folder)


@pytest.fixture
def worker(
    make_project: Callable[[str], Project], storage_url: str, tmp_path: Path, laboratory: Laboratory
) -> Iterator[Worker]:
    """A worker of two processes; it ends before the databases do."""
    with running_worker(
        storage_url,
        tmp_path / "worker.log",
        application="tests.faults.faulty",
        processes=2,
        environment={**WORKER_ENVIRONMENT, "FAULTS": str(laboratory.folder)},
    ) as process:
        yield process
