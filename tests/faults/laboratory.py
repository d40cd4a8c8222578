"""A worker to be broken, its work, and the invariants that must hold afterwards."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from django.utils import timezone

from backups_portal.billing.models import Charge
from backups_portal.ops.tasks import send_overlooked, send_proofs
from backups_portal.projects.database_dsn import admin_dsn, server_url
from backups_portal.projects.models import DatabaseServer, Project
from backups_portal.transfers.models import CsvRequest
from restores.models import Restore
from restores.restore_requests import NewProject, request_restore
from restores.tasks import drop_leftovers, run_restore
from snapshots.engine.layout import manifest_folder
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import open_storage
from snapshots.models import Snapshot
from snapshots.schedule.schedule_tick import heal, queue_due
from snapshots.tasks import enqueue
from tests.faults.faulty import KILL, STORAGE, WAIT, fault_at, reached
from tests.forked_modules import ModuleProcess
from tests.projectdatabases import main_database, restore_into

# Fast enough for a test, slow enough for a busy machine.
LEASE_SECONDS = 3
TICK_SECONDS = 1.0
PATIENCE = 180.0


@dataclass(frozen=True)
class Held:
    """A worker that waits at a step."""

    fault: Path

    @property
    def is_reached(self) -> bool:
        """Return whether the worker is waiting."""
        return reached(self.fault).exists()

    def wait(self) -> None:
        """Wait until the worker is there."""
        until(lambda: self.is_reached, ticking=False)

    def let_go(self) -> None:
        """Let the worker go on."""
        self.fault.unlink(missing_ok=True)


@dataclass(frozen=True)
class Laboratory:
    """The faults of a folder."""

    folder: Path

    def kill_at(self, row_id: UUID, step: str) -> None:
        """Send SIGKILL to the process that works on the row, the first time it reaches the step."""
        fault_at(self.folder, row_id, step).write_text(KILL)

    def hold_at(self, row_id: UUID, step: str) -> Held:
        """Hold the process that works on the row at the step."""
        fault = fault_at(self.folder, row_id, step)
        fault.write_text(WAIT)
        return Held(fault)

    @contextmanager
    def storage(self, fault: str) -> Iterator[Callable[..., bool]]:
        """Break every third call to the storage; yields whether all of these calls failed once."""
        file = self.folder / STORAGE
        file.write_text(fault)

        def have_gone_wrong(*calls: str) -> bool:
            return all(reached(fault_at(self.folder, STORAGE, call)).exists() for call in calls)

        try:
            yield have_gone_wrong
        finally:
            file.unlink()

    def clear(self) -> None:
        """Remove all faults; processes held by them go on."""
        for file in self.folder.iterdir():
            file.unlink(missing_ok=True)

    def unreached(self) -> list[str]:
        """Return faults that did not happen: a test with one of them proves nothing."""
        files = [file for file in self.folder.iterdir() if file.suffix != ".reached"]
        return sorted(file.name for file in files if not reached(file).exists())


def tick() -> None:
    """Do beat's work of each minute, except for new runs."""
    now = timezone.now()
    enqueue(heal(now))
    send_overlooked(Restore, now)
    send_overlooked(CsvRequest, now)
    send_proofs(now)
    drop_leftovers()


def until(is_so: Callable[[], bool], *, ticking: bool = True) -> None:
    """Wait, ticking the schedule meanwhile, until the condition holds."""
    deadline, ticked = time.monotonic() + PATIENCE, 0.0
    while not is_so():
        assert time.monotonic() < deadline, f"still not so after {PATIENCE:.0f} s"
        time.sleep(0.2)
        # A tick's twenty or so queries take time from the worker that the test waits for.
        if ticking and time.monotonic() > ticked + TICK_SECONDS:
            tick()
            ticked = time.monotonic()


def finished(rows: Iterable[Snapshot | Restore]) -> Callable[[], bool]:
    """Return a check that nothing works on any of the rows, and nothing will."""
    by_model: dict[type, list[UUID]] = {}
    for row in rows:
        by_model.setdefault(type(row), []).append(row.pk)

    def is_so() -> bool:
        return not any(
            model._default_manager.filter(pk__in=ids, state__in=model.UNFINISHED).exists()
            for model, ids in by_model.items()
        )

    return is_so


def ask(snapshot: Snapshot, name: str, server: DatabaseServer | None = None) -> Restore:
    """Request a restore without sending its message."""
    return request_restore(
        snapshot=snapshot,
        actor=snapshot.project.created_by,
        wanted=NewProject(
            name=name,
            accepted_charges=True,
            server=server,
        ),
    )


