"""What beat sends: the tick of each minute, and the sweep that keeps storage clean."""

import logging
from datetime import datetime
from uuid import UUID

from django.utils import timezone

from backups_portal.audit.chain import seal_events
from backups_portal.celery import app
from backups_portal.lib import pulse
from backups_portal.ops.probing import forget_probes, storage_works
from backups_portal.ops.removing import remove_if_over
from backups_portal.projects.servers import check_servers
from backups_portal.transfers.models import Transfer
from backups_portal.transfers.tasks import forget_transfers, run_transfer
from restores.leftovers import has_leftovers
from restores.models import Proof, Restore
from restores.proof_queue import queue_proofs
from restores.tasks import drop_leftovers, run_proof, run_restore
from snapshots.engine.errors import EngineError
from snapshots.expiry import project_ids, prune_project, worth_pruning
from snapshots.orphans import sweep_project
from snapshots.queueing import message_counts_for, tidy_plan
from snapshots.tasks import run_schedule

log = logging.getLogger(__name__)

RESTORES_AT_A_TIME = 1_000
PROJECTS_AT_A_TIME = 50


@app.task
def tick() -> None:
    """Queue what is due, and send again what was overlooked."""
    now = timezone.now()
    pulse.note(pulse.SCHEDULE)
    send_restores_again(now)
    send_transfers_again(now)
    run_schedule(now)
    send_proofs(now)
    if has_leftovers(now):
        drop_leftovers.delay()
    seal_events()


@app.task
def look_at_storage() -> None:
    """Find out whether the backup storage takes an object and gives it back."""
    if storage_works():
        pulse.note(pulse.STORAGE)


@app.task
def tidy_storage() -> None:
    """Delete what was left behind by those who found out whether storage works."""
    try:
        forget_probes(timezone.now())
    except EngineError:
        log.exception("could not tidy the backup storage")


@app.task
def look_at_servers() -> None:
    """Find out which database servers answer, so that nobody waits for one that does not."""
    check_servers()


@app.task
def sweep(after: str | None = None) -> None:
    """Apply retention and sweep storage: some projects now, the others by a message of their own.

    One message at a time goes around, so that backups which fall due meanwhile do not wait behind
    thousands of sweeps.
    """
    if after is None:
        forget_transfers.delay()
        tidy_storage.delay()
    ids = project_ids(after=UUID(after) if after else None, limit=PROJECTS_AT_A_TIME)
    try:
        old = set(worth_pruning(ids, timezone.now()))
        for project_id in ids:
            _clean(project_id, prune=project_id in old)
    finally:
        # Also after an error: one project must not keep the others from their turn.
        if ids:
            sweep.delay(str(ids[-1]))


def send_restores_again(now: datetime) -> list[UUID]:
    """Enqueue restores whose message or worker was lost."""
    found = (
        Restore.objects.unfinished()
        .order_by("created_at")
        .send_again(now, counts_for=message_counts_for(), limit=RESTORES_AT_A_TIME)
    )
    for restore_id in found:
        log.warning("restore sent again restore=%s", restore_id)
        run_restore.delay(str(restore_id))
    return found


def send_transfers_again(now: datetime) -> list[UUID]:
    """Enqueue transfers whose message or worker was lost."""
    found = (
        Transfer.objects.all()
        .unfinished()
        .order_by("created_at")
        .send_again(now, counts_for=message_counts_for(), limit=RESTORES_AT_A_TIME)
    )
    for transfer_id in found:
        log.warning("transfer sent again transfer=%s", transfer_id)
        run_transfer.delay(str(transfer_id))
    return found


def send_proofs(now: datetime) -> list[UUID]:
    """Queue the proofs that are wanted, and enqueue them and those that were overlooked."""
    overlooked = (
        Proof.objects.unfinished()
        .order_by("created_at")
        .send_again(now, counts_for=message_counts_for(), limit=RESTORES_AT_A_TIME)
    )
    for proof_id in overlooked:
        log.warning("proof sent again proof=%s", proof_id)
    found = [*overlooked, *queue_proofs(now)]
    for proof_id in found:
        run_proof.delay(str(proof_id))
    return found


def _clean(project_id: UUID, *, prune: bool) -> None:
    now = timezone.now()
    tidy_plan(project_id, now)
    if remove_if_over(project_id, now):
        return
    try:
        if prune:
            prune_project(project_id, now)
        sweep_project(project_id)
    except EngineError:
        log.exception("could not clean up project=%s", project_id)
