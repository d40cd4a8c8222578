"""The Celery tasks of this app."""

import uuid

from django.utils import timezone

from backups_portal.celery import app
from backups_portal.lib.leased_job import JobFailedError, may_wait
from restores import index_rebuild, orphan_databases, proof_run, restore_run


@app.task(throws=(JobFailedError,))
def run_restore(restore_id: str) -> None:
    """Make the project of a queued restore."""
    ran = restore_run.run_restore(uuid.UUID(restore_id))
    if index_rebuild.is_wanted(uuid.UUID(restore_id)):
        with may_wait(f"rebuild of indexes {restore_id}"):
            rebuild_indexes.delay(restore_id)
    ran.tell_celery()


@app.task
def rebuild_indexes(restore_id: str) -> None:
    """Rebuild a restored project's indexes for lasting use."""
    index_rebuild.rebuild_indexes(uuid.UUID(restore_id))


@app.task(throws=(JobFailedError,))
def run_proof(proof_id: str) -> None:
    """Prove the snapshot of a queued proof."""
    proof_run.run_proof(uuid.UUID(proof_id)).tell_celery()


@app.task
def drop_leftovers() -> None:
    """Drop databases left over by finished runs."""
    orphan_databases.drop_leftovers(timezone.now())


@app.task
def drop_strays() -> None:
    """Drop old databases that no row names."""
    orphan_databases.drop_strays()
