"""What workers do for this app."""

import uuid

from django.utils import timezone

from backups_portal.celery import app
from restores import leftovers, proving, running, strays


@app.task
def run_restore(restore_id: str) -> None:
    """Make the project of a queued restore."""
    running.run_restore(uuid.UUID(restore_id))


@app.task
def run_proof(proof_id: str) -> None:
    """Prove the snapshot of a queued proof."""
    proving.run_proof(uuid.UUID(proof_id))


@app.task
def drop_leftovers() -> None:
    """Drop the databases of ended work that nobody needs."""
    leftovers.drop_leftovers(timezone.now())


@app.task
def drop_strays() -> None:
    """Drop databases that nobody has written down."""
    strays.drop_strays()
