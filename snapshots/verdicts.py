"""What is known of a stored snapshot after it was restored, or could not be."""

import logging
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from backups_portal.audit.services import record
from snapshots.models import Snapshot

log = logging.getLogger(__name__)


def pass_snapshot(
    snapshot: Snapshot, *, restore_seconds: float, now: datetime | None = None
) -> None:
    """It was restored, and every row compared; an earlier failure counts no longer.

    Args:
        restore_seconds: How long the restore took, without the comparison.
    """
    Snapshot.objects.filter(pk=snapshot.pk).update(
        verdict=Snapshot.Verdict.PASSED,
        verdict_reason="",
        proven_at=now or timezone.now(),
        restore_seconds=restore_seconds,
    )


@transaction.atomic
def fail_snapshot(
    snapshot: Snapshot,
    *,
    reason: str,
    now: datetime | None = None,
    action: str = "proof.failed",
) -> None:
    """It does not restore to what it recorded: nothing is built upon it or restored from it.

    Args:
        action: What the audit log calls it.
    """
    Snapshot.objects.filter(pk=snapshot.pk).update(
        verdict=Snapshot.Verdict.FAILED, verdict_reason=reason, proven_at=now or timezone.now()
    )
    record(
        action=action,
        actor=None,
        project=snapshot.project,
        subject=f"Backup of {snapshot.local_date}",
        details={"snapshot": str(snapshot.pk), "reason": reason},
    )
    log.error(
        "snapshot cannot be restored: %s snapshot=%s project=%s: %s",
        action,
        snapshot.pk,
        snapshot.project_id,
        reason,
    )
