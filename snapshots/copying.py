"""Copying stored snapshots to the second storage: queue, claim, copy, verify, write down."""

import logging
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import Error as ControlDatabaseError
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from backups_portal.lib.causes import Cause
from backups_portal.lib.heartbeat import Heartbeat
from backups_portal.lib.leases import LeaseLostError, message_counts_for
from snapshots.copy_sweeping import note_away, remove_copies, second_is_away, wait_for_copy_sweep
from snapshots.engine.copying import Copied
from snapshots.engine.copying import copy_snapshot as copy_objects
from snapshots.engine.errors import EngineError, StorageError
from snapshots.engine.fallback import is_away
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import Storage
from snapshots.limits import too_long
from snapshots.locking import lock_copied
from snapshots.models import Snapshot, SnapshotCopy
from snapshots.storages import copy_place, copy_storage, has_copies, snapshot_storage

log = logging.getLogger(__name__)

State = SnapshotCopy.State
# A copy that ends its worker each time must not do so for ever.
MOST_ATTEMPTS = 5
# One of a project's copies at a time: the others find most objects there already. And none while a
# storage is away: whoever waits for it keeps a worker from taking backups.
WAIT = timedelta(minutes=1)
# Sent by one tick: backups that fall due meanwhile do not wait behind thousands of copies.
MOST_AT_ONCE = 100
INTERRUPTED = f"Copying was interrupted {MOST_ATTEMPTS} times and was given up until tomorrow."
UNEXPECTED = "Something went wrong on our side; the operators find the details in the log."


def queue_copies(project_ids: Collection[UUID], now: datetime, *, failed_before: datetime) -> int:
    """Queue a copy of every good snapshot of some projects that has none; returns how many.

    Those that failed are tried again, and those that are in another place than the settings name.

    Args:
        failed_before: Leave alone what failed after this.
    """
    if not has_copies():
        return 0
    good = Snapshot.objects.good().filter(project__in=project_ids)
    until = now + message_counts_for()
    rows = [
        SnapshotCopy(snapshot_id=pk, place=copy_place(), lease_until=until)
        for pk in good.filter(copy=None).values_list("pk", flat=True)
    ]
    SnapshotCopy.objects.bulk_create(rows, ignore_conflicts=True)
    known = SnapshotCopy.objects.filter(snapshot__in=good).exclude(state=State.RUNNING)
    fresh = {
        "state": State.QUEUED,
        "lease_until": until,
        "retry_at": None,
        "failures": 0,
        "attempts": 0,
    }
    moved = known.exclude(place=copy_place()).update(
        **fresh,
        place=copy_place(),
        reason="",
        cause="",
        copied_at=None,
        verified_at=None,
        needed_at=None,
        locked_until=None,
    )
    # It keeps its reason: whoever copies it looks at everything again.
    again = known.filter(state=State.FAILED, finished_at__lte=failed_before).update(**fresh)
    return len(rows) + moved + again


def next_copy(snapshot_id: UUID) -> list[UUID]:
    """The copy that the snapshot's project waits for, the newest; for the caller to enqueue."""
    if not has_copies() or second_is_away():
        return []
    rows = SnapshotCopy.objects.filter(
        snapshot__project__snapshots=snapshot_id,
        snapshot__state=Snapshot.State.COMPLETED,
        state=State.QUEUED,
    ).exclude(retry_at__gt=timezone.now())
    return list(rows.order_by("-snapshot__taken_at").values_list("pk", flat=True)[:1])


def copies_overlooked(now: datetime, *, limit: int = MOST_AT_ONCE) -> list[UUID]:
    """Copies whose message or worker was lost, for the caller to enqueue again."""
    if not has_copies():
        return []
    unfinished = SnapshotCopy.objects.filter(
        state__in=SnapshotCopy.UNFINISHED, snapshot__in=Snapshot.objects.completed()
    )
    return unfinished.send_again(now, counts_for=message_counts_for(), limit=limit)


def copy(snapshot_id: UUID) -> None:
    """Make the copy of a snapshot that is queued, or whose worker was lost; otherwise do nothing.

    It may be called twice, also at the same time: the row's lease lets one of them work.

    Raises:
        django.db.Error: the control database went away; the tick takes the copy up again.
        Exception: whatever nobody expected, after the copy was marked failed.
    """
    ticket = _claim(snapshot_id)
    if ticket is None:
        log.info("copy is done, waits, or is somebody else's snapshot=%s", snapshot_id)
        return
    row = SnapshotCopy.objects.select_related("snapshot").get(pk=snapshot_id)
    log.info("copy begins snapshot=%s attempt=%s", snapshot_id, row.attempts)
    try:
        if row.attempts - row.failures > MOST_ATTEMPTS:
            _give_up(row, ticket, INTERRUPTED, Cause.INTERRUPTED)
            return
        copied, locked_until = _copy(row, ticket)
        _complete(row, ticket, copied, locked_until)
    except LeaseLostError:
        log.warning("lease lost, copy stopped snapshot=%s", snapshot_id)
    except ControlDatabaseError:
        raise
    except SoftTimeLimitExceeded:
        _give_up(row, ticket, too_long("Copying this backup"), Cause.TIME_LIMIT)
    except EngineError as error:
        log.warning("copy failed snapshot=%s", snapshot_id, exc_info=True)
        if is_away(error):
            note_away()
        _fail(row, ticket, error)
    except Exception:
        _give_up(row, ticket, UNEXPECTED, Cause.UNEXPECTED)
        raise


