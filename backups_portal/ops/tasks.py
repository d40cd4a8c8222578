"""Periodic tasks: the minute tick, and the sweep of storage."""

from datetime import datetime, timedelta
from uuid import UUID

from celery import Task
from django.utils import timezone

from backups_portal.audit.hash_chain import seal_events
from backups_portal.celery import app
from backups_portal.lib import liveness
from backups_portal.lib.db_time import database_now, earlier_now
from backups_portal.lib.leases import Leased, LeaseQuerySet
from backups_portal.lib.loggers import get_logger
from backups_portal.notifications.delivery import send_again
from backups_portal.notifications.message_queue import plan_deliveries
from backups_portal.notifications.tasks import enqueue, forget_deliveries
from backups_portal.ops import sweep_state
from backups_portal.ops.project_removal import remove_if_over
from backups_portal.ops.storage_probe import copies_work, forget_probes, storage_works
from backups_portal.ops.storage_state import probe
from backups_portal.projects.servers import check_servers
from backups_portal.transfers.models import CsvRequest, Transfer
from backups_portal.transfers.tasks import forget_transfers, run_csv, run_transfer
from restores.index_rebuild import take_due
from restores.models import Proof, Restore
from restores.orphan_databases import has_leftovers
from restores.proof_queue import queue_proofs
from restores.tasks import drop_leftovers, drop_strays, rebuild_indexes, run_proof, run_restore
from snapshots.engine.errors import EngineError
from snapshots.engine.fallback_storage import is_away
from snapshots.integrity.orphan_objects import sweep_project
from snapshots.object_lock.lock_extension import extend_copy_locks, extend_locks
from snapshots.replication.copy_run import queue_copies
from snapshots.replication.copy_sweep import remove_copies, second_is_away, sweep_copies
from snapshots.retention.expiry import project_ids, prune_project, worth_pruning
from snapshots.schedule.schedule_tick import tidy_plan
from snapshots.storages.configured_storages import copy_storage, has_copies, snapshot_storage
from snapshots.storages.storage_signs import copies_sign, storage_sign
from snapshots.tasks import run_schedule, send_copies_again

log = get_logger(__name__)

ROWS_AT_A_TIME = 1_000
PROJECTS_AT_A_TIME = 50
DAY = timedelta(days=1)
TASKS: dict[type[Leased], Task] = {
    Restore: run_restore,
    Proof: run_proof,
    Transfer: run_transfer,
    CsvRequest: run_csv,
}


@app.task
def tick() -> None:
    """Queue what is due, and re-enqueue work whose message or worker was lost."""
    now = database_now()
    for model in (Restore, Transfer, CsvRequest):
        send_overlooked(model, now)
    run_schedule(now)
    send_proofs(now)
    send_copies_again(now)
    send_index_rebuilds(now)
    if has_leftovers(now):
        drop_leftovers.delay()
    seal_events()
    # Notifications of sealed audit events, and retries.
    enqueue([*plan_deliveries(now), *send_again(now)])
    # This comes last: a tick that fails halfway must not look alive to monitoring.
    liveness.note(liveness.SCHEDULE)


@app.task
def look_at_storage() -> None:
    """Probe the first storage."""
    probe(storage_sign(), storage_works)


@app.task
def look_at_copies() -> None:
    """Probe the second storage, separately because an outage makes it wait."""
    if has_copies():
        probe(copies_sign(), copies_work)


@app.task
def tidy_storage() -> None:
    """Delete probe objects that were left in the first storage."""
    try:
        forget_probes(snapshot_storage(), timezone.now())
    except EngineError as error:
        log.error("could not tidy the backup storage", error=error)


@app.task
def tidy_copies() -> None:
    """Delete probe objects left in the second storage, if it responds."""
    if second_is_away():
        return
    try:
        if storage := copy_storage():
            forget_probes(storage, timezone.now())
    except EngineError as error:
        log.error("could not tidy the second backup storage", error=error)


@app.task
def look_at_servers() -> None:
    """Record which database servers respond, so that no page waits for one."""
    check_servers()


