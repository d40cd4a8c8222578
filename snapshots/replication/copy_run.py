"""Copy stored snapshots to the second storage."""

from collections.abc import Collection
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import F

from backups_portal.lib.db_time import database_now
from backups_portal.lib.leased_job import LeasedJob, Ran, back_off
from backups_portal.lib.leases import LeaseQuerySet, message_counts_for
from backups_portal.lib.loggers import get_logger
from snapshots.engine.errors import EngineError, StorageError
from snapshots.engine.fallback_storage import is_away
from snapshots.engine.snapshot_copy import Copied, CopyListener
from snapshots.engine.snapshot_copy import copy_snapshot as copy_objects
from snapshots.engine.storage import Storage, place_of
from snapshots.integrity.damage import note_healed_copy
from snapshots.integrity.recorded_manifests import load_manifest, record_of
from snapshots.models import Snapshot, SnapshotCopy
from snapshots.object_lock.lock_extension import lock_copied
from snapshots.replication.copy_sweep import (
    note_away,
    remove_copies,
    second_is_away,
    wait_for_copy_sweep,
)
from snapshots.schedule.task_limit import too_long
from snapshots.storages.configured_storages import copy_place, has_copies, snapshot_storage
from snapshots.storages.storage_marker import check_apart, right_copy_storage

log = get_logger(__name__)

State = SnapshotCopy.State
# A copy that kills its worker every time must not be retried without end.
MAX_ATTEMPTS = 5
# Only one of a project's copies is made at a time, so that the next one finds most objects there;
# and none while the second storage is away, because the waiting workers would take no backups.
WAIT = timedelta(minutes=1)
# The most that one tick sends: due backups must not wait behind thousands of copies.
MAX_AT_ONCE = 100
# The fields of a copy that waits for its first attempt, and of one that exists nowhere yet.
FRESH = {"state": State.QUEUED, "retry_at": None, "failures": 0, "attempts": 0}
UNCOPIED: dict[str, object] = {
    "reason": "",
    "cause": "",
    "copied_at": None,
    "verified_at": None,
    "needed_at": None,
    "locked_until": None,
}
INTERRUPTED = f"Copying was interrupted {MAX_ATTEMPTS} times. It will be tried again tomorrow."
UNEXPECTED = "Something went wrong on our side. The operators' log has the details."


def queue_copies(project_ids: Collection[UUID], now: datetime, *, failed_before: datetime) -> int:
    """Queue copies of the good snapshots of projects; return how many.

    Queues copies that are missing, that failed, or whose place differs from the settings.

    Args:
        failed_before: Leave copies alone that failed after this.
    """
    _forget_moved(project_ids)
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
    elsewhere = known.exclude(place=copy_place())
    moved = elsewhere.update(place=copy_place(), **UNCOPIED, **FRESH, lease_until=until)
    # Failed copies keep their reason, which makes the next attempt read every object again.
    failed = known.filter(state=State.FAILED, finished_at__lte=failed_before)
    return len(rows) + moved + failed.update(**FRESH, lease_until=until)


def _forget_moved(project_ids: Collection[UUID]) -> None:
    """Forget copies in what is the first storage now: they are the backups.

    What was known about the previous first storage does not apply: locks are checked again, and
    expired snapshots are removed once more.
    """
    place = place_of(settings.SNAPSHOT_STORAGE)
    moved = SnapshotCopy.objects.filter(snapshot__project__in=project_ids, place=place)
    if not moved.exists():
        return
    with transaction.atomic():
        here = Snapshot.objects.filter(project__in=moved.values("snapshot__project"))
        here.update(locked_until=None)
        here.filter(state=Snapshot.State.EXPIRED, copy__in=moved).update(removed_at=None)
        moved.delete()


def next_copy(snapshot_id: UUID) -> list[UUID]:
    """Return the project's newest waiting copy, to be enqueued."""
    if not has_copies() or second_is_away():
        return []
    rows = SnapshotCopy.objects.filter(
        snapshot__project__snapshots=snapshot_id,
        snapshot__state=Snapshot.State.COMPLETED,
        state=State.QUEUED,
    ).exclude(retry_at__gt=database_now())
    return list(rows.order_by("-snapshot__taken_at").values_list("pk", flat=True)[:1])


def copies_overlooked(now: datetime, *, limit: int = MAX_AT_ONCE) -> list[UUID]:
    """Return copies whose message or worker was lost, to be enqueued."""
    if not has_copies():
        return []
    unfinished = SnapshotCopy.objects.unfinished()
    stored = unfinished.filter(snapshot__in=Snapshot.objects.completed())
    return stored.send_again(now, limit=limit)


