"""From the pages to the workers."""

import logging
from uuid import UUID

from celery.exceptions import OperationalError
from django.db import transaction

from restores.models import Restore
from restores.tasks import run_restore

log = logging.getLogger(__name__)


def enqueue(restore: Restore) -> None:
    """Send a queued restore to the workers once it is committed."""
    transaction.on_commit(lambda: _send(restore.pk))


def _send(restore_id: UUID) -> None:
    try:
        run_restore.delay(str(restore_id))
    except OperationalError:
        # It stays queued, and the next tick sends it again.
        log.warning("broker is away, restore waits restore=%s", restore_id, exc_info=True)
