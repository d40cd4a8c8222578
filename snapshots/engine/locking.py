"""Locking what a snapshot is made of: its objects, the keys that open them, its manifest last."""

from collections.abc import Callable, Collection
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import datetime

from backups_portal.lib.parallel import run_parallel
from snapshots.engine.bucketlock import BucketLock, whole_second
from snapshots.engine.encryption import keys_folder
from snapshots.engine.errors import LockRefusedError
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import Storage

# Objects locked at a time: what takes long is to wait for the server.
LOCKERS = 8


@dataclass(frozen=True)
class LockJob:
    """An object to be locked; one that was just written is not asked for its lock first."""

    key: str
    is_new: bool


def lock_snapshot(
    storage: Storage,
    manifest: Manifest,
    until: datetime,
    *,
    least: datetime | None = None,
    locked: Collection[str] = (),
    new: Collection[str] = (),
    on_object: Callable[[], None] = lambda: None,
) -> datetime | None:
    """Lock everything that a restore of a snapshot needs; what is locked for longer stays so.

    Args:
        least: What is locked until then is left alone; without one, what is locked for so long.
        locked: Names of objects of which that is known.
        new: Names of objects that were just written.
        on_object: Called from the locking threads before each object; what it raises ends the run.

    Returns:
        Until when all of it is locked at least; None where the storage locks nothing.

    Raises:
        LockRefusedError: an object cannot be locked; the message says what to do.
        StorageError: the storage does not answer, or lacks an object.
    """
    lock = storage.lock
    if lock is None:
        return None
    lock.check()
    until = whole_second(until)
    least = min(least or until, until)

    def work(_: None, job: LockJob) -> None:
        on_object()
        lock.lock(job.key, until, least=least, is_new=job.is_new)

    # The keys are few, and may have been wrapped anew since: they are looked at each time.
    keys = [item.key for item in storage.list(keys_folder(manifest.project_id))]
    wanted = [*keys, *(key for key in manifest.objects if key not in locked)]
    jobs = [LockJob(key, key in new) for key in wanted]
    run_parallel(jobs, work, workers=LOCKERS, resource=nullcontext)
    lock.lock(manifest.key, until, is_new=manifest.key in new)
    _check_kept(lock, manifest.key, until)
    return least


def _check_kept(lock: BucketLock, key: str, until: datetime) -> None:
    """A server may take what it does not do."""
    found = lock.found(key)
    if found is None or found.until < until:
        raise LockRefusedError(f"{lock.name} did not keep the lock of {key} that it was given.")
