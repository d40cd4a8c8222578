"""Tasks: the edge between the services and the message broker."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from backups_portal.celery import app
from backups_portal.lib.leased_job import JobFailedError, may_wait
from snapshots.replication.copy_run import copies_overlooked, copy, next_copy
from snapshots.run.recovered_outages import queue_after_outages
from snapshots.run.snapshot_run import take
from snapshots.schedule.concurrency import next_in_line
from snapshots.schedule.schedule_tick import heal, queue_due

# Sending a message costs a millisecond; one with 100 ids has 4 kB.
IN_ONE_MESSAGE = 100


@dataclass(frozen=True)
class Ticked:
    """What one run of the schedule sent to the workers."""

    queued: list[UUID]
    sent_again: list[UUID]


@app.task(throws=(JobFailedError,))
def take_snapshot(snapshot_id: str, *others: str) -> None:
    """Take a queued snapshot; a second delivery does nothing.

    Args:
        others: Snapshots sent in the same message. They are passed on to the next worker before
            this one starts, so that queuing thousands takes only a few messages.
    """
    if others:
        with may_wait(f"{len(others)} snapshots"):
            take_snapshot.delay(*others)
    taken = take(UUID(snapshot_id))
    if taken.is_claimed:
        # A refused snapshot freed no room: two of them would enqueue each other endlessly.
        enqueue(next_in_line(UUID(snapshot_id)))
    send_copy(UUID(snapshot_id))
    taken.tell_celery()


@app.task(throws=(JobFailedError,))
def copy_snapshot(snapshot_id: str) -> None:
    """Copy a snapshot to the second storage; a second delivery does nothing."""
    copied = copy(UUID(snapshot_id))
    if copied.is_claimed:
        # As above: otherwise the copy in progress sends the next one.
        send_copy(UUID(snapshot_id))
    copied.tell_celery()


def send_copy(snapshot_id: UUID) -> None:
    """Send the next copy that the snapshot's project waits for, if any."""
    with may_wait("a copy"):
        for waiting in next_copy(snapshot_id):
            copy_snapshot.delay(str(waiting))


def send_copies_again(now: datetime) -> list[UUID]:
    """Send copies again whose message or worker was lost."""
    found = copies_overlooked(now)
    for snapshot_id in found:
        copy_snapshot.delay(str(snapshot_id))
    return found


def run_schedule(now: datetime) -> Ticked:
    """Queue due snapshots, find lost ones, and send all to the workers.

    Snapshots that failed in an outage are due again once it is over.

    Raises:
        kombu.exceptions.OperationalError: the broker is away; a later tick sends what is queued.
    """
    ticked = Ticked(queued=[*queue_due(now), *queue_after_outages(now)], sent_again=heal(now))
    enqueue([*ticked.queued, *ticked.sent_again])
    return ticked


def enqueue(snapshot_ids: Iterable[UUID]) -> None:
    """Send snapshots to the workers over one connection, many per message."""
    ids = [str(snapshot_id) for snapshot_id in snapshot_ids]
    if not ids:
        return
    with app.producer_pool.acquire(block=True) as producer:
        for first in range(0, len(ids), IN_ONE_MESSAGE):
            take_snapshot.apply_async(ids[first : first + IN_ONE_MESSAGE], producer=producer)
