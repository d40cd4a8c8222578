"""The choice of snapshots to prove, by each project's policy."""

from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet, Subquery

from backups_portal.lib.db_time import database_now
from backups_portal.lib.leases import message_counts_for
from backups_portal.lib.loggers import get_logger
from backups_portal.projects.models import MainDatabase, Project
from restores.models import Proof, Restore
from snapshots.models import Snapshot

log = get_logger(__name__)

WEEK = timedelta(days=7)
# A proof that was given up says nothing about its snapshot; retry it after this time.
TRY_AGAIN_AFTER = timedelta(hours=6)


def queue_proofs(now: datetime) -> list[UUID]:
    """Queue the proofs that policies ask for, up to PROOFS_AT_ONCE.

    Proofs are heavy and not urgent: the limit keeps them from delaying backups and restores, which
    share their workers.

    Returns:
        The new proofs, for the caller to enqueue.
    """
    room = settings.PROOFS_AT_ONCE - Proof.objects.unfinished().count()
    if room <= 0:
        return []
    found = list(wanted(now).order_by("taken_at").values_list("pk", flat=True)[:room])
    return [proof.pk for pk in found if (proof := queue_proof(pk)) is not None]


def wanted(now: datetime) -> QuerySet[Snapshot]:
    """Return the newest snapshots that the policies want proven."""
    newest = (
        Snapshot.objects.completed()
        .filter(project=OuterRef("pk"))
        .order_by("-taken_at")
        .values("pk")[:1]
    )
    proven = Snapshot.objects.filter(project=OuterRef("project"), proven_at__isnull=False)
    last = proven.order_by("-proven_at")[:1]
    tried = Proof.objects.filter(snapshot=OuterRef("pk")).filter(
        Q(state__in=Proof.UNFINISHED) | Q(created_at__gt=now - TRY_AGAIN_AFTER)
    )
    return (
        Snapshot.objects.filter(
            pk__in=MainDatabase.objects.exclude(proof_policy=MainDatabase.ProofPolicy.OFF)
            .filter(project__state=Project.State.ACTIVE)
            .values(newest=Subquery(newest)),
            verdict=Snapshot.Verdict.UNPROVEN,
        )
        .annotate(
            last_verdict=Subquery(last.values("verdict")),
            last_at=Subquery(last.values("proven_at")),
        )
        .filter(
            Q(project__main_database__proof_policy=MainDatabase.ProofPolicy.EVERY)
            | Q(last_at=None)
            | Q(last_at__lte=now - WEEK)
            # After a failure, prove the next one at once: until then no backup is known to be good.
            | Q(last_verdict=Snapshot.Verdict.FAILED)
        )
        .exclude(Exists(tried))
        # An unfinished restore will prove it as well.
        .exclude(Exists(Restore.objects.unfinished().filter(snapshot=OuterRef("pk"))))
    )


@transaction.atomic
def queue_proof(snapshot_id: UUID) -> Proof | None:
    """Queue a proof of a stored snapshot, whatever the policy.

    Returns None if one is unfinished or the snapshot is gone. The lock keeps retention from
    removing the snapshot between the check and the insert.
    """
    stored = Snapshot.objects.completed().select_for_update(of=("self",))
    snapshot = stored.filter(pk=snapshot_id).first()
    if snapshot is None or snapshot.proofs.filter(state__in=Proof.UNFINISHED).exists():
        return None
    proof = Proof.objects.create(
        snapshot=snapshot,
        rows_total=snapshot.rows,
        lease_until=database_now() + message_counts_for(),
    )
    log.info("proof queued", snapshot=snapshot_id, proof=proof.pk)
    return proof
