"""Taking one queued snapshot: claim it, let the engine work, store what came of it."""

import logging
from typing import Any
from uuid import UUID

from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import Error as ControlDatabaseError
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from backups_portal.audit.services import record
from backups_portal.lib.causes import Cause
from backups_portal.lib.heartbeat import Heartbeat
from backups_portal.lib.leases import LeaseLostError
from backups_portal.lib.parallel import workers_for
from backups_portal.projects.connections import project_dsn
from backups_portal.projects.models import Project
from snapshots.admitting import claim
from snapshots.anomaly import COMPARED, Size, smallness
from snapshots.bases import find_base, is_full_due
from snapshots.copying import queue_copies
from snapshots.engine.errors import EngineError, StorageError
from snapshots.engine.manifest import Manifest, UntrackedChange, manifest_folder
from snapshots.engine.source import chunk_start, source_errors
from snapshots.engine.steps import Step
from snapshots.engine.storage import Storage
from snapshots.engine.taking import Progress, take_snapshot
from snapshots.limits import limit_seconds, too_long
from snapshots.locking import lock_taken
from snapshots.models import Snapshot
from snapshots.orphans import wait_for_sweep
from snapshots.retrying import retry_at
from snapshots.storages import snapshot_storage

log = logging.getLogger(__name__)

# A snapshot that ends its worker each time, by memory say, must not do so for ever.
MOST_ATTEMPTS = 5
# The audit log is no place for thousands of days; the snapshot's row has them all.
MOST_NAMED = 20
SHUT_DOWN = "The project was shut down before its backup was taken."
INTERRUPTED = (
    f"The backup was interrupted {MOST_ATTEMPTS} times and was given up. "
    "The next one runs as scheduled."
)
UNEXPECTED = (
    "Something went wrong on our side; the operators find the details in the log. "
    "The next backup runs as scheduled."
)


def take(snapshot_id: UUID) -> bool:
    """Take a snapshot that is queued, or whose worker was lost; otherwise do nothing.

    It may be called twice, also at the same time: the row's lease lets one of them work. Where its
    database server has no room for one more, it waits.

    Returns:
        Whether it was taken up, however that ended: its database server then has room again.

    Raises:
        django.db.Error: the control database went away; the tick takes the snapshot up again.
        Exception: whatever nobody expected, after the snapshot was marked failed.
    """
    ticket = claim(snapshot_id)
    if ticket is None:
        log.info("snapshot is done, waits, or is somebody else's snapshot=%s", snapshot_id)
        return False
    try:
        _take_claimed(snapshot_id, ticket)
    except LeaseLostError:
        log.warning("lease lost, stopped snapshot=%s", snapshot_id)
    return True


def _reach(snapshot: Snapshot, step: Step) -> None:
    """Say which step is next: the log tells where a worker was lost."""
    log.info("snapshot step=%s snapshot=%s", step, snapshot.pk)


def _take_claimed(snapshot_id: UUID, ticket: UUID) -> None:
    Snapshot.objects.renew(
        snapshot_id,
        ticket,
        lease=settings.LEASE,
        started_at=timezone.now(),
        rows_done=0,
        rows_total=None,
        bytes_done=0,
    )
    snapshot = Snapshot.objects.select_related("project__server", "project__main_database").get(
        pk=snapshot_id
    )
    if refusal := _refusal(snapshot):
        _give_up(snapshot, ticket, *refusal)
        return
    log.info("snapshot begins snapshot=%s attempt=%s", snapshot_id, snapshot.attempts)
    try:
        manifest = _run_engine(snapshot, ticket)
        _reach(snapshot, Step.RECORDING)
        _complete(snapshot, ticket, manifest)
        _reach(snapshot, Step.DONE)
    except (LeaseLostError, ControlDatabaseError):
        raise
    except SoftTimeLimitExceeded:
        log.warning("snapshot took too long snapshot=%s", snapshot_id, exc_info=True)
        _give_up(snapshot, ticket, too_long("The backup"), Cause.TIME_LIMIT)
    except EngineError as error:
        log.warning("snapshot failed snapshot=%s", snapshot_id, exc_info=True)
        _fail(snapshot, ticket, str(error), error.cause)
    except Exception:
        log.exception("snapshot failed unexpectedly snapshot=%s", snapshot_id)
        _fail(snapshot, ticket, UNEXPECTED, Cause.UNEXPECTED)
        raise


