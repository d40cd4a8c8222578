"""Reading a stored snapshot again, whole; nothing is repaired or changed."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from django.utils import timezone

from snapshots.engine.errors import DamagedSnapshotError, EngineError, StorageError
from snapshots.engine.fallback import is_away
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import Storage
from snapshots.engine.taking import OnProgress, Progress
from snapshots.engine.verifying import verify_snapshot
from snapshots.expiry import each_project_id
from snapshots.models import Snapshot, SnapshotCopy
from snapshots.storages import copy_storage, snapshot_storage

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Verified:
    """What was read and found to be as recorded."""

    snapshot_id: UUID
    objects: int
    rows: int
    stored_bytes: int


@dataclass(frozen=True)
class Unverified:
    """A snapshot that does not hold what was recorded, and why."""

    snapshot_id: UUID
    project: str
    error: str


def verify_all(
    on_progress: OnProgress | None = None, *, copies: bool = False
) -> Iterator[Verified | Unverified]:
    """The same for every stored snapshot of every project; an object that several name once.

    Args:
        copies: Read the copies, of those snapshots that have one.
    """
    for project_id in each_project_id():
        seen: set[str] = set()
        rows = Snapshot.objects.completed().filter(project=project_id).order_by("taken_at")
        if copies:
            rows = rows.filter(copy__state=SnapshotCopy.State.COPIED)
        for snapshot in rows.select_related("project"):
            try:
                yield (verify_copy if copies else verify)(snapshot, on_progress, seen)
            except EngineError as error:
                log.error("snapshot cannot be restored snapshot=%s %s", snapshot.id, error)
                yield Unverified(snapshot.id, snapshot.project.name, str(error))


def verify(
    snapshot: Snapshot, on_progress: OnProgress | None = None, seen: set[str] | None = None
) -> Verified:
    """Read every object of a stored snapshot, and compare it with what was recorded.

    Args:
        on_progress: Told how far it is, after every segment.
        seen: Keys of the project's objects that need no second look; is added to.

    Raises:
        EngineError: something is missing or was changed; the message says what.
    """
    return _verify(snapshot_storage(), snapshot, on_progress, seen)


def verify_copy(
    snapshot: Snapshot, on_progress: OnProgress | None = None, seen: set[str] | None = None
) -> Verified:
    """The same in the second storage; one that is not as recorded is copied again.

    Raises:
        EngineError: something is missing or was changed; the message says what.
    """
    storage = copy_storage()
    if storage is None:
        raise StorageError("SNAPSHOT_COPY_STORAGE names no second storage.")
    copied = SnapshotCopy.objects.filter(pk=snapshot.pk, state=SnapshotCopy.State.COPIED)
    try:
        found = _verify(storage, snapshot, on_progress, seen)
    except EngineError as error:
        if not is_away(error):
            copied.update(
                state=SnapshotCopy.State.FAILED,
                reason=str(error),
                cause=error.cause,
                finished_at=timezone.now(),
            )
        raise
    copied.update(verified_at=timezone.now())
    return found


def _verify(
    storage: Storage, snapshot: Snapshot, on_progress: OnProgress | None, seen: set[str] | None
) -> Verified:
    manifest = Manifest.load(storage, snapshot.manifest)
    if manifest.snapshot_id != snapshot.id or manifest.rows != snapshot.rows:
        raise DamagedSnapshotError("The manifest in storage is not the one that was recorded.")
    verify_snapshot(storage, manifest, on_progress or _log_progress, seen)
    keys = {segment.key for segment in manifest.segments}
    return Verified(snapshot.id, len(keys), manifest.rows, manifest.stored_bytes)


def _log_progress(progress: Progress) -> None:
    log.debug("verified %s of %s rows", progress.rows_done, progress.rows_total)
