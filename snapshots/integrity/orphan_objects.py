"""Sweep a project's storage while none of its snapshots is being taken."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from backups_portal.lib.advisory_locks import session_lock, wait_for_lock
from backups_portal.lib.loggers import get_logger
from snapshots.engine.errors import StorageError
from snapshots.engine.layout import manifest_key
from snapshots.engine.object_sweep import Swept, sweep
from snapshots.integrity.recorded_manifests import record_of
from snapshots.integrity.verdicts import fail_snapshot
from snapshots.models import Snapshot, SnapshotCopy
from snapshots.storages.configured_storages import has_copies, snapshot_storage
from snapshots.storages.storage_marker import check_storage

log = get_logger(__name__)

# The most keys of missing objects that a line of the log names.
MAX_KEYS = 20


def sweep_project(project_id: UUID) -> Swept | None:
    """Remove orphaned segments; fail snapshots that lack objects.

    If all of a project's snapshots are missing, the storage itself is probably the wrong one: that
    is reported, and no snapshot fails.

    Returns:
        The result, or None while a snapshot is being taken, because it may be about to name a
        segment that no manifest names yet.

    Raises:
        EngineError: the storage cannot be read, or is the wrong one.
    """
    with session_lock(_key(project_id)) as is_ours:
        running = Snapshot.objects.filter(project=project_id, state=Snapshot.State.RUNNING)
        if not is_ours or running.exists():
            return None
        storage = snapshot_storage()
        snapshots = Snapshot.objects.filter(project=project_id)
        stored = snapshots.completed()
        # The last attempt may have stored a manifest that it could not remove. Until the backup
        # expires, the manifest stays: an older dump may not know that the backup is a good one.
        failed = snapshots.filter(state=Snapshot.State.EXPIRED, manifest="")
        swept = sweep(
            storage,
            project_id,
            grace=settings.ORPHAN_GRACE,
            recorded=[record_of(snapshot) for snapshot in stored],
            expired={manifest_key(project_id, pk) for pk in failed.values_list("pk", flat=True)},
            # The lock is lost with the connection to the control database.
            may_delete=lambda: not running.exists(),
        )
        if swept.broken:
            check_storage(storage)
            _condemn(project_id, swept)
    log.info("swept", project=project_id, removed=swept.removed, bytes=swept.removed_bytes)
    if swept.missing:
        log.error(
            "storage lacks objects that backups name",
            project=project_id,
            count=len(swept.missing),
            first=swept.missing[:MAX_KEYS],
        )
    for key in swept.unsupported:
        log.warning(
            "nothing removed: a backup is of an unsupported version", project=project_id, key=key
        )
    for key in (*swept.broken, *swept.unreadable):
        log.error("a manifest is missing, broken or unreadable", project=project_id, key=key)
    return swept


def _condemn(project_id: UUID, swept: Swept) -> None:
    """Stop offering snapshots that cannot be restored, unless copied."""
    if swept.is_empty:
        log.error("storage holds no backup of the project, though it should", project=project_id)
        return
    # Read again: retention may have removed one since, whose manifest is rightly missing.
    rows = Snapshot.objects.good().filter(project=project_id, manifest__in=swept.broken)
    if has_copies():
        copied = rows.filter(copy__state=SnapshotCopy.State.COPIED)
        SnapshotCopy.objects.filter(snapshot__in=copied, needed_at=None).update(
            needed_at=timezone.now()
        )
        rows = rows.exclude(pk__in=copied)
    for row in rows.select_related("project").order_by("taken_at"):
        fail_snapshot(row, reason=swept.broken[row.manifest], action="snapshot.objects_missing")


@contextmanager
def unswept(project_id: UUID) -> Iterator[None]:
    """Keep sweeps out while objects are written for a new manifest."""
    with session_lock(_key(project_id)) as is_ours:
        if not is_ours:
            raise StorageError("The storage of this project is being swept; try again soon.")
        yield


def wait_for_sweep(project_id: UUID) -> None:
    """Wait for a sweep of the project to end; its snapshot must be running."""
    wait_for_lock(_key(project_id))


def _key(project_id: UUID) -> int:
    return int.from_bytes(project_id.bytes[:8], signed=True)
