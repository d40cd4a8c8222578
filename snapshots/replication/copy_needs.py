"""Notes of snapshots that need their copy for a restore, until repaired."""

from uuid import UUID

from django.utils import timezone

from backups_portal.lib.loggers import get_logger
from snapshots.engine.fallback_storage import StorageWithCopy
from snapshots.engine.storage import Storage
from snapshots.models import SnapshotCopy

log = get_logger(__name__)


def note_need(snapshot_id: UUID, storage: Storage) -> None:
    """Note that a restore or a proof had to read objects from the copy."""
    if not isinstance(storage, StorageWithCopy) or not storage.lost:
        return
    log.error(
        "the first storage has lost or damaged %s objects; only the copy can be restored",
        len(storage.lost),
        snapshot=snapshot_id,
    )
    SnapshotCopy.objects.filter(pk=snapshot_id).update(needed_at=timezone.now())
