"""Report how ready a project is for recovery, in two queries at most."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import NamedTuple

from backups_portal.projects.due_times import last_run, local_date, run_on
from backups_portal.projects.models import MainDatabase, Project
from backups_portal.projects.shutdown_periods import shutdown_periods
from backups_portal.ui.charts import Chart, trend
from snapshots.models import Snapshot
from snapshots.reports.day_strip import (
    COMING,
    FAILED,
    MISSED,
    NOT_DUE,
    PROVEN,
    REMOVED,
    STORED,
    Cell,
    Strip,
    make_strip,
)

DAY = timedelta(days=1)
KINDS = {
    Snapshot.State.QUEUED: COMING,
    Snapshot.State.RUNNING: COMING,
    Snapshot.State.FAILED: FAILED,
    # A period that was made longer includes days whose backups were already removed.
    Snapshot.State.EXPIRED: REMOVED,
}
VERDICTS = {
    Snapshot.Verdict.UNPROVEN: STORED,
    Snapshot.Verdict.PASSED: PROVEN,
    Snapshot.Verdict.FAILED: FAILED,
}


class Day(NamedTuple):
    """The columns of a day's snapshot that the panel needs.

    A year of them takes a fraction of the time of a year of model instances.
    """

    local_date: date
    state: str
    verdict: str
    taken_at: datetime | None
    stored_bytes: int | None
    proven_at: datetime | None
    restore_seconds: float | None
    checks_made: int
    checks_failed: int
    checks_not_run: int

    @property
    def kind(self) -> str:
        """Return what happened to it, as a kind of the strip."""
        if self.state == Snapshot.State.COMPLETED:
            return VERDICTS[Snapshot.Verdict(self.verdict)]
        return KINDS[Snapshot.State(self.state)]


@dataclass(frozen=True)
class Readiness:
    """The retained days, as the top of the Backups page reports them.

    Attributes:
        proven: The newest one that a proof or a restore has confirmed.
        sizes: The size of each in storage, over time.
        unprotected: Days since the newest good backup that failed or were missed, newest first.
    """

    proven: Snapshot | None
    strip: Strip | None
    sizes: Chart | None
    unprotected: Sequence[Cell]


def readiness_of(project: Project, now: datetime) -> Readiness:
    """Summarise a project's retention period for the panel."""
    database = project.main_database
    zone = database.backup_time_zone
    today = local_date(now, zone)
    # The oldest backup expires when today's is due, not at midnight.
    due = min(today, last_run(now, database.backup_time, zone).local_date)
    first = due - (database.retention_days - 1) * DAY
    found = Snapshot.objects.filter(project=project, local_date__range=(first, today))
    days = [Day(*row) for row in found.by_day().values_list(*Day._fields)]
    proven = [day for day in days if day.kind == PROVEN]
    # Of two snapshots for one day, the older one may come last.
    sizes = sorted(
        (day.taken_at, day.stored_bytes)
        for day in days
        if day.state == Snapshot.State.COMPLETED and day.taken_at and day.stored_bytes is not None
    )
    strip = _strip(database, days, first, max([due, *(day.local_date for day in days)]))
    return Readiness(
        proven=Snapshot(**proven[-1]._asdict()) if proven else None,
        strip=strip,
        unprotected=_unprotected(database, strip, now),
        sizes=trend(sizes, unit="bytes", zone=zone),
    )


def _unprotected(database: MainDatabase, strip: Strip | None, now: datetime) -> Sequence[Cell]:
    """Return days to warn about, except one just due; none if unscheduled."""
    next_run = database.next_snapshot_at
    if strip is None or next_run is None:
        return []
    days = strip.unprotected
    # The schedule takes up to a minute to queue a due backup.
    is_due = next_run <= now and bool(days) and days[0].kind == MISSED
    return days[1:] if is_due else days


def _strip(database: MainDatabase, days: Sequence[Day], first: date, last: date) -> Strip | None:
    """Line up the days from the first possible backup to the last one due."""
    if not days:
        return None
    zone = database.backup_time_zone
    kinds = {day.local_date: day.kind for day in days}
    # A project's first run is on the day of its creation, or on the next day.
    begun = min(days[0].local_date, local_date(database.project.created_at, zone) + DAY)
    strip = make_strip(kinds, first=max(first, begun), last=last)
    return strip and _without_days_off(strip, database)


def _without_days_off(strip: Strip, database: MainDatabase) -> Strip:
    """Separate days on which no backup was due from missed ones.

    Uses the current time of day, even for days before it was changed.
    """
    if not any(cell.kind == MISSED for cell in strip.cells):
        return strip
    periods = shutdown_periods(database.project)

    def is_due(day: date) -> bool:
        run = run_on(day, database.backup_time, database.backup_time_zone)
        return run is not None and not any(period.has(run) for period in periods)

    return Strip(
        [
            cell._replace(kind=NOT_DUE) if cell.kind == MISSED and not is_due(cell.day) else cell
            for cell in strip.cells
        ]
    )
