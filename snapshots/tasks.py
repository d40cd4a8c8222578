"""The edge between the services and the message broker."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from backups_portal.celery import app
from snapshots.admitting import next_in_line
from snapshots.queueing import heal, queue_due
from snapshots.taking import take


@dataclass(frozen=True)
class Ticked:
    """What one run of the schedule sent to the workers."""

    queued: list[UUID]
    sent_again: list[UUID]


@app.task
def take_snapshot(snapshot_id: str) -> None:
    """Take a queued snapshot; a second delivery does nothing."""
    take(UUID(snapshot_id))
    enqueue(next_in_line(UUID(snapshot_id)))


def run_schedule(now: datetime) -> Ticked:
    """Queue what is due, find what was overlooked, and send both to the workers.

    Raises:
        kombu.exceptions.OperationalError: the broker is away; a later tick sends what is queued.
    """
    ticked = Ticked(queued=queue_due(now), sent_again=heal(now))
    enqueue([*ticked.queued, *ticked.sent_again])
    return ticked


def enqueue(snapshot_ids: Iterable[UUID]) -> None:
    """Send snapshots to the workers, over one connection."""
    with app.producer_pool.acquire(block=True) as producer:
        for snapshot_id in snapshot_ids:
            take_snapshot.apply_async((str(snapshot_id),), producer=producer)
