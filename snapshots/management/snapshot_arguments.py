"""Arguments that commands about snapshots share."""

from uuid import UUID

from django.core.management.base import CommandError

from snapshots.engine.storage import Storage
from snapshots.models import Snapshot
from snapshots.storages.configured_storages import copy_storage, snapshot_storage


def stored_snapshot(snapshot_id: UUID) -> Snapshot:
    """Find a stored snapshot by id.

    Raises:
        CommandError: it does not exist, or is not stored.
    """
    snapshot = Snapshot.objects.select_related("project__server").filter(pk=snapshot_id).first()
    if snapshot is None:
        raise CommandError(f"There is no snapshot {snapshot_id}.")
    if snapshot.state != Snapshot.State.COMPLETED:
        raise CommandError(f"Snapshot {snapshot.id} is {snapshot.state}, not stored.")
    return snapshot


def chosen_storage(*, is_copy: bool) -> Storage:
    """Open the first or second storage; CommandError if there is no second."""
    storage = copy_storage() if is_copy else snapshot_storage()
    if storage is None:
        raise CommandError("SNAPSHOT_COPY_STORAGE names no second storage.")
    return storage