def _refusal(snapshot: Snapshot) -> tuple[str, Cause] | None:
    if snapshot.project.state != Project.State.ACTIVE:
        return SHUT_DOWN, Cause.SHUT_DOWN
    if snapshot.attempts - snapshot.failures > MOST_ATTEMPTS:
        return INTERRUPTED, Cause.INTERRUPTED
    return None


def _run_engine(snapshot: Snapshot, ticket: UUID) -> Manifest:
    storage = snapshot_storage()
    with Heartbeat(Snapshot.objects.all(), snapshot.id, ticket, lease=settings.LEASE) as heartbeat:
        reached = Step.STARTING
        _reach(snapshot, reached)
        if snapshot.attempts > 1:
            _remove_manifest(snapshot, storage)

        def report(progress: Progress) -> None:
            nonlocal reached
            if progress.step != reached:
                reached = Step(progress.step)
                _reach(snapshot, reached)
            if reached == Step.PUBLISHING:
                # Whoever slept for longer than its lease must not publish.
                heartbeat.renew()
            heartbeat.report(
                rows_done=progress.rows_done,
                rows_total=progress.rows_total,
                bytes_done=progress.bytes_done,
            )

        wait_for_sweep(snapshot.project_id)
        with source_errors():
            dsn = project_dsn(snapshot.project, statement_seconds=limit_seconds())
        base = find_base(storage, snapshot)
        return take_snapshot(
            dsn,
            storage,
            project_id=snapshot.project_id,
            snapshot_id=snapshot.id,
            base=base,
            readers=workers_for(settings.SNAPSHOT_READERS),
            on_progress=report,
            full=is_full_due(snapshot),
            labels={
                "project": snapshot.project.name,
                "local_date": snapshot.local_date.isoformat(),
                "time_zone": snapshot.project.main_database.backup_time_zone,
            },
            on_published=lambda manifest: lock_taken(
                snapshot, storage, manifest, base, on_object=heartbeat.check
            ),
        )


@transaction.atomic
def _complete(snapshot: Snapshot, ticket: UUID, manifest: Manifest) -> None:
    untracked = [_as_json(change) for change in manifest.untracked]
    size_note = smallness(Size(manifest.rows, manifest.logical_bytes), _sizes_before(snapshot))
    _finish(
        snapshot,
        ticket,
        state=Snapshot.State.COMPLETED,
        reason="",
        cause="",
        taken_at=manifest.taken_at,
        manifest=manifest.key,
        is_full=manifest.is_full,
        table_rows=manifest.table_rows,
        rows=manifest.rows,
        rows_done=manifest.rows,
        rows_total=manifest.rows,
        logical_bytes=manifest.logical_bytes,
        stored_bytes=manifest.stored_bytes,
        new_bytes=manifest.new_bytes,
        postgresql_version=manifest.postgresql_version,
        schema_version=manifest.schema_version,
        untracked=untracked,
        size_note=size_note,
    )
    _record(
        snapshot,
        "snapshot.completed",
        {"rows": manifest.rows, "stored_bytes": manifest.stored_bytes},
    )
    if size_note:
        log.warning("snapshot is unusually small snapshot=%s: %s", snapshot.pk, size_note)
        _record(snapshot, "snapshot.size_anomaly", {"reason": size_note})
    now = timezone.now()
    queue_copies([snapshot.project_id], now, failed_before=now)
    if untracked:
        # The snapshot is good: it was read, not foretold. Those since the last full one may not be.
        log.error("tracking missed changes snapshot=%s %s", snapshot.pk, untracked)
        _record(snapshot, "snapshot.untracked_change", {"changes": untracked[:MOST_NAMED]})


