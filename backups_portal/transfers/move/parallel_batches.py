"""Move batches side by side, each in its own transaction."""

from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Protocol

import psycopg

from backups_portal.transfers.commit_guard import Guard, guarded
from backups_portal.transfers.move.batches import Outcome
from backups_portal.transfers.move.tracks import Track


class Batch(Protocol):
    """What is done within a transaction of the target."""

    def begin(self, track: Track) -> bool:
        """Enter the batch in the ledger; False if it is done already."""

    def move(self, track: Track) -> Outcome:
        """Move its records, in another thread."""

    def end(self, track: Track, outcome: Outcome) -> None:
        """Note what became of it."""


@dataclass(frozen=True)
class _Running:
    """A batch that another thread moves, and its open transaction."""

    batch: Batch
    track: Track
    transaction: ExitStack


_Moving = dict[Future[Outcome], _Running]


def run_batches(tracks: Sequence[Track], batches: Iterator[Batch], guard: Guard) -> None:
    """Move batches, as many at a time as there are tracks.

    Only their records are moved in other threads: transactions begin and end in this one, in which
    the guard has its connection. Batches begin in order, so that two runs of one transfer, which
    wait for one another's entries in the ledger, never wait in a circle.

    Args:
        batches: The next one is asked for when a track is free; may raise to stop there.
        guard: Entered for each commit.
    """
    free, moving = list(tracks), _Moving()
    with ThreadPoolExecutor(max(1, len(tracks))) as threads:
        try:
            while True:
                if not free:
                    free.append(_finish_one(moving))
                batch = next(batches, None)
                if batch is None:
                    break
                with ExitStack() as transaction:
                    transaction.enter_context(guarded(free[-1].target, guard))
                    if batch.begin(free[-1]):
                        track = free.pop()
                        running = _Running(batch, track, transaction.pop_all())
                        moving[threads.submit(batch.move, track)] = running
            while moving:
                _finish_one(moving)
        except BaseException as error:
            _abandon(moving, error)
            raise


def _finish_one(moving: _Moving) -> Track:
    """Commit a batch whose records were moved; return its track."""
    done, _ = wait(moving, return_when=FIRST_COMPLETED)
    future = done.pop()
    running = moving.pop(future)
    with running.transaction:
        running.batch.end(running.track, future.result())
    return running.track


def _abandon(moving: _Moving, error: BaseException) -> None:
    """Stop what other threads do, and take it back."""
    for running in moving.values():
        # A server that is away has nothing to stop.
        with suppress(psycopg.Error):
            running.track.cancel()
    wait(moving)
    for running in moving.values():
        running.transaction.__exit__(type(error), error, error.__traceback__)
