"""Noting that a snapshot can be restored with its copy only, until it is repaired."""

import logging
from uuid import UUID

from django.utils import timezone

from snapshots.engine.fallback import StorageWithCopy
from snapshots.engine.storage import Storage
from snapshots.models import SnapshotCopy

log = logging.getLogger(__name__)


def note_need(snapshot_id: UUID, storage: Storage) -> None:
    """Note what a restore or a proof found that the first storage has lost or damaged."""
    if not isinstance(storage, StorageWithCopy) or not storage.lost:
        return
    log.error(
        "the first storage has lost or damaged %s objects; only the copy can be restored "
        "snapshot=%s",
        len(storage.lost),
        snapshot_id,
    )
    SnapshotCopy.objects.filter(pk=snapshot_id).update(needed_at=timezone.now())