def _sizes_before(snapshot: Snapshot) -> list[Size]:
    """What the newest good snapshots of its project hold."""
    good = Snapshot.objects.good().filter(project=snapshot.project_id).exclude(pk=snapshot.pk)
    found = good.filter(rows__isnull=False, logical_bytes__isnull=False).order_by("-taken_at")
    return [Size(*row) for row in found.values_list("rows", "logical_bytes")[:COMPARED]]


def _as_json(change: UntrackedChange) -> dict[str, Any]:
    days = {
        name: chunk_start(chunk).date().isoformat() if chunk is not None else None
        for name, chunk in (("first_day", change.first_chunk), ("end_day", change.end_chunk))
    }
    return {**days, "rows_expected": change.rows_expected, "rows_found": change.rows_found}


def _fail(snapshot: Snapshot, ticket: UUID, reason: str, cause: Cause) -> None:
    """Queue it again for later the same day, or say that it failed."""
    then = retry_at(snapshot, timezone.now())
    if then is None:
        _give_up(snapshot, ticket, reason, cause)
        return
    _discard(snapshot, ticket)
    with transaction.atomic():
        ours = Snapshot.objects.filter(pk=snapshot.pk, lease=ticket)
        # Nobody is sent a message: the tick finds what waits for longer than its time.
        queued = ours.update(
            state=Snapshot.State.QUEUED,
            lease=None,
            lease_until=then,
            retry_at=then,
            reason=reason,
            cause=cause,
            failures=F("failures") + 1,
        )
        if not queued:
            raise LeaseLostError(str(snapshot.pk))
        _record(snapshot, "snapshot.retried", {"reason": reason, "again_at": then.isoformat()})
    log.info("snapshot is tried again snapshot=%s at=%s", snapshot.pk, then)


def _give_up(snapshot: Snapshot, ticket: UUID, reason: str, cause: Cause) -> None:
    _discard(snapshot, ticket)
    with transaction.atomic():
        _finish(snapshot, ticket, state=Snapshot.State.FAILED, reason=reason, cause=cause)
        _record(snapshot, "snapshot.failed", {"reason": reason})


def _finish(snapshot: Snapshot, ticket: UUID, **fields: Any) -> None:
    ours = Snapshot.objects.filter(pk=snapshot.pk, lease=ticket)
    finished_at = timezone.now()
    if not ours.update(lease=None, lease_until=None, finished_at=finished_at, **fields):
        raise LeaseLostError(str(snapshot.pk))


def _record(snapshot: Snapshot, action: str, details: dict[str, Any]) -> None:
    record(
        action=action,
        actor=None,
        project=snapshot.project,
        subject=f"Backup of {snapshot.local_date}",
        details={"snapshot": str(snapshot.id), **details},
    )


def _remove_manifest(snapshot: Snapshot, storage: Storage) -> None:
    """Remove what an attempt published that could not say so."""
    storage.delete(f"{manifest_folder(snapshot.project_id)}{snapshot.id}.json")


def _discard(snapshot: Snapshot, ticket: UUID) -> None:
    """Remove the manifest of a failed attempt, which would keep its segments for ever.

    All attempts at a snapshot publish under one name: only who holds the lease may remove it, and
    lets go of the lease afterwards. Who is killed between the two leaves it to the next attempt.

    Raises:
        LeaseLostError: another worker has taken the row; what is there is its own.
    """
    rows = Snapshot.objects.all()
    try:
        with Heartbeat(rows, snapshot.pk, ticket, lease=settings.LEASE) as heartbeat:
            heartbeat.renew()
            _remove_manifest(snapshot, snapshot_storage())
    except StorageError:
        log.warning("could not discard the manifest snapshot=%s", snapshot.id, exc_info=True)
