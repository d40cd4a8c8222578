"""Days that pass in minutes, without changing any clock.

A project's day passes by moving every recorded moment back by a day: its next run, the dates and
times of its snapshots and proofs, when it was shut down. The portal's own clock, its leases and
those of PostgreSQL are unchanged, so that the product runs exactly as in production; only beat's
periods are shorter (beat.py). Work in progress keeps its lease. The audit log and charges keep
their times, too.

Each project's day passes at a different moment, as backups are spread over a day. If the machine
cannot keep up, a day waits until at most one of the project's snapshots is unfinished.
"""

import threading
import time
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from uuid import UUID

from django.db import connection, transaction
from django.db.models import Count, Q

from backups_portal.projects.models import Project
from snapshots.models import Snapshot
from tests.soak.processes import Outages

DAY = timedelta(days=1)
EVERY_SECONDS = 0.5
# Snapshots of a project that wait or are being taken.
MAX_UNFINISHED = 1

# A running proof is left alone, because its worker locks its rows in another order.
PROOFS = """UPDATE restores_proof SET created_at = created_at - interval '1 day'
    WHERE finished_at IS NOT NULL
        AND snapshot_id IN (SELECT id FROM snapshots_snapshot WHERE project_id = %(project)s)"""
# The order in which retention and removal lock the same rows.
STATEMENTS = (
    "SELECT FROM projects_project WHERE id = %(project)s FOR NO KEY UPDATE",
    "SELECT FROM projects_maindatabase WHERE project_id = %(project)s FOR NO KEY UPDATE",
    "SELECT FROM snapshots_snapshot WHERE project_id = %(project)s ORDER BY id FOR NO KEY UPDATE",
    """UPDATE projects_project SET shut_down_at = shut_down_at - interval '1 day'
       WHERE id = %(project)s""",
    """UPDATE projects_maindatabase SET next_snapshot_at = next_snapshot_at - interval '1 day'
       WHERE project_id = %(project)s""",
    # The detour over another century avoids a conflict with the previous day's date.
    """UPDATE snapshots_snapshot SET local_date = local_date - 36525,
           scheduled_for = scheduled_for - interval '1 day',
           started_at = started_at - interval '1 day', taken_at = taken_at - interval '1 day',
           finished_at = finished_at - interval '1 day', proven_at = proven_at - interval '1 day'
       WHERE project_id = %(project)s""",
    "UPDATE snapshots_snapshot SET local_date = local_date + 36524 WHERE project_id = %(project)s",
)


def pass_day(project_id: UUID) -> None:
    values = {"project": project_id}
    with connection.cursor() as cursor:
        cursor.execute(PROOFS, values)
        with transaction.atomic():
            for statement in STATEMENTS:
                cursor.execute(statement, values)


def as_it_was(moment: datetime, now: datetime) -> datetime:
    """Return the original of a shifted moment, which was less than a day ago."""
    return moment + (now - moment) // DAY * DAY


def missing_dates(dates: Iterable[date]) -> int:
    found = set(dates)
    return (max(found) - min(found)).days + 1 - len(found) if found else 0


class Days(threading.Thread):
    """Lets days pass for every project that is not removed, until it is stopped.

    Attributes:
        passed: Days of projects that have passed.
        late: Total seconds that they waited for the machine.
    """

    def __init__(self, seconds: float, outages: Outages) -> None:
        super().__init__(name="days", daemon=True)
        self._seconds, self._outages = seconds, outages
        self._next: dict[UUID, float] = {}
        self._stopping = threading.Event()
        self.passed, self.late = 0, 0.0

    def run(self) -> None:
        while not self._stopping.wait(EVERY_SECONDS):
            with self._outages.borne():
                self._look(time.monotonic())
        connection.close()

    def stop(self) -> None:
        self._stopping.set()
        self.join()

    def _look(self, now: float) -> None:
        unfinished = Count("snapshots", filter=Q(snapshots__state__in=Snapshot.UNFINISHED))
        living = Project.objects.exclude(state=Project.State.REMOVED).annotate(waiting=unfinished)
        for project_id, waiting in living.order_by("id").values_list("pk", "waiting"):
            if self._stopping.is_set():
                return
            part_of_a_day = project_id.int % 10_000 / 10_000
            due = self._next.setdefault(project_id, now + part_of_a_day * self._seconds)
            if now >= due and waiting <= MAX_UNFINISHED:
                pass_day(project_id)
                self.passed, self.late = self.passed + 1, self.late + now - due
                self._next[project_id] = now + self._seconds
