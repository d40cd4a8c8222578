"""Lock a snapshot's objects, its data keys, and its manifest last."""

from collections.abc import Callable, Collection
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime

from backups_portal.lib.thread_pool import run_parallel
from snapshots.engine.bucket_lock import BucketLock, whole_second
from snapshots.engine.encryption import data_keys
from snapshots.engine.errors import LockRefusedError
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import Storage

# Objects locked in parallel: most of the time is waiting for the server.
LOCKERS = 8


@dataclass(frozen=True)
class KnownLocks:
    """What is known of a snapshot's objects before they are locked, by name.

    Attributes:
        locked: Objects that are locked for long enough.
        least: A lock until this moment is long enough; None: until the moment asked for.
        new: Objects that were just written, which have no lock to ask for first.
    """

    locked: Collection[str] = ()
    least: datetime | None = None
    new: Collection[str] = ()


def lock_snapshot(
    storage: Storage,
    manifest: Manifest,
    until: datetime,
    known: KnownLocks,
    *,
    on_object: Callable[[], None] = lambda: None,
) -> datetime | None:
    """Lock all objects that a snapshot's restore needs, keeping longer locks.

    Args:
        on_object: Called from the locking threads before each object; its exceptions end the run.

    Returns:
        The moment until which all of it is locked at least; None if the storage has no locks.

    Raises:
        LockRefusedError: an object cannot be locked; the message says what to do.
        StorageError: the storage does not answer, or lacks an object.
    """
    lock = storage.lock
    if lock is None:
        return None
    lock.check()
    until = whole_second(until)
    least = min(known.least or until, until)

    def work(_: None, key: str) -> None:
        on_object()
        lock.lock(key, until, least=least, is_new=key in known.new)

    # The keys are few and may have been wrapped again since, so they are checked each time.
    keys = data_keys(storage, manifest.project_id)
    wanted = [*keys, *(key for key in manifest.objects if key not in known.locked)]
    run_parallel(wanted, work, workers=LOCKERS, resource=nullcontext)
    lock.lock(manifest.key, until, is_new=manifest.key in known.new)
    _check_kept(lock, manifest.key, until)
    return least


def _check_kept(lock: BucketLock, key: str, until: datetime) -> None:
    """Raise LockRefusedError if the server did not keep a lock it accepted."""
    found = lock.found(key)
    if found is None or found.until < until:
        raise LockRefusedError(f"{lock.name} did not keep the lock of {key} that it was given.")
