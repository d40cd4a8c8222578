"""Read a stored snapshot again completely, without changing it."""

from collections.abc import Iterator
from dataclasses import dataclass
from uuid import UUID

from django.db.models import QuerySet
from django.utils import timezone

from backups_portal.lib.failure_causes import Cause
from backups_portal.lib.loggers import get_logger
from snapshots.engine.errors import EngineError
from snapshots.engine.fallback_storage import is_away
from snapshots.engine.run_progress import OnProgress, Progress
from snapshots.engine.snapshot_check import verify_snapshot
from snapshots.engine.storage import Storage
from snapshots.integrity.recorded_manifests import load_manifest, note_digest
from snapshots.models import Snapshot, SnapshotCopy
from snapshots.retention.expiry import each_project_id
from snapshots.storages.configured_storages import snapshot_storage
from snapshots.storages.storage_marker import check_storage_on_missing, right_copy_storage

log = get_logger(__name__)


@dataclass(frozen=True)
class Verified:
    """What was read and found to match its record."""

    snapshot_id: UUID
    objects: int
    rows: int
    stored_bytes: int


@dataclass(frozen=True)
class Unverified:
    """A snapshot that does not match its record, or could not be read, and why.

    Attributes:
        is_away: The storage did not answer, so that nothing is known about the snapshot.
    """

    snapshot_id: UUID
    project: str
    error: str
    is_away: bool = False


def verifiable(*, copies: bool) -> QuerySet[Snapshot]:
    """Return the snapshots that `verify_all` reads."""
    rows = Snapshot.objects.completed()
    return rows.filter(copy__state=SnapshotCopy.State.COPIED) if copies else rows


def verify_all(*, copies: bool = False) -> Iterator[Verified | Unverified]:
    """Verify every stored snapshot, reading shared objects once.

    Args:
        copies: Read the copies instead, for the snapshots that have one.
    """
    for project_id in each_project_id():
        seen: set[str] = set()
        rows = verifiable(copies=copies).filter(project=project_id).order_by("taken_at")
        for snapshot in rows.select_related("project"):
            try:
                yield (verify_copy if copies else verify)(snapshot, seen=seen)
            except EngineError as error:
                if not Snapshot.objects.completed().filter(pk=snapshot.pk).exists():
                    log.info("removed while it was being read", snapshot=snapshot.id)
                    continue
                log.error("snapshot cannot be verified: %s", error, snapshot=snapshot.id)
                yield Unverified(snapshot.id, snapshot.project.name, str(error), is_away(error))


@check_storage_on_missing()
def verify(
    snapshot: Snapshot, on_progress: OnProgress | None = None, seen: set[str] | None = None
) -> Verified:
    """Read every object of a stored snapshot, comparing it with its record.

    Args:
        on_progress: Called with the progress after every segment.
        seen: Keys of the project's objects that were checked already; is added to.

    Raises:
        EngineError: something is missing or was changed, or the storage is away or the wrong one;
            the message says what.
    """
    return _verify(snapshot_storage(), snapshot, on_progress, seen)


def verify_copy(
    snapshot: Snapshot, on_progress: OnProgress | None = None, seen: set[str] | None = None
) -> Verified:
    """Verify a copy; mark a damaged one as failed, so that it is copied again.

    Raises:
        EngineError: something is missing or was changed, or the storage is away or the wrong one;
            the message says what.
    """
    storage = right_copy_storage()
    copied = SnapshotCopy.objects.filter(pk=snapshot.pk, state=SnapshotCopy.State.COPIED)
    try:
        found = _verify(storage, snapshot, on_progress, seen)
    except EngineError as error:
        if not is_away(error) and error.cause != Cause.VERSION:
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
    manifest = load_manifest(storage, snapshot)
    verify_snapshot(storage, manifest, on_progress or _log_progress, seen)
    note_digest(snapshot, manifest)
    keys = {segment.key for segment in manifest.segments}
    return Verified(snapshot.id, len(keys), manifest.rows, manifest.stored_bytes)


def _log_progress(progress: Progress) -> None:
    log.debug("verified %s of %s rows", progress.rows_done, progress.rows_total)
