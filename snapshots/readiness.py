"""How ready a project is for the worst hour, read in one query whatever its age."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import QuerySet

from backups_portal.lib.compiled import compiled
from backups_portal.projects.models import MainDatabase, Project
from backups_portal.ui.charts import Trend, trend
from snapshots.models import Snapshot
from snapshots.schedule import last_run, local_date
from snapshots.strip import COMING, FAILED, PROVEN, REMOVED, STORED, Strip, draw_strip

DAY = timedelta(days=1)
KINDS = {
    Snapshot.State.QUEUED: COMING,
    Snapshot.State.RUNNING: COMING,
    Snapshot.State.FAILED: FAILED,
    # A longer period than before also has days whose backups went when it was shorter.
    Snapshot.State.EXPIRED: REMOVED,
}
VERDICTS = {
    Snapshot.Verdict.UNPROVEN: STORED,
    Snapshot.Verdict.PASSED: PROVEN,
    Snapshot.Verdict.FAILED: FAILED,
}


class Day(NamedTuple):
    """What the panel asks of a day's snapshot."""

    local_date: date
    state: str
    verdict: str
    taken_at: datetime | None
    stored_bytes: int | None
    proven_at: datetime | None
    restore_seconds: float | None

    @property
    def kind(self) -> str:
        """What became of it, in the words of the strip."""
        if self.state == Snapshot.State.COMPLETED:
            return VERDICTS[Snapshot.Verdict(self.verdict)]
        return KINDS[Snapshot.State(self.state)]

    @property
    def restore_time(self) -> timedelta | None:
        """How long a restore of it takes, where that was measured."""
        return None if self.restore_seconds is None else timedelta(seconds=self.restore_seconds)


@dataclass(frozen=True)
class Readiness:
    """What the top of the Backups page says of the retained days.

    Attributes:
        proven: The newest one that a proof or a restore has confirmed.
        sizes: What each takes in storage, over time.
    """

    proven: Day | None
    strip: Strip | None
    sizes: Trend | None


def readiness_of(project: Project, now: datetime) -> Readiness:
    """The panel of a project, over its retention period."""
    database = project.main_database
    today = local_date(now, database.backup_time_zone)
    first = today - (database.retention_days - 1) * DAY
    days = [Day(*found) for found in _days(project.pk, first, today)]
    proven = [day for day in days if day.kind == PROVEN]
    sizes = [
        (day.taken_at, day.stored_bytes)
        for day in days
        if day.state == Snapshot.State.COMPLETED and day.taken_at and day.stored_bytes is not None
    ]
    return Readiness(
        proven=proven[-1] if proven else None,
        strip=_strip(database, days, first, today, now),
        sizes=trend(sizes),
    )


@compiled
def _days(project_id: UUID, first: date, last: date) -> QuerySet[Snapshot, Any]:
    found = Snapshot.objects.filter(project_id=project_id, local_date__range=(first, last))
    return found.order_by("local_date").values_list(*Day._fields)


def _strip(
    database: MainDatabase, days: Sequence[Day], first: date, today: date, now: datetime
) -> Strip | None:
    """From the first backup that could be there to the last one whose time has come."""
    if not days:
        return None
    zone = database.backup_time_zone
    kinds = {day.local_date: day.kind for day in days}
    # A project's first run is on the day of its making, or on the next.
    begun = min(days[0].local_date, local_date(database.project.created_at, zone) + DAY)
    due = last_run(now, database.backup_time, zone).local_date
    last = today if today in kinds else min(today, due)
    return draw_strip(kinds, first=max(first, begun), last=last)
