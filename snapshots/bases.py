"""What the next snapshot of a project may build upon."""

import logging

from django.conf import settings
from django.utils import timezone

from snapshots.engine.errors import EngineError, MissingObjectError
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import Storage
from snapshots.marker import check_storage
from snapshots.models import Snapshot, SnapshotCopy

log = logging.getLogger(__name__)


def find_base(storage: Storage, snapshot: Snapshot) -> Manifest | None:
    """The project's newest snapshot, where nothing speaks against it and storage holds all of it.

    Building upon a lost or damaged segment would make a backup that cannot be restored; without a
    base everything is read and stored again, under the same names where it is the same.

    Raises:
        StorageError: it is not the storage that holds the project's backups.
    """
    stored = Snapshot.objects.completed().filter(project=snapshot.project_id)
    newest = stored.exclude(pk=snapshot.pk).order_by("-taken_at").first()
    if newest is None:
        log.info("no base, reading everything snapshot=%s", snapshot.id)
        return None
    if _is_doubtful(newest):
        log.error(
            "cannot be built upon base=%s snapshot=%s, reading everything", newest.id, snapshot.id
        )
        return None
    try:
        base = Manifest.load(storage, newest.manifest)
        missing = _missing(storage, base)
    except MissingObjectError:
        # A folder that is not mounted lacks it too, and must not be written to.
        check_storage(storage)
        log.error("storage lacks the manifest base=%s, reading everything", newest.id)
        return None
    except EngineError:
        log.warning(
            "base cannot be read snapshot=%s base=%s", snapshot.id, newest.id, exc_info=True
        )
        return None
    if missing:
        log.error("storage lacks %s base=%s, reading everything", sorted(missing), newest.id)
        return None
    return base


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


def _missing(storage: Storage, manifest: Manifest) -> set[str]:
    found = {item.key for item in storage.list(f"{manifest.project_id}/segments/")}
    return set(manifest.objects) - found
