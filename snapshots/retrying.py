"""When a snapshot that failed is tried again: later each time, and on its own local day only."""

from datetime import datetime, timedelta

from django.conf import settings

from snapshots.models import Snapshot
from snapshots.schedule import local_date


def retry_at(snapshot: Snapshot, now: datetime) -> datetime | None:
    """When to try again; None where the failure is final.

    On the next local day the schedule has a snapshot of its own.

    Args:
        snapshot: With its project and main database; `failures` counts those before this one.
    """
    waits: list[int] = settings.SNAPSHOT_RETRY_MINUTES
    if snapshot.failures >= len(waits):
        return None
    zone = snapshot.project.main_database.backup_time_zone
    then = now + timedelta(minutes=waits[snapshot.failures])
    return then if local_date(then, zone) == local_date(now, zone) else None
