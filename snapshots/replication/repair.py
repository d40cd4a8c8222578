"""Snapshots that needed their copy, and their repair from it."""

from uuid import UUID

from django.db import transaction
from django.utils import timezone

from backups_portal.lib.loggers import get_logger
from snapshots.engine.errors import EngineError, StorageError
from snapshots.engine.fallback_storage import StorageWithCopy
from snapshots.engine.snapshot_copy import Copied, CopyListener, copy_snapshot
from snapshots.engine.storage import Storage
from snapshots.integrity.orphan_objects import unswept
from snapshots.integrity.recorded_manifests import record_of
from snapshots.models import Snapshot, SnapshotCopy
from snapshots.object_lock.lock_extension import forget_locks
from snapshots.storages.configured_storages import copy_storage
from snapshots.storages.storage_marker import right_storage

log = get_logger(__name__)


def repair(snapshot: Snapshot) -> Copied:
    """Read every object of a stored snapshot, and rewrite the damaged ones.

    Returns:
        What the first storage has now, and how many bytes were put back.

    Raises:
        EngineError: a storage is away, or the copy lacks an object too; safe to repeat.
    """
    second = copy_storage()
    if second is None:
        raise StorageError("SNAPSHOT_COPY_STORAGE names no second storage.")
    first = right_storage()
    if first.lock:
        # Before writing and again below: a process killed in between leaves no note.
        forget_locks(snapshot.project_id)
    with unswept(snapshot.project_id):
        repaired = copy_snapshot(
            second,
            first,
            record_of(snapshot),
            # No other process does this, so there is no lease to check before each object.
            CopyListener(
                on_publish=lambda: _check_wanted(snapshot.pk),
                on_write=lambda: _note_repair(snapshot.pk),
            ),
            trusted=None,
        )
    if repaired.written:
        forget_locks(snapshot.project_id)
    if not Snapshot.objects.completed().filter(pk=snapshot.pk).exists():
        first.delete(snapshot.manifest)
    _end(snapshot, repaired)
    return repaired


@transaction.atomic
def _end(snapshot: Snapshot, repaired: Copied) -> None:
    """Record the repair, even if a killed run has already written everything."""
    needed = SnapshotCopy.objects.filter(pk=snapshot.pk, needed_at__isnull=False)
    if needed.update(needed_at=None) or repaired.written:
        snapshot.record("snapshot.repaired", put_back_bytes=repaired.new_bytes)


def note_need(snapshot_id: UUID, storage: Storage) -> None:
    """Note that a restore or a proof had to read objects from the copy."""
    if not isinstance(storage, StorageWithCopy) or not storage.lost:
        return
    log.error(
        "the first storage has lost or damaged %s objects; only the copy can be restored",
        len(storage.lost),
        snapshot=snapshot_id,
    )
    SnapshotCopy.objects.filter(pk=snapshot_id).update(needed_at=timezone.now())


def needing_repair() -> list[Snapshot]:
    """List the snapshots that are known to need their copy for a restore."""
    rows = Snapshot.objects.completed().filter(copy__needed_at__isnull=False)
    return list(rows.order_by("taken_at"))


def _note_repair(snapshot_id: UUID) -> None:
    """Note that it needs its copy, so that the next repair resumes it."""
    copies = SnapshotCopy.objects.filter(pk=snapshot_id, needed_at=None)
    copies.update(needed_at=timezone.now())


def _check_wanted(snapshot_id: UUID) -> None:
    if not Snapshot.objects.completed().filter(pk=snapshot_id).exists():
        raise EngineError(f"It was removed at {timezone.now():%H:%M}: there is nothing to repair.")
