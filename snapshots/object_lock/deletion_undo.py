"""Undo what others than the portal did to a bucket with versions."""

from collections.abc import Iterator
from datetime import datetime
from uuid import UUID

from backups_portal.projects.models import Project
from snapshots.engine.bucket_lock import BucketLock
from snapshots.engine.bucket_settings import OBJECT_LOCK
from snapshots.engine.errors import StorageError
from snapshots.engine.layout import PROBES, is_data_key, project_of
from snapshots.engine.object_versions import Changed, bring_back, changed_since
from snapshots.engine.storage import Storage
from snapshots.models import Snapshot
from snapshots.object_lock.lock_extension import forget_copy_locks, forget_locks


def find_changed(storage: Storage, moment: datetime) -> Iterator[Changed]:
    """Find objects that were deleted or overwritten, unless they are to go.

    Raises:
        StorageError: the storage has no versions that we know of, or does not answer.
    """
    for changed in changed_since(_lock_of(storage), moment):
        if not _is_to_be_gone(changed.key):
            yield changed


def undo(storage: Storage, changed: Changed) -> None:
    """Bring an object back; the next extension of locks looks at its project.

    Raises:
        StorageError: the storage does not answer, or refuses.
    """
    lock, project_id = _lock_of(storage), project_of(changed.key)
    # First, since the run after one that was killed goes on with the next object; and behind it,
    # since locks may just be set, on the version that was there.
    _forget(project_id)
    bring_back(lock, changed)
    _forget(project_id)


def _forget(project_id: UUID | None) -> None:
    if project_id:
        forget_locks(project_id)
        forget_copy_locks(project_id)


def _lock_of(storage: Storage) -> BucketLock:
    if storage.lock is None:
        raise StorageError(f"{storage.name} keeps no versions: its URL has no `{OBJECT_LOCK}`.")
    return storage.lock


def _is_to_be_gone(key: str) -> bool:
    """Tell whether it is a probe, expired, or of a removed project."""
    if key.startswith(f"{PROBES}/"):
        # Each minute writes one and deletes it; the key that opens them is never deleted.
        return not is_data_key(key)
    project_id = project_of(key)
    if project_id is None:
        return False
    removed = Project.objects.filter(pk=project_id, state=Project.State.REMOVED)
    expired = Snapshot.objects.filter(
        project=project_id, manifest=key, state=Snapshot.State.EXPIRED
    )
    return removed.exists() or expired.exists()
