"""A worker to be broken, work for it, and what must be true of both afterwards."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import psycopg
from django.conf import settings
from django.db import connection
from django.utils import timezone

from backups_portal.billing.models import Charge
from backups_portal.ops.tasks import send_proofs, send_restores_again
from backups_portal.projects.models import Project
from restores.comparing import compare_with_manifest
from restores.loading import load_snapshot
from restores.models import Restore
from restores.services import request_restore
from restores.tasks import drop_leftovers, run_restore
from snapshots.engine.manifest import Manifest, manifest_folder
from snapshots.engine.storage import open_storage
from snapshots.models import Snapshot
from snapshots.queueing import heal, queue_due
from snapshots.tasks import enqueue
from tests.faults.faulty import KILL, WAIT, fault_at, reached
from tests.projectdatabases import KEYS, main_database, quiet

# Fast enough for a test, slow enough for a busy machine.
LEASE_SECONDS = 3
PATIENCE = 90.0


@dataclass(frozen=True)
class Held:
    """A worker that waits at a step."""

    fault: Path

    @property
    def is_reached(self) -> bool:
        """Whether it is there."""
        return reached(self.fault).exists()

    def wait(self) -> None:
        """Until it is there."""
        until(lambda: self.is_reached, ticking=False)

    def let_go(self) -> None:
        """Let it go on."""
        self.fault.unlink(missing_ok=True)


@dataclass(frozen=True)
class Laboratory:
    """Where faults are laid out."""

    folder: Path

    def kill_at(self, row_id: UUID, step: str) -> None:
        """Kill the process that works on the row, by SIGKILL, the first time it gets there."""
        fault_at(self.folder, row_id, step).write_text(KILL)

    def hold_at(self, row_id: UUID, step: str) -> Held:
        """Let the process that works on the row wait there."""
        fault = fault_at(self.folder, row_id, step)
        fault.write_text(WAIT)
        return Held(fault)

    def unreached(self) -> list[str]:
        """Faults that did not happen: a test with one of them shows nothing."""
        files = [file for file in self.folder.iterdir() if file.suffix != ".reached"]
        return sorted(file.name for file in files if not reached(file).exists())


def tick() -> None:
    """What beat has done each minute, but for new runs."""
    now = timezone.now()
    enqueue(heal(now))
    send_restores_again(now)
    send_proofs(now)
    drop_leftovers()


def until(is_so: Callable[[], bool], *, ticking: bool = True) -> None:
    """Wait, and let the schedule tick on, until something is so."""
    deadline = time.monotonic() + PATIENCE
    while not is_so():
        assert time.monotonic() < deadline, f"still not so after {PATIENCE:.0f} s"
        time.sleep(0.2)
        if ticking:
            tick()


def finished(rows: Iterable[Snapshot | Restore]) -> Callable[[], bool]:
    """Whether nobody works on any of the rows, and nobody will."""
    by_model: dict[type, list[UUID]] = {}
    for row in rows:
        by_model.setdefault(type(row), []).append(row.pk)

    def is_so() -> bool:
        return not any(
            model._default_manager.filter(pk__in=ids, state__in=model.UNFINISHED).exists()
            for model, ids in by_model.items()
        )

    return is_so


def ask(snapshot: Snapshot, name: str) -> Restore:
    """A queued restore, not sent to anybody."""
    return request_restore(
        snapshot=snapshot,
        actor=snapshot.project.created_by,
        name=name,
        accepted_charges=True,
        request_key=uuid4(),
    )


def send(*restores: Restore) -> None:
    """Send restores to the worker."""
    for restore in restores:
        run_restore.delay(str(restore.pk))


def databases() -> set[str]:
    """Main databases on the server, and roles that enter them."""
    with psycopg.connect(settings.PROJECT_DATABASE_URL) as server:
        rows = server.execute(
            "SELECT datname FROM pg_database WHERE datname ~ '^bp_[0-9a-f]{8}$'"
            " UNION SELECT rolname FROM pg_roles WHERE rolname ~ '^bp_[0-9a-f]{8}$'"
        ).fetchall()
    return {str(name) for (name,) in rows}


def check_that_all_is_well() -> None:
    """Nothing half done is left, and the next run succeeds without a person."""
    check_what_is_there()
    # Whatever was made today has its first run within two days.
    again = [Snapshot.objects.get(pk=pk) for pk in queue_due(timezone.now() + timedelta(days=2))]
    assert len(again) == Project.objects.count()
    enqueue(snapshot.pk for snapshot in again)
    until(finished(again))
    for snapshot in Snapshot.objects.filter(pk__in=[one.pk for one in again]):
        assert snapshot.state == Snapshot.State.COMPLETED, snapshot.reason


def check_what_is_there(*, unfinished: int = 0) -> None:
    """Nothing half done is left, but for restores that wait for a worker."""
    connection.close()
    assert Restore.objects.unfinished().count() == unfinished
    _check_databases()
    _check_charges()
    _check_snapshots()


def _check_databases() -> None:
    until(lambda: databases() == set(Project.objects.values_list("database", flat=True)))


def _check_charges() -> None:
    made = Restore.objects.filter(state=Restore.State.COMPLETED)
    for restore in made:
        charges = Charge.objects.filter(project_id=restore.project_id)
        assert sorted(charge.kind for charge in charges) == ["creation", "running"]
    failed = Restore.objects.filter(state=Restore.State.FAILED)
    assert not failed.exclude(project=None).exists()
    assert Project.objects.filter(restored_by__isnull=False).count() == made.count()


def _check_snapshots() -> None:
    """Each completed one restores, row by row; no other has a manifest."""
    storage = open_storage(settings.SNAPSHOT_STORAGE)
    completed = Snapshot.objects.filter(state=Snapshot.State.COMPLETED)
    for snapshot in completed:
        manifest = Manifest.load(storage, snapshot.manifest)
        with main_database() as target:
            load_snapshot(manifest, storage, target, keys=KEYS, loaders=2, on_progress=quiet)
            compare_with_manifest(manifest, target, readers=2, on_progress=quiet)
    stored = {
        item.key
        for project in Project.objects.all()
        for item in storage.list(manifest_folder(project.pk))
    }
    assert stored == set(completed.values_list("manifest", flat=True))