def send(*restores: Restore) -> None:
    """Send restores to the worker."""
    for restore in restores:
        run_restore.delay(str(restore.pk))


def kill_all_of(worker: ModuleProcess) -> None:
    """Kill a worker with all its processes at once, so that none returns its messages."""
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[None]:
    """Mount a file system of this many megabytes."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        is_root = os.geteuid() == 0
        if is_root and os.environ.get("CI"):
            pytest.fail("root may not mount here: start the container with --cap-add SYS_ADMIN")
        pytest.skip("mounting a small file system takes root's rights")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def add_noise(project: Project, rows: int = 20_000) -> None:
    """Add megabytes of incompressible readings."""
    with psycopg.connect(admin_dsn(project), autocommit=True) as source:
        source.execute(
            """INSERT INTO variable (series_id, time, text_value, group_key)
               SELECT 1, '2026-03-01'::timestamptz + n * interval '1 second',
                      encode(sha512(n::text::bytea), 'base64'), 'g'
               FROM generate_series(1, %s) n""",
            [rows],
        )


def databases(url: str = "") -> set[str]:
    """Return a server's main databases, the settings' by default, and their roles."""
    with psycopg.connect(url or settings.PROJECT_DATABASE_URL) as server:
        rows = server.execute(
            "SELECT datname FROM pg_database WHERE datname ~ '^bp_[0-9a-f]{8}$'"
            " UNION SELECT rolname FROM pg_roles WHERE rolname ~ '^bp_[0-9a-f]{8}$'"
        ).fetchall()
    return {str(name) for (name,) in rows}


def check_that_all_is_well(*, projects: int | None = None) -> None:
    """Assert that nothing unfinished is left, and the next run succeeds without a person.

    Args:
        projects: The expected number of projects, including restored ones.
    """
    check_what_is_there(projects=projects)
    # A project made today has its first run within two days.
    again = [Snapshot.objects.get(pk=pk) for pk in queue_due(timezone.now() + timedelta(days=2))]
    assert len(again) == Project.objects.count()
    enqueue(snapshot.pk for snapshot in again)
    until(finished(again))
    for snapshot in Snapshot.objects.filter(pk__in=[one.pk for one in again]):
        assert snapshot.state == Snapshot.State.COMPLETED, snapshot.reason


def check_what_is_there(*, unfinished: int = 0, projects: int | None = None) -> None:
    """Assert that nothing unfinished is left except restores that wait for a worker."""
    connection.close()
    assert Restore.objects.unfinished().count() == unfinished
    if projects is not None:
        assert Project.objects.count() == projects
    _check_databases()
    check_charges()
    _check_snapshots()


def _check_databases() -> None:
    for server in DatabaseServer.objects.all():
        known = set(server.projects.values_list("database", flat=True))
        until(partial(_are_databases, server_url(server), known))


def _are_databases(url: str, known: set[str]) -> bool:
    return databases(url) == known


def check_charges() -> None:
    """Assert that each completed restore made one project, and each project is charged once."""
    made = Restore.objects.filter(state=Restore.State.COMPLETED)
    # A restore references one project only, so a second project of it would show in the bills.
    bills = Charge.objects.filter(kind=Charge.Kind.CREATION)
    assert set(bills.values_list("project_id", flat=True)) == set(
        Project.objects.values_list("pk", flat=True)
    )
    restored = set(bills.exclude(reason="New project").values_list("project_id", flat=True))
    assert restored == set(made.values_list("project_id", flat=True))
    assert bills.count() == Project.objects.count()
    assert len(restored) == made.count()
    running = Charge.objects.filter(kind=Charge.Kind.RUNNING, ends_at=None)
    assert running.count() == bills.count() == Charge.objects.count() - running.count()
    failed = Restore.objects.filter(state=Restore.State.FAILED)
    assert not failed.exclude(project=None).exists()


def _check_snapshots() -> None:
    """Assert that each completed snapshot restores row by row, and no other has a manifest."""
    storage = open_storage(settings.SNAPSHOT_STORAGE)
    completed = Snapshot.objects.filter(state=Snapshot.State.COMPLETED)
    for snapshot in completed:
        manifest = Manifest.load(storage, snapshot.manifest)
        with main_database() as target:
            restore_into(target, manifest, storage)
    stored = {
        item.key
        for project in Project.objects.all()
        for item in storage.list(manifest_folder(project.pk))
    }
    assert stored == set(completed.values_list("manifest", flat=True))
