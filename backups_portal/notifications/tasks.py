"""Tasks of notifications, and how they are sent to the workers."""

from collections.abc import Iterable
from uuid import UUID

from django.utils import timezone

from backups_portal.celery import app
from backups_portal.lib.leased_job import JobFailedError, check_broker, may_wait
from backups_portal.lib.loggers import get_logger
from backups_portal.notifications import delivery
from backups_portal.notifications.digest_schedule import due_digests, queue_digest
from backups_portal.notifications.reminders import remind_of_running
from snapshots.schedule.missed_backups import find_missed

log = get_logger(__name__)


@app.task(throws=(JobFailedError,))
def deliver(delivery_id: str) -> None:
    """Send a queued delivery; a second delivery of this message does nothing."""
    delivery.deliver(UUID(delivery_id)).tell_celery()


@app.task
def watch() -> None:
    """Find missing backups, restored projects that run on, and digests that are due.

    No event tells of any of them.
    """
    now = timezone.now()
    find_missed(now)
    remind_of_running(now)
    for project_id in due_digests(now):
        make_digest.delay(str(project_id))


@app.task
def make_digest(project_id: str) -> None:
    """Make a weekly digest that is due; a second delivery of this message does nothing.

    A message for each, so that no project keeps the others waiting.
    """
    queue_digest(UUID(project_id), timezone.now())


@app.task
def forget_deliveries() -> None:
    """Delete deliveries that are older than they are kept."""
    delivery.forget_deliveries(timezone.now())


def enqueue(delivery_ids: Iterable[UUID]) -> None:
    """Send deliveries to the workers, over one connection.

    Raises:
        kombu.exceptions.OperationalError: the broker is away; a later tick sends what is queued.
    """
    with app.producer_pool.acquire(block=True) as producer:
        for delivery_id in delivery_ids:
            deliver.apply_async([str(delivery_id)], producer=producer)


def enqueue_soon(delivery_ids: Iterable[UUID]) -> None:
    """Enqueue for a page, which need not fail when the broker is away."""
    with may_wait("notifications"):
        check_broker()
        enqueue(delivery_ids)
