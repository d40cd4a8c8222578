"""A worker is killed at each of its steps; the next one does the work, once."""

from collections.abc import Callable

import pytest

from backups_portal.projects.models import Project
from restores.models import Restore
from snapshots.engine.steps import Step
from snapshots.models import Snapshot
from snapshots.queueing import queue_due
from snapshots.tasks import enqueue
from tests.faults.conftest import DUE
from tests.faults.laboratory import (
    Laboratory,
    ask,
    check_that_all_is_well,
    finished,
    send,
    until,
)

pytestmark = pytest.mark.usefixtures("worker")


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
    check_that_all_is_well()


def test_at_each_step_of_a_restore(laboratory: Laboratory, snapshot: Snapshot) -> None:
    restores = {step: ask(snapshot, f"Killed when {step}") for step in Restore.Step}
    for step, restore in restores.items():
        laboratory.kill_at(restore.pk, step)
    send(*restores.values())

    until(lambda: finished(restores.values())() and not laboratory.unreached())

    for restore in Restore.objects.all():
        assert restore.state == Restore.State.COMPLETED, restore.reason
    assert Project.objects.count() == 1 + len(restores)
    check_that_all_is_well()
