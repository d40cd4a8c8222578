"""Sweeping a project's storage while no snapshot of it is being taken."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from django.conf import settings
from django.utils import timezone

from snapshots.engine.errors import StorageError
from snapshots.engine.sweeping import Swept, sweep
from snapshots.locks import session_lock, wait_for_lock
from snapshots.marker import check_storage
from snapshots.models import Snapshot, SnapshotCopy
from snapshots.storages import has_copies, snapshot_storage
from snapshots.verdicts import fail_snapshot

log = logging.getLogger(__name__)


def sweep_project(project_id: UUID) -> Swept | None:
    """Remove the project's orphaned segments, and condemn snapshots of which objects are missing.

    Where all of a project's snapshots are missing, it is rather the storage that is: that is
    reported, and none is condemned.

    Returns:
        What was done, or None where a snapshot is being taken: it may be about to name a segment
        that no manifest names yet.

    Raises:
        EngineError: the storage cannot be read, or is another one.
    """
    with session_lock(_key(project_id)) as is_ours:
        running = Snapshot.objects.filter(project=project_id, state=Snapshot.State.RUNNING)
        if not is_ours or running.exists():
            return None
        storage = snapshot_storage()
        stored = Snapshot.objects.completed().filter(project=project_id)
        swept = sweep(
            storage,
            project_id,
            grace=settings.ORPHAN_GRACE,
            recorded=set(stored.values_list("manifest", flat=True)),
        )
        if swept.broken:
            check_storage(storage)
            _condemn(project_id, swept)
    log.info("swept project=%s removed=%s bytes=%s", project_id, swept.removed, swept.removed_bytes)
    for key in swept.missing:
        log.error("storage lacks an object that a backup names project=%s key=%s", project_id, key)
    for key in (*swept.broken, *swept.unreadable):
        log.error("a manifest is missing, broken or unreadable project=%s key=%s", project_id, key)
    return swept


def _condemn(project_id: UUID, swept: Swept) -> None:
    """Offer no more what cannot be restored; what has a copy is restored from there."""
    if swept.is_empty:
        log.error("storage holds no backup of the project, though it should project=%s", project_id)
        return
    # Read again: retention may have let one go meanwhile, whose manifest is missing with reason.
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
    """Keep sweeps of the project away while objects are written that a manifest will name."""
    with session_lock(_key(project_id)) as is_ours:
        if not is_ours:
            raise StorageError("The storage of this project is being swept; try again soon.")
        yield


def wait_for_sweep(project_id: UUID) -> None:
    """Let a sweep of the project end. The caller's snapshot is marked running: no other begins."""
    wait_for_lock(_key(project_id))


def _key(project_id: UUID) -> int:
    return int.from_bytes(project_id.bytes[:8], signed=True)
