"""Snapshots taken by the engine, for tests of their consumers."""

from datetime import datetime, timedelta

from django.utils import timezone

from backups_portal.projects.models import Project
from snapshots.models import Snapshot
from snapshots.retention.expiry import Pruned, prune_each
from snapshots.run.snapshot_run import take
from tests.factories import make_snapshot


def taken(project: Project, days_ago: int = 0) -> Snapshot:
    """Queue a snapshot for a day and take it; fail the test unless it completes."""
    moment = timezone.now() - timedelta(days=days_ago)
    snapshot = make_snapshot(project, taken_at=moment, state=Snapshot.State.QUEUED)
    take(snapshot.pk)
    snapshot.refresh_from_db()
    assert snapshot.state == Snapshot.State.COMPLETED, snapshot.reason
    return snapshot


def prune(now: datetime) -> list[Pruned]:
    """Apply every project's retention; return all snapshots past their period."""
    return list(prune_each(now))
