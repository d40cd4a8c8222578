"""Keep the second storage as clean as the first one.

None of this delays the first storage, because it runs in separate tasks. Their rounds ask the
storage itself instead of `second_is_away`: copies also fail while it is full, and only a round
makes room.
"""

from datetime import timedelta
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from backups_portal.lib import liveness
from backups_portal.lib.advisory_locks import session_lock, wait_for_lock
from backups_portal.lib.failure_causes import Cause
from backups_portal.lib.loggers import get_logger
from snapshots.engine.errors import StorageError
from snapshots.engine.layout import manifest_folder
from snapshots.engine.object_sweep import Swept, destroy_project, sweep
from snapshots.engine.storage import Storage
from snapshots.integrity.recorded_manifests import record_of
from snapshots.models import Snapshot, SnapshotCopy
from snapshots.storages.configured_storages import SECOND, has_copies
from snapshots.storages.storage_marker import right_copy_storage
from snapshots.storages.storage_signs import copies_sign

log = get_logger(__name__)

AWAY = timedelta(minutes=3)


def note_away() -> None:
    """Remember for a while that copying failed: a storage did not answer."""
    liveness.note_trouble(copies_sign(), AWAY)


def second_is_away() -> bool:
    """Tell whether copying failed that way a short while ago."""
    return liveness.is_in_trouble(copies_sign())


def remove_copies(project_id: UUID) -> int:
    """Delete expired snapshots' manifests from the second storage; count them.

    The newest copy stays until a newer one has been made, however old it is: the second storage is
    never without a copy.

    Raises:
        StorageError: the storage is away; the next sweep tries again.
    """
    rows = SnapshotCopy.objects.filter(snapshot__project=project_id)
    copied = rows.filter(state=SnapshotCopy.State.COPIED)
    newest = copied.order_by("-snapshot__taken_at").values_list("pk", flat=True).first()
    expired = rows.filter(snapshot__state=Snapshot.State.EXPIRED).exclude(pk=newest).unleased()
    removed = 0
    for row in expired.select_related("snapshot"):
        # If the snapshot never had a manifest, nothing was copied.
        if row.snapshot.manifest:
            right_copy_storage().delete(row.snapshot.manifest)
        row.delete()
        removed += 1
        log.info("copy removed", snapshot=row.pk, project=project_id)
    return removed


def remove_all_copies() -> int:
    """Remove all expired copies; raises StorageError at the first failure."""
    if not has_copies():
        return 0
    expired = SnapshotCopy.objects.filter(snapshot__state=Snapshot.State.EXPIRED)
    projects = expired.values_list("snapshot__project", flat=True).distinct()
    return sum(remove_copies(project_id) for project_id in list(projects))


def sweep_copies(project_id: UUID) -> Swept | None:
    """Remove orphans from the second storage, and note incomplete copies.

    Returns:
        The result, or None while a copy is being made, because it may be about to name an object
        that no manifest names yet.

    Raises:
        EngineError: the storage or a manifest cannot be read.
    """
    with session_lock(_key(project_id)) as is_ours:
        copies = SnapshotCopy.objects.filter(snapshot__project=project_id)
        running = copies.filter(state=SnapshotCopy.State.RUNNING)
        if not is_ours or running.exists():
            return None
        storage = right_copy_storage()
        _remove_forgotten(storage, project_id)
        copied = copies.filter(state=SnapshotCopy.State.COPIED).select_related("snapshot")
        swept = sweep(
            storage,
            project_id,
            grace=settings.ORPHAN_GRACE,
            recorded=[record_of(row.snapshot) for row in copied],
            # The lock is lost with the connection to the control database.
            may_delete=lambda: not running.exists(),
        )
        _note_incomplete(project_id, swept)
    return swept


def destroy_copies(project_id: UUID) -> None:
    """Delete everything of a project from the second storage, its keys first.

    Raises:
        StorageError: the storage is away, or the wrong one.
    """
    if not has_copies():
        return
    if second_is_away():
        # The sweep of the first storage calls this, and must not wait.
        raise StorageError(f"{SECOND} did not answer a short while ago.")
    destroy_project(right_copy_storage(), project_id)
    SnapshotCopy.objects.filter(snapshot__project=project_id).delete()


def wait_for_copy_sweep(project_id: UUID) -> None:
    """Wait for a sweep to end; the caller's running row prevents another."""
    wait_for_lock(_key(project_id))


def _remove_forgotten(storage: Storage, project_id: UUID) -> None:
    """Remove manifests of expired snapshots that have no copy's row.

    A manifest unknown to the portal stays, because the catalogue may have been lost.
    """
    keys = {item.key for item in storage.list(manifest_folder(project_id))}
    expired = Snapshot.objects.filter(
        project=project_id, state=Snapshot.State.EXPIRED, manifest__in=keys, copy=None
    )
    for key in expired.values_list("manifest", flat=True):
        storage.delete(key)


def _note_incomplete(project_id: UUID, swept: Swept) -> None:
    """Mark incomplete copies as failed, so that they are made again."""
    copied = SnapshotCopy.objects.filter(
        snapshot__project=project_id, state=SnapshotCopy.State.COPIED
    )
    for row in copied.filter(snapshot__manifest__in=[*swept.broken, *swept.unreadable]):
        log.error("the second storage lacks a part of a copy", snapshot=row.pk)
        SnapshotCopy.objects.filter(pk=row.pk, state=SnapshotCopy.State.COPIED).update(
            state=SnapshotCopy.State.FAILED,
            reason=f"{SECOND} has lost a part of this copy.",
            cause=Cause.DAMAGED,
            finished_at=timezone.now(),
        )


def _key(project_id: UUID) -> int:
    # Different from the key of the first storage's sweep, which uses the first half.
    return int.from_bytes(project_id.bytes[8:], signed=True)