@app.task
def begin_sweep() -> None:
    """Begin a round of the sweep, unless one is under way."""
    mark = sweep_state.begin()
    if mark is None:
        log.info("the last round of the sweep is still under way")
        return
    forget_transfers.delay()
    forget_deliveries.delay()
    tidy_storage.delay()
    if has_copies():
        tidy_copies.delay()
    drop_strays.delay()
    sweep.delay(None, mark)


@app.task
def sweep(after: str | None = None, mark: str = "") -> None:
    """Apply retention and sweep storage for a batch of projects.

    Each message enqueues the next one, so that backups that fall due meanwhile do not queue behind
    thousands of sweeps.

    Args:
        after: The last project that was visited.
        mark: The mark of its round; "" if it belongs to no round.
    """
    if mark and not sweep_state.is_current(mark):
        log.info("a stale message of the sweep was dropped", after=after)
        return
    ids = project_ids(after=UUID(after) if after else None, limit=PROJECTS_AT_A_TIME)
    now = database_now()
    try:
        queue_copies(ids, now, failed_before=now - DAY)
        old = set(worth_pruning(ids, now))
        for project_id in ids:
            _clean(project_id, prune=project_id in old)
    finally:
        # Continue after an error, because one batch must not block the others.
        if ids:
            sweep.delay(str(ids[-1]), sweep_state.go_on() if mark else "")
        else:
            liveness.note(liveness.SWEEP)
            if mark:
                sweep_state.end()


@app.task
def clean_copies(after: str | None = None) -> None:
    """Sweep the second storage; leave it to the next round in an outage."""
    if not has_copies():
        return
    ids = project_ids(after=UUID(after) if after else None, limit=PROJECTS_AT_A_TIME)
    for project_id in ids:
        try:
            remove_copies(project_id)
            sweep_copies(project_id)
            extend_copy_locks(project_id, timezone.now())
        except EngineError as error:
            log.error("could not clean up the copies", project=project_id, error=error)
            if is_away(error):
                return
    if ids:
        clean_copies.delay(str(ids[-1]))


@app.task
def remove_expired_copies(project_id: str) -> None:
    """Remove the copies of snapshots that retention has just removed.

    This is a separate task because an outage of the second storage makes its caller wait; after
    one, `clean_copies` removes them.
    """
    if second_is_away():
        return
    try:
        remove_copies(UUID(project_id))
        sweep_copies(UUID(project_id))
    except EngineError as error:
        log.error("could not remove expired copies", project=project_id, error=error)


def send_proofs(now: datetime) -> None:
    """Enqueue new proofs, and those whose message or worker was lost."""
    send_overlooked(Proof, now)
    for proof_id in queue_proofs(now):
        run_proof.delay(str(proof_id))


def send_overlooked(model: type[Leased], now: datetime) -> list[UUID]:
    """Enqueue rows of a model of TASKS whose message or worker was lost."""
    task, oldest = TASKS[model], LeaseQuerySet(model).unfinished().order_by("created_at")
    found = oldest.send_again(now, limit=ROWS_AT_A_TIME)
    for pk in found:
        log.warning("sent again", name=task.name, id=pk)
        task.delay(str(pk))
    return found


def send_index_rebuilds(now: datetime) -> list[UUID]:
    """Enqueue the index rebuilds that are due."""
    found = take_due(now)
    for pk in found:
        rebuild_indexes.delay(str(pk))
    return found


def _clean(project_id: UUID, *, prune: bool) -> None:
    try:
        is_doubtful = _prune_and_sweep(project_id, prune=prune)
    except Exception:
        # Any error: one project must not keep the others from their turn, and the metric of
        # projects in doubt reports it.
        log.exception("could not clean up", project=project_id)
        is_doubtful = True
    sweep_state.note_doubt(project_id, is_doubtful=is_doubtful)


def _prune_and_sweep(project_id: UUID, *, prune: bool) -> bool:
    """Prune and sweep a project; tell whether its stored backups are in doubt."""
    now = earlier_now()
    tidy_plan(project_id, now)
    if remove_if_over(project_id, now):
        return False
    if prune and any(item.goes for item in prune_project(project_id, now)) and has_copies():
        remove_expired_copies.delay(str(project_id))
    swept = sweep_project(project_id)
    extend_locks(project_id, now)
    return swept is not None and swept.is_doubtful
