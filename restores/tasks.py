"""What workers do for this app."""

import uuid

from django.utils import timezone

from backups_portal.celery import app
from backups_portal.lib.leased_job import JobFailedError
from restores import orphan_databases, proof_run, restore_run


@app.task(throws=(JobFailedError,))
def run_restore(restore_id: str) -> None:
    """Make the project of a queued restore."""
    restore_run.run_restore(uuid.UUID(restore_id)).tell_celery()


@app.task(throws=(JobFailedError,))
def run_proof(proof_id: str) -> None:
    """Prove the snapshot of a queued proof."""
    proof_run.run_proof(uuid.UUID(proof_id)).tell_celery()


@app.task
def drop_leftovers() -> None:
    """Drop the databases of ended work that nobody needs."""
    orphan_databases.drop_leftovers(timezone.now())


@app.task
def drop_strays() -> None:
    """Drop databases that nobody has written down."""
    orphan_databases.drop_strays()
