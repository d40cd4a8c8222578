"""Find the snapshot that a project's next one may build upon."""

from dataclasses import dataclass

from django.conf import settings
from django.db.models import Case, Exists, OuterRef, Q, When
from django.utils import timezone

from backups_portal.lib.loggers import get_logger
from snapshots.engine.errors import EngineError, MissingObjectError
from snapshots.engine.layout import segment_folder
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import Storage
from snapshots.integrity.recorded_manifests import load_manifest
from snapshots.models import Snapshot, SnapshotCopy, SnapshotQuerySet
from snapshots.storages.storage_marker import check_storage

log = get_logger(__name__)


@dataclass(frozen=True)
class Base:
    """The newest stored snapshot, as a possible base.

    Attributes:
        manifest: None if there is none, or it cannot be read.
        is_sound: Whether it is not in doubt, and storage has all of its objects.
        is_full_due: Whether it is time to read everything again, regardless of the marks.
    """

    manifest: Manifest | None = None
    is_sound: bool = False
    is_full_due: bool = True


def find_base(storage: Storage, snapshot: Snapshot) -> Base:
    """Find the project's newest snapshot, and whether it may be built upon.

    Building upon a lost or damaged segment would make a backup that cannot be restored; if the base
    is not sound, everything is read again, and its stored objects are verified.

    Raises:
        StorageError: the storage is not the one with the backups.
    """
    newest = _newest_before(snapshot).first()
    if newest is None:
        check_storage(storage)
        log.info("no base, reading everything", snapshot=snapshot.id)
        return Base()
    try:
        base = load_manifest(storage, newest)
        missing = _missing(storage, base)
    except MissingObjectError:
        # An unmounted folder lacks it too, and must not be written to.
        check_storage(storage)
        log.error("storage lacks the manifest, reading everything", base=newest.id)
        return Base()
    except EngineError:
        log.warning("base cannot be read", snapshot=snapshot.id, base=newest.id, exc_info=True)
        return Base()
    if missing:
        log.error("storage lacks %s, reading everything", missing, base=newest.id)
    # Its proof may have passed only thanks to the copy.
    is_doubtful = newest.is_copy_needed or newest.is_failed
    if is_doubtful:
        log.error("the base is in doubt, reading everything", base=newest.id)
    is_sound = not (missing or is_doubtful)
    return Base(base, is_sound=is_sound, is_full_due=not newest.is_full_recent)


def _newest_before(snapshot: Snapshot) -> SnapshotQuerySet:
    """Select the newest one, with all that decides about it, in one query."""
    others = Snapshot.objects.filter(project=snapshot.project_id)
    stored = others.completed().exclude(pk=snapshot.pk)
    copies = SnapshotCopy.objects.filter(pk=OuterRef("pk"), needed_at__isnull=False)
    recent = timezone.now() - settings.SNAPSHOT_FULL_EVERY
    # The failure may be in a segment that both share, so an older good one is no base either,
    # unless it was proven itself.
    failed = others.filter(verdict=Snapshot.Verdict.FAILED, proven_at__gt=OuterRef("taken_at"))
    return stored.annotate(
        is_copy_needed=Exists(copies),
        is_failed=Case(
            When(verdict=Snapshot.Verdict.UNPROVEN, then=Exists(failed)),
            default=Q(verdict=Snapshot.Verdict.FAILED),
        ),
        is_full_recent=Exists(others.filter(is_full=True, taken_at__gt=recent)),
    ).order_by("-taken_at")


def _missing(storage: Storage, manifest: Manifest) -> list[str]:
    """List objects that storage lacks, or has in another size than recorded."""
    found = {item.key: item.size for item in storage.list(segment_folder(manifest.project_id))}
    return sorted(
        key
        for key, item in manifest.objects.items()
        if found.get(key) not in storage.sizes(item.bytes)
    )
