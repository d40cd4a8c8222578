"""From the pages to the workers."""

import logging
from uuid import UUID

from celery.exceptions import OperationalError
from django.db import transaction

from backups_portal.transfers.models import Transfer
from backups_portal.transfers.tasks import run_transfer

log = logging.getLogger(__name__)


def enqueue(transfer: Transfer) -> None:
    """Send a queued transfer to the workers once it is committed."""
    transaction.on_commit(lambda: _send(transfer.pk))


def _send(transfer_id: UUID) -> None:
    try:
        run_transfer.delay(str(transfer_id))
    except OperationalError:
        # It stays queued, and the next tick sends it again.
        log.warning("broker is away, transfer waits transfer=%s", transfer_id, exc_info=True)
