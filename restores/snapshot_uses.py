"""A project's snapshots that restores and proofs are reading."""

from uuid import UUID

from django.db.models import Exists, OuterRef, Subquery
from django.db.models.functions import JSONObject

from restores.models import Proof, Restore
from snapshots.models import SnapshotQuerySet


def snapshots_being_read(project_id: UUID) -> set[UUID]:
    """Return the ids of snapshots being restored or proven."""
    restored, proven = (
        runs.unfinished().filter(snapshot__project=project_id).values_list("snapshot", flat=True)
        for runs in (Restore.objects, Proof.objects)
    )
    return set(restored.order_by().union(proven.order_by()))


def with_uses(snapshots: SnapshotQuerySet) -> SnapshotQuerySet:
    """Load each snapshot's unfinished restore, and if it is being proven."""
    restores, proofs = (
        runs.unfinished().filter(snapshot=OuterRef("pk"))
        for runs in (Restore.objects, Proof.objects)
    )
    under_way = JSONObject(id="id", name="name", asked_by="requested_by_id")
    return snapshots.annotate(
        restore_under_way=Subquery(restores.values(found=under_way)[:1]),
        is_being_proven=Exists(proofs),
    )
