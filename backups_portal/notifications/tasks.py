"""What workers do for this app, and how work is sent to them."""

import logging
from collections.abc import Iterable
from uuid import UUID

from celery.exceptions import OperationalError
from django.utils import timezone

from backups_portal.celery import app
from backups_portal.notifications import delivering
from backups_portal.notifications.reminding import remind_of_running
from snapshots.missing import find_missed

log = logging.getLogger(__name__)


@app.task
def deliver(delivery_id: str) -> None:
    """Send a queued delivery; a second delivery of this message does nothing."""
    delivering.deliver(UUID(delivery_id))


@app.task
def watch() -> None:
    """Find what nothing happens to tell of: missing backups, restored projects that run on."""
    now = timezone.now()
    find_missed(now)
    remind_of_running(now)


@app.task
def forget_deliveries() -> None:
    """Delete deliveries that are older than they are kept."""
    delivering.forget_deliveries(timezone.now())


def enqueue(delivery_ids: Iterable[UUID]) -> None:
    """Send deliveries to the workers, over one connection.

    Raises:
        kombu.exceptions.OperationalError: the broker is away; a later tick sends what is queued.
    """
    with app.producer_pool.acquire(block=True) as producer:
        for delivery_id in delivery_ids:
            deliver.apply_async([str(delivery_id)], producer=producer)


def enqueue_soon(delivery_ids: Iterable[UUID]) -> None:
    """The same for a page, which need not fail when the broker is away."""
    try:
        enqueue(delivery_ids)
    except OperationalError:
        log.warning("broker is away, notifications wait", exc_info=True)
