"""Verdicts on stored snapshots, after a restore or a proof."""

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from backups_portal.lib.loggers import get_logger
from snapshots.engine.manifest import Manifest
from snapshots.integrity.recorded_manifests import note_digest
from snapshots.models import CheckTally, Snapshot
from snapshots.schedule.replacements import lock_schedule, plan_replacement

log = get_logger(__name__)


def pass_snapshot(
    snapshot: Snapshot,
    manifest: Manifest,
    *,
    restore_seconds: float,
    checks: CheckTally | None = None,
) -> None:
    """Record that it was restored and compared; an earlier failure is void.

    Args:
        manifest: The restored manifest; its digest is recorded if it was not yet.
        restore_seconds: How long it took until the database was ready for queries; the comparison
            runs in parallel and may have taken longer.
        checks: The results of the owner's checks; None if they were not run, as by a restore.
    """
    found = {f"checks_{name}": count for name, count in checks._asdict().items()} if checks else {}
    Snapshot.objects.filter(pk=snapshot.pk).update(
        verdict=Snapshot.Verdict.PASSED,
        verdict_reason="",
        proven_at=timezone.now(),
        restore_seconds=restore_seconds,
        **found,
    )
    note_digest(snapshot, manifest)


@transaction.atomic
def fail_snapshot(
    snapshot: Snapshot,
    *,
    reason: str,
    now: datetime | None = None,
    action: str = "proof.failed",
) -> None:
    """Record that it does not restore as recorded, so that nothing uses it.

    If it is the newest one, the schedule takes another.

    Args:
        action: Its action in the audit log.
    """
    now = now or timezone.now()
    database = lock_schedule(snapshot.project_id)
    Snapshot.objects.filter(pk=snapshot.pk).update(
        verdict=Snapshot.Verdict.FAILED, verdict_reason=reason, proven_at=now
    )
    if database:
        plan_replacement(database, snapshot, now)
    snapshot.record(action, reason=reason)
    log.error(
        "snapshot cannot be restored: %s: %s",
        action,
        reason,
        snapshot=snapshot.pk,
        project=snapshot.project_id,
    )
