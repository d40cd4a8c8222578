"""What commands about snapshots share."""

from uuid import UUID

from django.core.management.base import CommandError

from snapshots.models import Snapshot


def stored_snapshot(snapshot_id: UUID) -> Snapshot:
    """Find the stored snapshot of an id.

    Raises:
        CommandError: there is none, or it is not stored.
    """
    snapshot = Snapshot.objects.select_related("project__server").filter(pk=snapshot_id).first()
    if snapshot is None:
        raise CommandError(f"There is no snapshot {snapshot_id}.")
    if snapshot.state != Snapshot.State.COMPLETED:
        raise CommandError(f"Snapshot {snapshot.id} is {snapshot.state}, not stored.")
    return snapshot
