"""A worker that can be broken at any step, and projects to back up with it."""

import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from time import monotonic, sleep

import pytest
from django.conf import settings
from django.db import connection
from pytest_django import Settings

from backups_portal.accounts.models import Account
from backups_portal.celery import app
from backups_portal.projectdb.provisioning import drop_database
from backups_portal.projects.models import Project
from backups_portal.projects.project_creation import BackupSettings
from snapshots.models import Snapshot
from snapshots.run.snapshot_run import take
from snapshots.schedule.schedule_tick import queue_due
from tests import realprojects
from tests.conftest import running_worker
from tests.factories import make_account
from tests.faults.laboratory import LEASE_SECONDS, Laboratory, databases
from tests.forked_modules import ModuleProcess

SETTINGS = BackupSettings(time(3), "UTC", 30, datetime(2026, 3, 1, 3, tzinfo=UTC))
DUE = datetime(2026, 3, 1, 3, 0, 30, tzinfo=UTC)

# For the worker's tasks after the last row that a test checks.
IDLE_SECONDS = 3.0
WORKER_ENVIRONMENT = {
    "LEASE_SECONDS": str(LEASE_SECONDS),
    "SNAPSHOT_RETRY_MINUTES": "0,0,0",
    "RESTORE_RETRY_MINUTES": "0,0",
}


@pytest.fixture(autouse=True)
def _impatient(settings: Settings) -> None:
    """Find lost work within seconds, and retry failures at once."""
    settings.LEASE = timedelta(seconds=LEASE_SECONDS)
    settings.SNAPSHOT_RETRY_MINUTES = [0, 0, 0]
    settings.RESTORE_RETRY_MINUTES = [0, 0]


@pytest.fixture
def owner(transactional_db: None) -> Account:
    return make_account()


@pytest.fixture
def make_project(owner: Account, storage_url: str) -> Iterator[Callable[[str], Project]]:
    """Makes projects with real databases of ten readings, and drops all databases in the end."""

    yield lambda name: realprojects.make_project(name, owner, SETTINGS, rows=10)
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


@pytest.fixture(scope="package")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of faults and of the workers' storage."""
    folder = tmp_path_factory.mktemp("workshop")
    (folder / "faults").mkdir()
    return folder


@pytest.fixture
def storage_url(settings: Settings, workshop: Path) -> str:
    """The worker's storage, which also has other tests' objects."""
    settings.SNAPSHOT_STORAGE = f"file://{workshop / 'snapshots'}"
    return settings.SNAPSHOT_STORAGE


@pytest.fixture
def laboratory(workshop: Path) -> Laboratory:
    """A laboratory without faults."""
    laboratory = Laboratory(workshop / "faults")
    laboratory.clear()
    return laboratory


class SharedWorker:
    """A worker of two processes that tests use one after another."""

    def __init__(self, workshop: Path) -> None:
        self._workshop = workshop
        self._stack = ExitStack()
        self._process: ModuleProcess | None = None

    def start(self) -> ModuleProcess:
        """Start it unless it runs, with an empty queue."""
        if self._process is None or self._process.poll() is not None:
            self.end()
            self._process = self._stack.enter_context(
                running_worker(
                    f"file://{self._workshop / 'snapshots'}",
                    self._workshop / "shared.log",
                    application="tests.faults.faulty",
                    processes=2,
                    environment={**WORKER_ENVIRONMENT, "FAULTS": str(self._workshop / "faults")},
                )
            )
        app.control.purge()
        return self._process

    def leave(self) -> None:
        """Remove its messages, and keep it running if it soon becomes idle."""
        app.control.purge()
        if self._process is None or self._process.poll() is not None:
            # Asking what it does would take ten seconds.
            self.end()
            return
        deadline = monotonic() + IDLE_SECONDS
        while not self._is_idle():
            if monotonic() > deadline:
                self.end()
                return
            sleep(0.1)

    def _is_idle(self) -> bool:
        node = f"shared@{socket.gethostname()}"
        asked = app.control.inspect([node], timeout=5)
        return all((said or {}).get(node) == [] for said in (asked.reserved(), asked.active()))

    def end(self) -> None:
        """End it with all its processes."""
        self._stack.close()
        self._process = None


@pytest.fixture(scope="package")
def shared_worker(django_db_setup: None, workshop: Path) -> Iterator[SharedWorker]:
    worker = SharedWorker(workshop)
    yield worker
    worker.end()


@pytest.fixture(autouse=True)
def _no_other_worker(request: pytest.FixtureRequest, shared_worker: SharedWorker) -> None:
    """Take the shared worker away from tests that start other workers, or none."""
    if "worker" not in request.fixturenames:
        shared_worker.end()


@pytest.fixture
def worker(
    make_project: Callable[[str], Project],
    storage_url: str,
    laboratory: Laboratory,
    shared_worker: SharedWorker,
) -> Iterator[ModuleProcess]:
    """A worker of two processes that becomes idle before the databases are dropped."""
    yield shared_worker.start()
    laboratory.clear()
    shared_worker.leave()
