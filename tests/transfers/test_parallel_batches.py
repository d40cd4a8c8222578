"""Batches make room for sessions that wait for them, and end at once if they are abandoned."""

import threading
import time
from collections.abc import Iterator
from contextlib import nullcontext

import pytest

from backups_portal.transfers.move.batches import Outcome
from backups_portal.transfers.move.parallel_batches import run_batches
from backups_portal.transfers.move.tracks import Track, open_tracks
from restores.snapshot_loader import Target
from tests.projectdatabases import DEVICE, Connection, add_device, open_database

# More batches than can run before the waiting session is noticed.
BATCHES = 300
# How long a batch waits for the next one to begin, so that the device is always locked.
OVERLAP = 0.5


class LockingBatch:
    """Locks a device until the next batch has locked it, too."""

    def __init__(self, number: int, began: list[threading.Event]) -> None:
        self._number, self._began = number, began

    def move(self, track: Track) -> Outcome | None:
        """Lock the device, and wait for the next batch."""
        track.target.execute("SELECT FROM device WHERE id = %s FOR KEY SHARE", [DEVICE])
        self._began[self._number].set()
        self._began[self._number + 1].wait(OVERLAP)
        return None

    def end(self, track: Track, outcome: Outcome) -> None:
        """Record nothing."""


def test_a_device_can_be_deleted_between_batches_that_overlap(
    source: Target, target: Target
) -> None:
    began = [threading.Event() for _ in range(BATCHES + 1)]
    is_deleted = threading.Event()

    def delete(connection: Connection) -> None:
        began[2].wait()
        connection.execute("DELETE FROM device WHERE id = %s", [DEVICE])
        is_deleted.set()

    def batches() -> Iterator[LockingBatch]:
        for number in range(BATCHES):
            if is_deleted.is_set():
                return
            yield LockingBatch(number, began)

    with (
        open_database(source) as left,
        left.transaction(),
        open_database(target) as right,
        open_database(target) as other,
    ):
        left.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        add_device(right)
        thread = threading.Thread(target=delete, args=[other])
        thread.start()
        with open_tracks(left, right, 2) as tracks:
            run_batches(tracks, batches(), nullcontext)
        thread.join()
    assert not began[BATCHES - 1].is_set()


class SleepingBatch:
    """Begins a statement of a minute once it was told to."""

    def __init__(self, go: threading.Event) -> None:
        self._go = go

    def move(self, track: Track) -> Outcome | None:
        """Sleep."""
        self._go.wait()
        track.target.execute("SELECT pg_sleep(60)")
        return None

    def end(self, track: Track, outcome: Outcome) -> None:
        """Record nothing."""


def test_a_batch_that_was_between_two_statements_is_cancelled_in_the_next(
    source: Target, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled = threading.Event()
    cancel = Track.cancel

    def cancel_too_early(track: Track) -> None:
        cancel(track)
        cancelled.set()

    def batches() -> Iterator[SleepingBatch]:
        yield SleepingBatch(cancelled)
        raise KeyboardInterrupt

    monkeypatch.setattr(Track, "cancel", cancel_too_early)
    with open_database(source) as left, left.transaction(), open_database(target) as right:
        left.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        began = time.monotonic()
        with open_tracks(left, right, 2) as tracks, pytest.raises(KeyboardInterrupt):
            run_batches(tracks, batches(), nullcontext)
    assert time.monotonic() - began < 30
