"""What the next snapshot of a project may build upon."""

import logging

from django.conf import settings
from django.utils import timezone

from snapshots.engine.errors import EngineError
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import Storage
from snapshots.models import Snapshot

log = logging.getLogger(__name__)


def find_base(storage: Storage, snapshot: Snapshot) -> Manifest | None:
    """The project's newest good snapshot, where storage still holds all of it.

    Building upon a lost segment would make a backup that cannot be restored; without a base
    everything is read and stored again.
    """
    newest = (
        Snapshot.objects.completed()
        .filter(project=snapshot.project_id)
        .exclude(pk=snapshot.pk)
        .order_by("-taken_at")
        .first()
    )
    if newest is None:
        log.info("no base, reading everything snapshot=%s", snapshot.id)
        return None
    try:
        base = Manifest.load(storage, newest.manifest)
        missing = _missing(storage, base)
    except EngineError:
        log.warning(
            "base cannot be read snapshot=%s base=%s", snapshot.id, newest.id, exc_info=True
        )
        return None
    if missing:
        log.error("storage lacks %s base=%s, reading everything", sorted(missing), newest.id)
        return None
    return base


def is_full_due(snapshot: Snapshot) -> bool:
    """Whether it is time to read everything again, whatever the marks say."""
    fulls = Snapshot.objects.filter(project=snapshot.project_id, is_full=True)
    return not fulls.filter(taken_at__gt=timezone.now() - settings.SNAPSHOT_FULL_EVERY).exists()


def _missing(storage: Storage, manifest: Manifest) -> set[str]:
    found = {item.key for item in storage.list(f"{manifest.project_id}/segments/")}
    return set(manifest.objects) - found
