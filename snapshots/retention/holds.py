"""Keep a snapshot regardless of its age."""

from uuid import UUID

from django.db import transaction

from backups_portal.accounts.models import Account
from backups_portal.projects.access import Permission, hold_right
from snapshots.errors import HoldRefusedError
from snapshots.models import Hold, Snapshot


@transaction.atomic
def place_hold(*, snapshot: Snapshot, actor: Account) -> Hold:
    """Keep a stored snapshot until the hold is released; safe to repeat.

    Raises:
        HoldRefusedError: it is not stored, or no longer stored.
        RightLostError: the actor has just lost the right.
    """
    hold_right(actor, Permission.MANAGE_BACKUPS, snapshot.project)
    row = _locked(snapshot.pk)
    if row is None or row.state != Snapshot.State.COMPLETED:
        raise HoldRefusedError("Only a stored backup can be held.", status=409)
    hold, is_new = Hold.objects.get_or_create(snapshot=row, defaults={"account": actor})
    if is_new:
        row.record("snapshot.held", actor)
    return hold


@transaction.atomic
def release_hold(*, snapshot: Snapshot, actor: Account) -> None:
    """Release a snapshot to retention again, if it is on hold.

    Raises:
        RightLostError: the actor has just lost the right.
    """
    hold_right(actor, Permission.MANAGE_BACKUPS, snapshot.project)
    row = _locked(snapshot.pk)
    if row is None:
        return
    deleted, _ = Hold.objects.filter(snapshot=row).delete()
    if deleted:
        row.record("snapshot.released", actor)


def _locked(snapshot_id: UUID) -> Snapshot | None:
    """Lock the row, so that retention cannot expire it in the meantime."""
    rows = Snapshot.objects.select_for_update(of=("self",)).select_related("project")
    return rows.filter(pk=snapshot_id).first()
