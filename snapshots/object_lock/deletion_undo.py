"""Undo others' deletions and overwrites in a bucket with versions."""

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
    """Find deleted or overwritten objects, except those meant to be gone.

    Raises:
        StorageError: the storage has no versions that we know of, or does not answer.
    """
    for changed in changed_since(_lock_of(storage), moment):
        if not _is_to_be_gone(changed.key):
            yield changed


def undo(storage: Storage, changed: Changed) -> None:
    """Bring an object back; the next extension of locks checks its project.

    Raises:
        StorageError: the storage does not answer, or refuses.
    """
    lock, project_id = _lock_of(storage), project_of(changed.key)
    # Before, because if this is killed the next run continues with the next object; and after,
    # because another process may just be locking the version that it replaces.
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
        # Probes are written and deleted every minute; the key that opens them is never deleted.
        return not is_data_key(key)
    project_id = project_of(key)
    if project_id is None:
        return False
    removed = Project.objects.filter(pk=project_id, state=Project.State.REMOVED)
    expired = Snapshot.objects.filter(
        project=project_id, manifest=key, state=Snapshot.State.EXPIRED
    )
    return removed.exists() or expired.exists()
