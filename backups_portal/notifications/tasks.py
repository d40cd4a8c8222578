"""The Celery tasks of notifications, and their enqueueing."""

from collections.abc import Iterable
from uuid import UUID

from django.utils import timezone

from backups_portal.celery import app
from backups_portal.lib.db_time import earlier_now
from backups_portal.lib.leased_job import JobFailedError, check_broker, may_wait
from backups_portal.notifications import delivery
from backups_portal.notifications.digest_schedule import due_digests, queue_digest
from backups_portal.notifications.reminders import remind_of_running
from snapshots.schedule.missed_backups import find_missed


@app.task(throws=(JobFailedError,))
def deliver(delivery_id: str) -> None:
    """Send a queued delivery; a duplicate message does nothing."""
    delivery.deliver(UUID(delivery_id)).tell_celery()


@app.task
def watch() -> None:
    """Find missing backups, restored projects that still run, and due digests.

    No audit event announces any of these.
    """
    now = timezone.now()
    find_missed(now)
    remind_of_running(now)
    for project_id in due_digests(now):
        make_digest.delay(str(project_id))


@app.task
def make_digest(project_id: str) -> None:
    """Make a due weekly digest; a duplicate message does nothing.

    Each digest has its own message, so that no project delays the others.
    """
    queue_digest(UUID(project_id), timezone.now())


@app.task
def forget_deliveries() -> None:
    """Delete deliveries whose retention has ended."""
    delivery.forget_deliveries(earlier_now())


def enqueue(delivery_ids: Iterable[UUID]) -> None:
    """Send deliveries to the workers, over one connection.

    Raises:
        kombu.exceptions.OperationalError: the broker is unreachable; a later tick enqueues them.
    """
    with app.producer_pool.acquire(block=True) as producer:
        for delivery_id in delivery_ids:
            deliver.apply_async([str(delivery_id)], producer=producer)


def enqueue_soon(delivery_ids: Iterable[UUID]) -> None:
    """Enqueue for a page, which must not fail if the broker is unreachable."""
    with may_wait("notifications"):
        check_broker()
        enqueue(delivery_ids)
