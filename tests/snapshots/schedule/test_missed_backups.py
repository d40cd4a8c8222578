"""A missed backup is reported once per local date, unless something else reports it."""

from datetime import UTC, datetime, time, timedelta

import pytest
from django.utils import timezone

from backups_portal.audit.models import AuditEvent
from backups_portal.projects.models import MainDatabase, Project
from backups_portal.projects.shutdown import shut_down, start_again
from snapshots.models import Snapshot
from snapshots.schedule.missed_backups import find_missed
from snapshots.schedule.schedule_tick import queue_due
from tests.at_once import at_once
from tests.factories import make_account, make_project_row, make_snapshot

pytestmark = pytest.mark.django_db
HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def now() -> datetime:
    return timezone.now()


@pytest.fixture
def project(now: datetime) -> Project:
    """A project that has run for some days, and was due three hours ago."""
    project = make_project_row(created_at=now - 9 * DAY)
    at = (now - 3 * HOUR).time().replace(second=0, microsecond=0)
    MainDatabase.objects.update(backup_time=at, backup_time_zone="UTC")
    return project


def missed(project: Project) -> list[AuditEvent]:
    found = AuditEvent.objects.filter(project_id=project.pk, action="snapshot.missed")
    return list(found.order_by("pk"))


def test_the_newest_is_too_old(project: Project, now: datetime) -> None:
    make_snapshot(project, taken_at=now - 27 * HOUR)
    assert find_missed(now) == 1
    (event,) = missed(project)
    assert event.subject == f"Backup of {now.date()}"
    assert "none is under way; the next one is not planned yet" in event.details["reason"]


def test_nothing_is_missed_until_a_later_time_of_day_has_come() -> None:
    noon = datetime(2026, 11, 23, 12, tzinfo=UTC)
    project = make_project_row(created_at=noon - 9 * DAY)
    make_snapshot(project, taken_at=noon - 27 * HOUR)
    # It was moved from 09:00 after that day's backup, and a day has only one.
    MainDatabase.objects.update(backup_time=time(17), backup_time_zone="UTC")
    assert find_missed(noon) == find_missed(noon + 6 * HOUR) == 0
    assert find_missed(noon + 7 * HOUR) == 1


def test_another_zone_explains_two_days_and_no_more() -> None:
    noon = datetime(2026, 11, 23, 12, tzinfo=UTC)
    project = make_project_row(created_at=noon - 9 * DAY)
    # It was the 24th already in Kiritimati, and the 25th ends in Pago Pago on the 26th.
    make_snapshot(project, taken_at=noon, local_date=noon.date() + DAY)
    MainDatabase.objects.update(backup_time=time(23, 30), backup_time_zone="Pacific/Pago_Pago")
    assert find_missed(noon + 49 * HOUR) == 0
    assert find_missed(noon + 51 * HOUR) == 1


def test_there_is_none_at_all(project: Project, now: datetime) -> None:
    planned = now + 3 * HOUR
    MainDatabase.objects.update(next_snapshot_at=planned)
    assert find_missed(now) == 1
    reason = missed(project)[0].details["reason"]
    assert "There is no good backup" in reason
    assert f"planned for {planned.day} {planned:%b %Y, %H:%M} UTC" in reason


def test_once_a_local_date(project: Project, now: datetime) -> None:
    assert [find_missed(now), find_missed(now + timedelta(minutes=1))] == [1, 0]
    assert find_missed(now + DAY) == 1
    dates = [event.details["local_date"] for event in missed(project)]
    assert dates == [str(now.date()), str((now + DAY).date())]


def test_the_date_is_that_of_the_projects_clocks(project: Project, now: datetime) -> None:
    MainDatabase.objects.update(backup_time_zone="Pacific/Kiritimati")
    find_missed(now)
    assert missed(project)[0].details["local_date"] == str((now + 14 * HOUR).date())


def test_a_zone_that_was_given_up_keeps_nobody_from_being_told(
    project: Project, now: datetime
) -> None:
    MainDatabase.objects.update(backup_time_zone="Mars/Olympus")
    assert find_missed(now) == 1


@pytest.mark.parametrize(
    ("hours", "fields"),
    [
        (25, {}),
        # Reported as failed; under way, however long; not under way for long.
        (20, {"state": "failed"}),
        (40, {"state": "queued"}),
        (1, {"state": "running"}),
    ],
)
def test_where_nothing_is_missing(
    project: Project, now: datetime, hours: int, fields: dict[str, str]
) -> None:
    make_snapshot(project, taken_at=now - hours * HOUR, **fields)
    assert find_missed(now) == 0


def test_one_that_failed_its_proof_is_no_backup(project: Project, now: datetime) -> None:
    make_snapshot(project, taken_at=now - HOUR, verdict="failed", verdict_reason="x", proven_at=now)
    assert find_missed(now) == 1


@pytest.mark.parametrize("state", ["shut_down", "removed"])
def test_not_of_a_project_that_does_not_run(project: Project, now: datetime, state: str) -> None:
    Project.objects.update(state=state)
    assert find_missed(now) == 0


def test_not_of_one_that_has_just_been_started_again(project: Project, now: datetime) -> None:
    make_snapshot(project, taken_at=now - 5 * DAY)
    owner = project.created_by
    shut_down(project=project, actor=owner, typed_name=project.name)
    start_again(project=project, actor=owner)
    now = timezone.now()
    assert find_missed(now) == 0
    assert find_missed(now + 3 * HOUR) == 1


def test_not_of_a_new_one(now: datetime) -> None:
    make_project_row(created_at=now - 25 * HOUR)
    assert find_missed(now) == 0


def test_many_in_batches(now: datetime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snapshots.schedule.missed_backups.BATCH", 2)
    owner = make_account()
    for _ in range(5):
        make_project_row(owner=owner, created_at=now - 9 * DAY)
    assert [find_missed(now), find_missed(now)] == [5, 0]


class TestLate:
    """A run that begins hours late, because the schedule or the workers were down."""

    def test_it_is_queued_and_told_of(self, project: Project, now: datetime) -> None:
        MainDatabase.objects.update(next_snapshot_at=now - 3 * HOUR)
        assert len(queue_due(now)) == 1
        (event,) = missed(project)
        assert "the schedule or the workers were down" in event.details["reason"]
        assert event.subject == f"Backup of {Snapshot.objects.get().local_date}"
        assert find_missed(now) == 0

    def test_one_of_minutes_is_none(self, project: Project, now: datetime) -> None:
        MainDatabase.objects.update(next_snapshot_at=now - HOUR)
        assert len(queue_due(now)) == 1
        assert missed(project) == []

    def test_a_day_that_has_its_backup_was_not_missed(
        self, project: Project, now: datetime
    ) -> None:
        MainDatabase.objects.update(next_snapshot_at=now - 3 * HOUR)
        queue_due(now)
        Snapshot.objects.update(state="completed", taken_at=now, manifest="x")
        MainDatabase.objects.update(next_snapshot_at=now - 3 * HOUR)
        assert queue_due(now) == []
        assert len(missed(project)) == 1


@pytest.mark.django_db(transaction=True)
def test_two_scans_at_once_tell_once() -> None:
    now = timezone.now()
    project = make_project_row(created_at=now - 9 * DAY)
    at_once(*[lambda: find_missed(now)] * 2)
    assert len(missed(project)) == 1
