"""Undoing what somebody else than the portal did to a bucket with versions."""

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from backups_portal.projects.models import Project
from snapshots.engine.bucketlock import OBJECT_LOCK, BucketLock
from snapshots.engine.errors import StorageError
from snapshots.engine.storage import Storage
from snapshots.engine.versions import Changed, bring_back, changed_since
from snapshots.locking import forget_copy_locks, forget_locks
from snapshots.models import Snapshot


def find_changed(storage: Storage, moment: datetime) -> Iterator[Changed]:
    """Objects that were deleted or overwritten since a moment, but for what is to be gone.

    Raises:
        StorageError: the storage has no versions that we know of, or does not answer.
    """
    for changed in changed_since(_lock_of(storage), moment):
        if not _is_to_be_gone(changed.key):
            yield changed


def undo(storage: Storage, changed: Changed) -> None:
    """Bring an object back; whoever extends locks looks at its project again.

    Raises:
        StorageError: the storage does not answer, or refuses.
    """
    bring_back(_lock_of(storage), changed)
    if project_id := _project_of(changed.key):
        forget_locks(project_id)
        forget_copy_locks(project_id)


def _lock_of(storage: Storage) -> BucketLock:
    if storage.lock is None:
        raise StorageError(f"{storage.name} keeps no versions: its URL has no `{OBJECT_LOCK}`.")
    return storage.lock


def _is_to_be_gone(key: str) -> bool:
    """Whether it belongs to a project that was removed for good, or is an expired manifest."""
    project_id = _project_of(key)
    if project_id is None:
        return False
    removed = Project.objects.filter(pk=project_id, state=Project.State.REMOVED)
    expired = Snapshot.objects.filter(
        project=project_id, manifest=key, state=Snapshot.State.EXPIRED
    )
    return removed.exists() or expired.exists()


def _project_of(key: str) -> UUID | None:
    try:
        return UUID(key.partition("/")[0])
    except ValueError:
        return None
