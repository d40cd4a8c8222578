"""A worker is killed at each of its steps, or with all its processes; the next one finishes."""

from collections.abc import Callable
from pathlib import Path

import pytest

from backups_portal.projects.models import Project
from restores.models import Restore
from snapshots.engine.snapshot_steps import Step
from snapshots.models import Snapshot
from snapshots.schedule.schedule_tick import queue_due
from snapshots.tasks import enqueue
from tests.conftest import running_worker
from tests.faults.conftest import DUE, WORKER_ENVIRONMENT
from tests.faults.laboratory import (
    Laboratory,
    ask,
    check_that_all_is_well,
    finished,
    kill_all_of,
    send,
    until,
)


@pytest.mark.usefixtures("worker")
def test_at_each_step_of_a_snapshot(
    laboratory: Laboratory, make_project: Callable[[str], Project]
) -> None:
    for step in Step:
        make_project(f"Killed when {step}")
    snapshots = [Snapshot.objects.get(pk=pk) for pk in queue_due(DUE)]
    for snapshot, step in zip(snapshots, Step, strict=True):
        laboratory.kill_at(snapshot.pk, step)
    enqueue(snapshot.pk for snapshot in snapshots)

    until(lambda: finished(snapshots)() and not laboratory.unreached())

    for snapshot in Snapshot.objects.all():
        assert snapshot.state == Snapshot.State.COMPLETED, snapshot.reason
        assert snapshot.table_rows["variable"] == 10
    check_that_all_is_well(projects=len(Step))


@pytest.mark.usefixtures("worker")
def test_at_each_step_of_a_restore(laboratory: Laboratory, snapshot: Snapshot) -> None:
    restores = {step: ask(snapshot, f"Killed when {step}") for step in Restore.Step}
    for step, restore in restores.items():
        laboratory.kill_at(restore.pk, step)
    send(*restores.values())

    until(lambda: finished(restores.values())() and not laboratory.unreached())

    for restore in Restore.objects.all():
        assert restore.state == Restore.State.COMPLETED, restore.reason
    check_that_all_is_well(projects=1 + len(restores))


def test_with_all_its_processes(
    laboratory: Laboratory,
    snapshot: Snapshot,
    make_project: Callable[[str], Project],
    storage_url: str,
    tmp_path: Path,
) -> None:
    """No process returns the messages, and Redis waits for an hour: the leases have to expire."""
    make_project("Another")
    (other,) = (Snapshot.objects.get(pk=pk) for pk in queue_due(DUE))
    restore = ask(snapshot, "Killed")
    held = [laboratory.hold_at(other.pk, "publishing"), laboratory.hold_at(restore.pk, "proving")]
    options = {
        "application": "tests.faults.faulty",
        "processes": 2,
        "environment": {**WORKER_ENVIRONMENT, "FAULTS": str(laboratory.folder)},
    }
    with running_worker(storage_url, tmp_path / "first.log", **options) as worker:
        enqueue([other.pk])
        send(restore)
        for one in held:
            one.wait()
        kill_all_of(worker)
    for one in (other, restore):
        one.refresh_from_db()
        assert (one.state, one.attempts) == ("running", 1)
    with running_worker(storage_url, tmp_path / "second.log", purge=False, **options):
        until(finished([other, restore]))
        for one in (other, restore):
            one.refresh_from_db()
            assert (one.state, one.attempts) == ("completed", 2), one.reason
        check_that_all_is_well(projects=3)
