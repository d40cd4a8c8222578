"""What workers do for this app."""

import uuid

from celery import shared_task

from restores import running


@shared_task
def run_restore(restore_id: str) -> None:
    """Make the project of a queued restore."""
    running.run_restore(uuid.UUID(restore_id))