def copy(snapshot_id: UUID) -> Ran:
    """Make the queued copy of a snapshot; see `LeasedJob.run`."""
    return CopyJob(snapshot_id).run()


class CopyJob(LeasedJob[SnapshotCopy]):
    """One attempt at a copy."""

    name = "copy"
    shown_errors = (EngineError,)
    unexpected = UNEXPECTED
    max_attempts = MAX_ATTEMPTS
    interrupted = INTERRUPTED

    def facts(self) -> dict[str, object]:
        project = self.row.snapshot.project_id
        return {**super().facts(), "snapshot": self.pk, "project": project}

    def rows(self) -> LeaseQuerySet:
        return SnapshotCopy.objects.select_related("snapshot")

    @transaction.atomic
    def claim(self) -> UUID | None:
        now = database_now()
        # Waits for a removal in progress, after which nothing is copied any more.
        rows = Snapshot.objects.completed().select_for_update(no_key=True).filter(pk=self.pk)
        snapshot = rows.first() if has_copies() else None
        if snapshot is None:
            return None
        others = SnapshotCopy.objects.exclude(pk=self.pk).filter(
            snapshot__project=snapshot.project_id, state=State.RUNNING, lease_until__gt=now
        )
        if others.exists() or second_is_away():
            waiting = SnapshotCopy.objects.filter(pk=self.pk, state=State.QUEUED)
            waiting.update(lease_until=now + WAIT)
            return None
        return SnapshotCopy.objects.without_early(now).claim(self.pk, lease=settings.LEASE)

    def silent_attempts(self) -> int:
        return self.row.attempts - self.row.failures

    def work(self) -> None:
        try:
            copied = self._copy()
        except EngineError as error:
            if is_away(error):
                note_away()
            raise
        _complete(self, copied)

    def retry_at(self, error: Exception) -> datetime | None:
        if not isinstance(error, StorageError):
            return None
        return back_off(settings.SNAPSHOT_RETRY_MINUTES, self.row.failures, database_now())

    def too_long(self) -> str:
        return too_long("Copying this backup")

    def give_up(self, error: Exception, **fields: object) -> None:
        super().give_up(error, **fields)
        log.error("copy failed: %s", fields["reason"], snapshot=self.pk)

    def postpone(self, then: datetime, **fields: object) -> None:
        super().postpone(then, retry_at=then, failures=F("failures") + 1, **fields)

    def _copy(self) -> Copied:
        row, source, target = self.row, snapshot_storage(), right_copy_storage()
        check_apart(source, target)
        wait_for_copy_sweep(row.snapshot.project_id)
        last = _made_last(row)
        copied = copy_objects(
            source,
            target,
            record_of(row.snapshot),
            CopyListener(on_object=self.heartbeat.check, on_publish=self.renew),
            trusted=_trusted(last, target) if _may_trust(row) else None,
        )
        lock_copied(row.snapshot, target, copied.written, last, on_object=self.heartbeat.check)
        return copied


def _made_last(row: SnapshotCopy) -> SnapshotCopy | None:
    """Return the project's previous copy in the same place."""
    copied = SnapshotCopy.objects.filter(
        snapshot__project=row.snapshot.project_id, state=State.COPIED, place=row.place
    )
    return copied.select_related("snapshot").order_by("-copied_at").first()


def _may_trust(row: SnapshotCopy) -> bool:
    """Tell whether objects that earlier copies have may be skipped.

    All are read after a failed or lost attempt, and for a full snapshot.
    """
    return row.attempts == 1 and not row.reason and not row.snapshot.is_full


def _trusted(last: SnapshotCopy | None, target: Storage) -> frozenset[str]:
    """Return the objects of the previous copy, which were all read back."""
    if last is None:
        return frozenset()
    try:
        return frozenset(load_manifest(target, last.snapshot).objects)
    except StorageError:
        raise
    except EngineError:
        log.warning("the copy made last cannot be read", snapshot=last.pk, exc_info=True)
        return frozenset()


def _complete(job: CopyJob, copied: Copied) -> None:
    snapshot, now = job.row.snapshot, database_now()
    with transaction.atomic():
        # Retention does not wait for copies: remove the copy if its snapshot was removed meanwhile.
        rows = Snapshot.objects.completed().select_for_update(no_key=True).filter(pk=job.pk)
        is_wanted = rows.exists()
        job.finish(
            state=State.COPIED,
            reason="",
            cause="",
            copied_at=now,
            verified_at=now,
            new_bytes=copied.new_bytes,
        )
        if copied.healed:
            note_healed_copy(snapshot, copied.healed)
    if is_wanted:
        log.info("copied", snapshot=job.pk, new_bytes=copied.new_bytes)
    else:
        remove_copies(snapshot.project_id)
