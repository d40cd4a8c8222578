"""Move batches in parallel, each in its own transaction."""

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Protocol

import psycopg

from backups_portal.transfers.commit_guard import Guard, guarded
from backups_portal.transfers.move.batches import Outcome
from backups_portal.transfers.move.tracks import Track

# Whether a session waits for a lock that one of these holds.
IS_WAITED_FOR = """SELECT EXISTS (
    SELECT FROM pg_locks WHERE NOT granted AND pg_blocking_pids(pid) && %s::integer[])"""
# A batch that is cancelled between two statements goes on, and is cancelled again after this time.
CANCEL_AGAIN_SECONDS = 0.5


class Batch(Protocol):
    """The work in one transaction of the target."""

    def move(self, track: Track) -> Outcome | None:
        """Move its records, in another thread; return None if already moved."""

    def end(self, track: Track, outcome: Outcome) -> None:
        """Record its outcome."""


@dataclass(frozen=True)
class _Running:
    """A batch that another thread is moving, and its open transaction."""

    batch: Batch
    track: Track
    transaction: ExitStack


_Moving = dict[Future[Outcome | None], _Running]


def run_batches(tracks: Sequence[Track], batches: Iterator[Batch], guard: Guard) -> None:
    """Move batches, one per track at a time.

    Transactions begin and end in this thread, which has the guard's connection. Everything that may
    wait for locks runs in other threads, so that finished batches are committed meanwhile.

    Args:
        batches: Advanced when a track is free; may raise to stop there.
        guard: Entered for each commit.
    """
    free, moving = list(tracks), _Moving()
    with ThreadPoolExecutor(max(1, len(tracks))) as threads:
        try:
            while True:
                while moving and (not free or _is_waited_for(free[0], moving)):
                    free.append(_finish_one(moving))
                batch = next(batches, None)
                if batch is None:
                    break
                track = free.pop()
                transaction = ExitStack()
                transaction.enter_context(guarded(track.target, guard))
                future = threads.submit(batch.move, track)
                moving[future] = _Running(batch, track, transaction)
            while moving:
                _finish_one(moving)
        except BaseException as error:
            _abandon(moving, error)
            raise


def _is_waited_for(track: Track, moving: _Moving) -> bool:
    """Tell whether another session waits for a running batch.

    Then running batches finish before the next one begins, or that session would wait for it, too.
    """
    sessions = [running.track.target.info.backend_pid for running in moving.values()]
    row = track.target.execute(IS_WAITED_FOR, [sessions]).fetchone()
    return bool(row and row[0])


def _finish_one(moving: _Moving) -> Track:
    """Wait for a batch to finish, and commit it; return its track."""
    done, _ = wait(moving, return_when=FIRST_COMPLETED)
    future = done.pop()
    running = moving.pop(future)
    with running.transaction:
        outcome = future.result()
        if outcome is not None:
            running.batch.end(running.track, outcome)
    return running.track


def _abandon(moving: _Moving, error: BaseException) -> None:
    """Cancel the running batches, and roll them back."""
    not_done = set(moving)
    while not_done:
        for future in not_done:
            # An unreachable server has nothing to cancel.
            with suppress(psycopg.Error):
                moving[future].track.cancel()
        not_done = wait(not_done, timeout=CANCEL_AGAIN_SECONDS).not_done
    for running in moving.values():
        running.transaction.__exit__(type(error), error, error.__traceback__)
