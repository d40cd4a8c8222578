"""What workers do for this app."""

import uuid

from backups_portal.celery import app
from restores import running


@app.task
def run_restore(restore_id: str) -> None:
    """Make the project of a queued restore."""
    running.run_restore(uuid.UUID(restore_id))
