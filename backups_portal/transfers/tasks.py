"""What workers do for this app."""

import uuid

from django.utils import timezone

from backups_portal.celery import app
from backups_portal.transfers import forgetting, running


@app.task
def run_transfer(transfer_id: str) -> None:
    """Do what is queued of a transfer."""
    running.run_transfer(uuid.UUID(transfer_id))


@app.task
def forget_transfers() -> None:
    """Drop ledgers that are older than they are kept."""
    forgetting.forget_transfers(timezone.now())
