"""A bad backup does not occupy its day: it is replaced once, and gaps are reported."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any
from uuid import UUID

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from backups_portal.audit.models import AuditEvent
from backups_portal.projects.models import MainDatabase, Project
from snapshots.integrity.verdicts import fail_snapshot, pass_snapshot
from snapshots.models import Snapshot
from snapshots.schedule.backup_settings import plan_next
from snapshots.schedule.missed_backups import find_missed
from snapshots.schedule.schedule_tick import heal, queue_due
from tests.factories import make_project_row, make_snapshot
from tests.manifests import make_manifest

pytestmark = pytest.mark.django_db
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
START = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.fixture
def project() -> Project:
    """A project with a run at 02:00, and a good backup of the previous day."""
    project = make_project_row(created_at=START - 9 * DAY)
    make_snapshot(project, taken_at=START - 22 * HOUR)
    MainDatabase.objects.update(
        backup_time=time(2), backup_time_zone="UTC", next_snapshot_at=START + 2 * HOUR
    )
    return project


@dataclass
class Days:
    """Hours of a project: backups are stored at once, and may be found bad some hours later.

    Attributes:
        verdicts: By date, for each backup in turn: hours until it is found bad; None: good.
        moves: Hours since START at which the owner moves the time of day, and to which hour.
    """

    project: Project
    verdicts: dict[int, list[int | None]]
    moves: dict[int, int] = field(default_factory=dict)
    missed_at: list[int] = field(default_factory=list)

    def go(self, hours: int) -> None:
        found_bad: dict[int, Snapshot] = {}
        for hour in range(hours):
            now = START + hour * HOUR
            if hour in self.moves:
                self._move(now, self.moves[hour])
            if snapshot := found_bad.pop(hour, None):
                fail_snapshot(snapshot, reason="Rows are missing.", now=now)
            for pk in queue_due(now):
                snapshot = self._store(pk, now)
                verdicts = self.verdicts.get(snapshot.local_date.day, [])
                if verdicts and (later := verdicts.pop(0)) is not None:
                    found_bad[hour + later] = snapshot
            if find_missed(now):
                self.missed_at.append(hour)

    def _move(self, now: datetime, hour: int) -> None:
        MainDatabase.objects.update(backup_time=time(hour))
        database = MainDatabase.objects.get()
        MainDatabase.objects.update(next_snapshot_at=plan_next(database, now))

    def _store(self, pk: object, now: datetime) -> Snapshot:
        Snapshot.objects.filter(pk=pk).update(
            state="completed", taken_at=now, manifest=f"{pk}", lease_until=None
        )
        return Snapshot.objects.get(pk=pk)

    @property
    def longest_gap(self) -> timedelta:
        moments = Snapshot.objects.good().order_by("taken_at").values_list("taken_at", flat=True)
        return max(later - earlier for earlier, later in pairwise(moments))

    @property
    def dates(self) -> list[int]:
        rows = Snapshot.objects.order_by("taken_at").values_list("local_date", flat=True)
        return [day.day for day in rows]


@pytest.mark.parametrize(
    ("verdicts", "moves", "dates", "longest", "missed_at"),
    [
        # Nothing is bad: one per day.
        ({}, {}, [22, 23, 24, 25], 24, []),
        # Found bad after an hour, or late in the day: another one on that day at once.
        ({23: [1]}, {}, [22, 23, 23, 24, 25], 25, []),
        ({23: [20]}, {}, [22, 23, 23, 24, 25], 44, []),
        # The replacement is bad, too: it keeps the day, and the gap is reported.
        ({23: [1, 1]}, {}, [22, 23, 23, 24, 25], 48, [5, 24]),
        ({23: [1, 1], 24: [1, 1]}, {}, [22, 23, 23, 24, 24, 25], 72, [5, 24, 48]),
        # Found bad when the next day has its own: nothing is replaced.
        ({23: [24]}, {}, [22, 23, 24, 25], 48, []),
        # The time is moved to 23:00 before or after the finding: the day is not skipped.
        ({23: [1]}, {10: 23}, [22, 23, 23, 24], 44, []),
        ({23: [8]}, {9: 23}, [22, 23, 23, 24], 45, [10]),
        ({23: [1, 1]}, {10: 23}, [22, 23, 23, 24], 69, [5, 24]),
    ],
)
def test_days_with_bad_backups(
    project: Project,
    verdicts: dict[int, list[int | None]],
    moves: dict[int, int],
    dates: list[int],
    longest: int,
    missed_at: list[int],
) -> None:
    days = Days(project, {day: list(found) for day, found in verdicts.items()}, moves)
    days.go(52)
    assert days.dates == dates
    assert days.longest_gap == longest * HOUR
    assert days.missed_at == missed_at


def bad(project: Project, taken_at: datetime, **fields: object) -> Snapshot:
    found = {"verdict": "failed", "verdict_reason": "Rows are missing.", "proven_at": taken_at}
    return make_snapshot(project, taken_at=taken_at, **{**found, **fields})


def test_a_moved_schedule_runs_on_the_day_that_is_bad(project: Project) -> None:
    bad(project, START + 2 * HOUR)
    MainDatabase.objects.update(backup_time=time(23), next_snapshot_at=START + 26 * HOUR)
    planned = plan_next(MainDatabase.objects.get(), START + 10 * HOUR)
    assert planned == START + 23 * HOUR
    MainDatabase.objects.update(next_snapshot_at=planned)
    (pk,) = queue_due(START + 23 * HOUR)
    assert Snapshot.objects.get(pk=pk).local_date == START.date()


def test_a_bad_one_that_passes_after_all_stays_beside_the_other(project: Project) -> None:
    """Its storage may have been repaired."""
    first = make_snapshot(project, taken_at=START + 2 * HOUR)
    MainDatabase.objects.update(next_snapshot_at=START + 26 * HOUR)
    fail_snapshot(first, reason="Rows are missing.", now=START + 3 * HOUR)
    assert len(queue_due(START + 3 * HOUR)) == 1
    pass_snapshot(first, make_manifest(project.pk), restore_seconds=1)
    listed = Snapshot.objects.filter(project=project).listed()
    assert [one.is_replaced for one in listed] == [False, True, False]
    assert first in Snapshot.objects.good()


def test_a_moved_schedule_takes_again_what_failed_to_replace_a_bad_one(project: Project) -> None:
    bad(project, START + 2 * HOUR, is_replaced=True)
    failed = make_snapshot(project, taken_at=START + 4 * HOUR, state="failed")
    MainDatabase.objects.update(backup_time=time(23), next_snapshot_at=START + 26 * HOUR)
    planned = plan_next(MainDatabase.objects.get(), START + 10 * HOUR)
    assert planned == START + 23 * HOUR
    MainDatabase.objects.update(next_snapshot_at=planned)
    assert queue_due(START + 23 * HOUR) == [failed.pk]


def test_many_are_replaced_in_as_many_queries_as_one(
    project: Project, django_assert_num_queries: Any
) -> None:
    """A failing storage may make the backups of all projects bad at once."""
    bad(project, START + 2 * HOUR)
    MainDatabase.objects.update(next_snapshot_at=START + 3 * HOUR)
    with CaptureQueriesContext(connection) as of_one:
        assert len(queue_due(START + 3 * HOUR)) == 1
    for _ in range(3):
        other = make_project_row(created_at=START - 9 * DAY)
        bad(other, START + 26 * HOUR)
        MainDatabase.objects.filter(pk=other.pk).update(backup_time=time(2))
    bad(project, START + 26 * HOUR)
    MainDatabase.objects.update(next_snapshot_at=START + 27 * HOUR)
    with django_assert_num_queries(len(of_one)):
        assert len(queue_due(START + 27 * HOUR)) == 4


def test_replacements_are_spread_as_other_backups(settings: Any) -> None:
    """A storage that fails may make the backups of a whole server bad at once."""
    settings.SNAPSHOT_SPREAD = HOUR
    found, turn = START + 5 * HOUR, timedelta(minutes=15)
    bad(make_project_row(pk=UUID(int=3600 + 900)), START + 2 * HOUR)
    MainDatabase.objects.update(backup_time=time(2), next_snapshot_at=found)
    assert queue_due(found) == []
    replacement = Snapshot.objects.get(scheduled_for=found)
    assert replacement.lease_until == found + turn
    assert heal(found + turn + timedelta(minutes=1)) == [replacement.pk]


def test_nothing_is_replaced_that_a_good_one_came_after(project: Project) -> None:
    """The time zone was moved west, so that an older backup's date is current again."""
    first = make_snapshot(project, taken_at=START + 2 * HOUR)
    make_snapshot(project, taken_at=START + 14 * HOUR, local_date=START.date() + DAY)
    MainDatabase.objects.update(next_snapshot_at=START + 50 * HOUR)
    fail_snapshot(first, reason="Rows are missing.", now=START + 15 * HOUR)
    assert queue_due(START + 15 * HOUR) == []


@pytest.mark.parametrize("state", ["shut_down", "removed"])
def test_nothing_is_replaced_of_a_project_that_does_not_run(project: Project, state: str) -> None:
    snapshot = make_snapshot(project, taken_at=START + 2 * HOUR)
    MainDatabase.objects.update(next_snapshot_at=None)
    Project.objects.update(state=state)
    fail_snapshot(snapshot, reason="Rows are missing.", now=START + 3 * HOUR)
    assert MainDatabase.objects.get().next_snapshot_at is None
    assert AuditEvent.objects.filter(action="proof.failed").exists()


@pytest.mark.parametrize(
    ("is_replaced", "name"),
    [(False, "snapshot_once_per_local_date"), (True, "snapshot_replaced_once")],
)
def test_the_database_refuses_a_third(project: Project, is_replaced: bool, name: str) -> None:
    day = date(2026, 11, 23)
    for replaced in (False, True):
        make_snapshot(project, local_date=day, is_replaced=replaced)
    with pytest.raises(IntegrityError, match=name), transaction.atomic():
        make_snapshot(project, local_date=day, is_replaced=is_replaced)
