"""What beat sends: the tick of each minute, and the sweep that keeps storage clean."""

import logging
from datetime import datetime, timedelta
from uuid import UUID

from django.utils import timezone

from backups_portal.audit.chain import seal_events
from backups_portal.celery import app
from backups_portal.lib import pulse
from backups_portal.lib.clock import database_now
from backups_portal.lib.leases import message_counts_for
from backups_portal.notifications.delivering import send_again
from backups_portal.notifications.planning import plan_deliveries
from backups_portal.notifications.tasks import enqueue, forget_deliveries
from backups_portal.ops import rounds
from backups_portal.ops.probing import copies_work, forget_probes, storage_works
from backups_portal.ops.removing import remove_if_over
from backups_portal.projects.servers import check_servers
from backups_portal.transfers.models import Transfer
from backups_portal.transfers.tasks import forget_transfers, run_transfer
from restores.leftovers import has_leftovers
from restores.models import Proof, Restore
from restores.proof_queue import queue_proofs
from restores.tasks import drop_leftovers, drop_strays, run_proof, run_restore
from snapshots.copy_sweeping import remove_copies, sweep_copies
from snapshots.copying import queue_copies
from snapshots.engine.errors import EngineError
from snapshots.engine.fallback import is_away
from snapshots.expiry import project_ids, prune_project, worth_pruning
from snapshots.locking import extend_copy_locks, extend_locks
from snapshots.orphans import sweep_project
from snapshots.queueing import tidy_plan
from snapshots.storages import has_copies
from snapshots.tasks import run_schedule, send_copies_again

log = logging.getLogger(__name__)

RESTORES_AT_A_TIME = 1_000
PROJECTS_AT_A_TIME = 50
DAY = timedelta(days=1)


@app.task
def tick() -> None:
    """Queue what is due, and send again what was overlooked."""
    now = timezone.now()
    send_restores_again(now)
    send_transfers_again(now)
    run_schedule(now)
    send_proofs(now)
    send_copies_again(now)
    if has_leftovers(now):
        drop_leftovers.delay()
    seal_events()
    send_notifications(now)
    # Last: a tick that fails halfway has not done what monitoring asks for.
    pulse.note(pulse.SCHEDULE)


@app.task
def look_at_storage() -> None:
    """Find out whether the backup storage takes an object and gives it back."""
    if storage_works():
        pulse.note(pulse.STORAGE)


@app.task
def look_at_copies() -> None:
    """The same for the second storage; a task of its own, for who is away makes others wait."""
    if has_copies() and copies_work():
        pulse.note(pulse.COPIES)


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
def begin_sweep() -> None:
    """Begin a round of the sweep, unless the one before is still going around."""
    mark = rounds.begin()
    if mark is None:
        log.info("the last round of the sweep is still under way")
        return
    forget_transfers.delay()
    forget_deliveries.delay()
    tidy_storage.delay()
    drop_strays.delay()
    sweep.delay(None, mark)


@app.task
def sweep(after: str | None = None, mark: str = "") -> None:
    """Apply retention and sweep storage: some projects now, the others by a message of their own.

    One message at a time goes around, so that backups which fall due meanwhile do not wait behind
    thousands of sweeps.

    Args:
        after: The last project that was visited.
        mark: Of the round that it belongs to; without one it belongs to none.
    """
    if mark and not rounds.is_current(mark):
        log.info("this message of the sweep was overtaken after=%s", after)
        return
    ids = project_ids(after=UUID(after) if after else None, limit=PROJECTS_AT_A_TIME)
    now = database_now()
    try:
        queue_copies(ids, now, failed_before=now - DAY)
        old = set(worth_pruning(ids, now))
        for project_id in ids:
            _clean(project_id, prune=project_id in old)
    finally:
        # Also after an error: one project must not keep the others from their turn.
        if ids:
            sweep.delay(str(ids[-1]), rounds.go_on() if mark else "")
        elif mark:
            rounds.end()


@app.task
def clean_copies(after: str | None = None) -> None:
    """The same for the second storage, where nobody waits: if it is away, the next round comes."""
    if not has_copies():
        return
    ids = project_ids(after=UUID(after) if after else None, limit=PROJECTS_AT_A_TIME)
    for project_id in ids:
        try:
            remove_copies(project_id)
            sweep_copies(project_id)
            extend_copy_locks(project_id, timezone.now())
        except EngineError as error:
            log.exception("could not clean up the copies project=%s", project_id)
            if is_away(error):
                return
    if ids:
        clean_copies.delay(str(ids[-1]))


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


def send_notifications(now: datetime) -> list[UUID]:
    """Tell what the sealed part of the audit log has, and send again what did not arrive."""
    found = [*plan_deliveries(now), *send_again(now)]
    enqueue(found)
    return found


def _clean(project_id: UUID, *, prune: bool) -> None:
    try:
        is_doubtful = _prune_and_sweep(project_id, prune=prune)
    except Exception:
        # The edge of the loop: whatever is wrong with one project, the others have their turn, and
        # monitoring is told.
        log.exception("could not clean up project=%s", project_id)
        is_doubtful = True
    rounds.note_doubt(project_id, is_doubtful=is_doubtful)


def _prune_and_sweep(project_id: UUID, *, prune: bool) -> bool:
    """Whether something is wrong with the project's storage that is said of no snapshot."""
    now = database_now()
    tidy_plan(project_id, now)
    if remove_if_over(project_id, now):
        return False
    if prune:
        prune_project(project_id, now)
    swept = sweep_project(project_id)
    extend_locks(project_id, now)
    return swept is not None and swept.is_doubtful