@transaction.atomic
def _claim(snapshot_id: UUID) -> UUID | None:
    now = timezone.now()
    # The lock waits for a removal that is being decided, and then nothing is copied any more.
    rows = Snapshot.objects.completed().select_for_update(no_key=True).filter(pk=snapshot_id)
    snapshot = rows.first() if has_copies() else None
    if snapshot is None:
        return None
    others = SnapshotCopy.objects.exclude(pk=snapshot_id).filter(
        snapshot__project=snapshot.project_id, state=State.RUNNING, lease_until__gt=now
    )
    if others.exists() or second_is_away():
        SnapshotCopy.objects.filter(pk=snapshot_id, state=State.QUEUED).update(
            lease_until=now + WAIT
        )
        return None
    too_early = Q(state=State.QUEUED, retry_at__gt=now)
    return SnapshotCopy.objects.exclude(too_early).claim(
        snapshot_id,
        states=list(SnapshotCopy.UNFINISHED),
        to=State.RUNNING,
        lease=settings.LEASE,
    )


def _copy(row: SnapshotCopy, ticket: UUID) -> tuple[Copied, datetime | None]:
    """What was copied, and until when it is locked."""
    target = copy_storage()
    if target is None:
        raise StorageError("There is no second storage any more.")
    with Heartbeat(SnapshotCopy.objects.all(), row.pk, ticket, lease=settings.LEASE) as heartbeat:
        wait_for_copy_sweep(row.snapshot.project_id)
        last = _made_last(row)
        copied = copy_objects(
            snapshot_storage(),
            target,
            row.snapshot.manifest,
            # After an attempt that failed or was lost everything is looked at again.
            trusted=_trusted(last, target) if row.attempts == 1 and not row.reason else None,
            on_object=heartbeat.check,
            on_publish=heartbeat.renew,
        )
        locked_until = lock_copied(
            row.snapshot, target, copied.written, last, on_object=heartbeat.check
        )
    return copied, locked_until


def _made_last(row: SnapshotCopy) -> SnapshotCopy | None:
    """The project's copy in the same place that was made before this one."""
    copied = SnapshotCopy.objects.filter(
        snapshot__project=row.snapshot.project_id, state=State.COPIED, place=row.place
    )
    return copied.select_related("snapshot").order_by("-copied_at").first()


def _trusted(last: SnapshotCopy | None, target: Storage) -> frozenset[str]:
    """Objects of the copy that was made last: each was read back when it was written."""
    if last is None:
        return frozenset()
    manifest = last.snapshot.manifest
    try:
        return frozenset(Manifest.load(target, manifest).objects)
    except StorageError:
        raise
    except EngineError:
        log.warning("the copy made last cannot be read manifest=%s", manifest, exc_info=True)
        return frozenset()


def _complete(
    row: SnapshotCopy, ticket: UUID, copied: Copied, locked_until: datetime | None
) -> None:
    now = timezone.now()
    with transaction.atomic():
        # Retention does not wait for copies: what it removed meanwhile is not to come back.
        rows = Snapshot.objects.completed().select_for_update(no_key=True).filter(pk=row.pk)
        is_wanted = rows.exists()
        _finish(
            row,
            ticket,
            state=State.COPIED,
            reason="",
            cause="",
            copied_at=now,
            verified_at=now,
            new_bytes=copied.new_bytes,
            locked_until=locked_until,
        )
    if is_wanted:
        log.info("copied snapshot=%s new_bytes=%s", row.pk, copied.new_bytes)
    else:
        remove_copies(row.snapshot.project_id)


def _fail(row: SnapshotCopy, ticket: UUID, error: EngineError) -> None:
    """Queue it again for later, or say that it failed."""
    waits: Sequence[int] = settings.SNAPSHOT_RETRY_MINUTES
    if not isinstance(error, StorageError) or row.failures >= len(waits):
        _give_up(row, ticket, str(error), error.cause)
        return
    then = timezone.now() + timedelta(minutes=waits[row.failures])
    _update(
        row,
        ticket,
        state=State.QUEUED,
        reason=str(error),
        cause=error.cause,
        failures=F("failures") + 1,
        retry_at=then,
        lease_until=then,
    )


def _give_up(row: SnapshotCopy, ticket: UUID, reason: str, cause: Cause) -> None:
    _finish(row, ticket, state=State.FAILED, reason=reason, cause=cause)
    log.error("copy failed snapshot=%s: %s", row.pk, reason)


def _finish(row: SnapshotCopy, ticket: UUID, **fields: Any) -> None:
    _update(row, ticket, lease_until=None, finished_at=timezone.now(), **fields)


def _update(row: SnapshotCopy, ticket: UUID, **fields: Any) -> None:
    ours = SnapshotCopy.objects.filter(pk=row.pk, lease=ticket)
    if not ours.update(lease=None, **fields):
        raise LeaseLostError(str(row.pk))
