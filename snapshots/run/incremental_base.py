"""What the next snapshot of a project may build upon."""

from dataclasses import dataclass

from django.conf import settings
from django.utils import timezone

from backups_portal.lib.loggers import get_logger
from snapshots.engine.errors import EngineError, MissingObjectError
from snapshots.engine.layout import segment_folder
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import Storage
from snapshots.integrity.recorded_manifests import load_manifest
from snapshots.models import Snapshot, SnapshotCopy
from snapshots.storages.storage_marker import check_storage

log = get_logger(__name__)


@dataclass(frozen=True)
class Base:
    """What was stored last.

    Attributes:
        manifest: None where there is nothing, or it cannot be read.
        is_sound: Whether nothing speaks against it, and storage holds all of it.
    """

    manifest: Manifest | None = None
    is_sound: bool = False


def find_base(storage: Storage, snapshot: Snapshot) -> Base:
    """Find the project's newest snapshot, and whether it may be built upon.

    Building upon a lost or damaged segment would make a backup that cannot be restored; where the
    base is not sound everything is read again, and what storage has of it is verified.

    Raises:
        StorageError: it is not the storage that holds the project's backups.
    """
    stored = Snapshot.objects.completed().filter(project=snapshot.project_id)
    newest = stored.exclude(pk=snapshot.pk).order_by("-taken_at").first()
    if newest is None:
        log.info("no base, reading everything", snapshot=snapshot.id)
        return Base()
    try:
        base = load_manifest(storage, newest)
        missing = _missing(storage, base)
    except MissingObjectError:
        # A folder that is not mounted lacks it too, and must not be written to.
        check_storage(storage)
        log.error("storage lacks the manifest, reading everything", base=newest.id)
        return Base()
    except EngineError:
        log.warning("base cannot be read", snapshot=snapshot.id, base=newest.id, exc_info=True)
        return Base()
    if missing:
        log.error("storage lacks %s, reading everything", missing, base=newest.id)
    is_doubtful = _is_doubtful(newest)
    if is_doubtful:
        log.error("the base is in doubt, reading everything", base=newest.id)
    return Base(base, is_sound=not (missing or is_doubtful))


def _is_doubtful(newest: Snapshot) -> bool:
    """Whether it failed its proof or needed its copy, or may share segments with one that failed.

    An older one that is good is no base either: what failed may be in a segment of both.
    """
    if SnapshotCopy.objects.filter(pk=newest.pk, needed_at__isnull=False).exists():
        # Its proof passed, but with what the copy had.
        return True
    if newest.verdict != Snapshot.Verdict.UNPROVEN:
        return newest.verdict == Snapshot.Verdict.FAILED
    failed = Snapshot.objects.filter(
        project=newest.project_id, verdict=Snapshot.Verdict.FAILED, proven_at__gt=newest.taken_at
    )
    return failed.exists()


def is_full_due(snapshot: Snapshot) -> bool:
    """Whether it is time to read everything again, whatever the marks say."""
    fulls = Snapshot.objects.filter(project=snapshot.project_id, is_full=True)
    return not fulls.filter(taken_at__gt=timezone.now() - settings.SNAPSHOT_FULL_EVERY).exists()


def _missing(storage: Storage, manifest: Manifest) -> list[str]:
    """Objects that storage does not list, or in another size than was recorded."""
    found = {item.key: item.size for item in storage.list(segment_folder(manifest.project_id))}
    return sorted(
        key
        for key, item in manifest.objects.items()
        if found.get(key) not in storage.sizes(item.bytes)
    )
