"""A storage that fails now and then, truncates writes, or is full."""

from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_django import Settings

from backups_portal.ops.tasks import look_at_storage, sweep
from backups_portal.projects.models import Project
from restores.models import Restore
from snapshots.models import Snapshot
from snapshots.run.snapshot_run import take
from snapshots.schedule.schedule_tick import queue_due
from snapshots.storages.storage_marker import CONTENT, MARKER
from snapshots.tasks import enqueue
from tests.faults.conftest import DUE
from tests.faults.faulty import CALLS, FAILS, HALVES
from tests.faults.laboratory import (
    Laboratory,
    add_noise,
    ask,
    check_that_all_is_well,
    finished,
    send,
    small_disk,
    until,
)
from tests.forked_modules import ModuleProcess


@pytest.fixture
def other(snapshot: Snapshot, make_project: Callable[[str], Project]) -> Snapshot:
    """A queued first snapshot, which stores an object for each table."""
    make_project("Another")
    (pk,) = queue_due(DUE)
    return Snapshot.objects.get(pk=pk)


@pytest.mark.usefixtures("worker")
def test_one_call_of_three_fails(
    laboratory: Laboratory, snapshot: Snapshot, other: Snapshot
) -> None:
    restore = ask(snapshot, "From a bad place")
    with laboratory.storage(FAILS) as has_failed:
        enqueue([other.pk])
        send(restore)
        until(finished([other, restore]))
        other.refresh_from_db()
        restore.refresh_from_db()
        # These list, write and delete, which snapshots and restores hardly do.
        until(lambda: has_failed(*CALLS) or not (sweep.delay() and look_at_storage.delay()))
    assert other.state == Snapshot.State.FAILED
    assert "The backup storage could not" in other.reason
    assert restore.state == Restore.State.FAILED
    assert "The backup storage could not read" in restore.reason
    check_that_all_is_well(projects=2)


@pytest.mark.usefixtures("worker")
def test_half_of_one_object_of_three_is_kept(
    laboratory: Laboratory, snapshot: Snapshot, other: Snapshot
) -> None:
    restore = ask(snapshot, "From a good backup")
    with laboratory.storage(HALVES) as has_halved:
        enqueue([other.pk])
        send(restore)
        until(finished([other, restore]))
        assert has_halved("put")
    other.refresh_from_db()
    restore.refresh_from_db()
    assert other.state == Snapshot.State.FAILED
    assert "The backup storage returned other bytes than were written" in other.reason
    assert restore.state == Restore.State.COMPLETED, restore.reason
    check_that_all_is_well(projects=3)


def test_a_full_disk_is_a_reason_and_the_next_run_needs_nobody(
    worker: ModuleProcess, snapshot: Snapshot, settings: Settings, tmp_path: Path
) -> None:
    (pk,) = queue_due(DUE.replace(day=2))
    good = settings.SNAPSHOT_STORAGE
    add_noise(snapshot.project)
    with small_disk(tmp_path / "small", megabytes=1):
        # With the marker this is the right storage, even if its backups are elsewhere.
        (tmp_path / "small" / MARKER).write_bytes(CONTENT)
        settings.SNAPSHOT_STORAGE = f"file://{tmp_path / 'small'}"
        for _ in range(4):
            take(pk)
        failed = Snapshot.objects.get(pk=pk)
        assert failed.state == Snapshot.State.FAILED
        assert "No space left on device" in failed.reason
    settings.SNAPSHOT_STORAGE = good
    check_that_all_is_well(projects=1)
