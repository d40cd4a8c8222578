"""A failed snapshot is retried until the next run with growing delays, and then reported."""

from datetime import UTC, datetime, time, timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from backups_portal.audit.models import AuditEvent
from backups_portal.projects.due_times import local_date
from backups_portal.projects.models import MainDatabase, Project
from snapshots.models import Snapshot
from snapshots.run import snapshot_run
from snapshots.run.snapshot_run import retry_at, take
from snapshots.schedule.schedule_tick import heal, queue_due
from tests.factories import make_account, make_project_row, make_snapshot

pytestmark = pytest.mark.django_db
State = Snapshot.State
# A fixed time keeps the tests independent of the hour.
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _waits(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.SNAPSHOT_RETRY_MINUTES = [5, 15]


def queued(project: Project) -> Snapshot:
    return make_snapshot(project, taken_at=timezone.now(), state=State.QUEUED)


LATE = NOON.replace(hour=23, minute=57)


@pytest.mark.parametrize(
    ("failures", "now", "zone", "minutes"),
    [
        (0, NOON, "UTC", 5),
        (1, NOON, "UTC", 15),
        (2, NOON, "UTC", None),
        # The next run is at midnight.
        (0, LATE, "UTC", None),
        (0, LATE, "Europe/Berlin", 5),
        (0, LATE - timedelta(hours=1), "Europe/Berlin", None),
    ],
)
def test_waits_grow_and_end_with_the_next_run(
    failures: int, now: datetime, zone: str, minutes: int | None
) -> None:
    project = make_project_row()
    MainDatabase.objects.update(backup_time=time(), backup_time_zone=zone)
    day = local_date(now, zone)
    snapshot = make_snapshot(project, local_date=day, failures=failures)
    then = retry_at(Snapshot.objects.get(pk=snapshot.pk), now)
    assert then == (None if minutes is None else now + timedelta(minutes=minutes))


def test_a_backup_of_late_in_the_day_is_tried_again_after_midnight() -> None:
    project = make_project_row()
    MainDatabase.objects.update(backup_time=time(23, 55), backup_time_zone="UTC")
    snapshot = make_snapshot(project, taken_at=LATE, failures=1)
    then = retry_at(Snapshot.objects.get(pk=snapshot.pk), LATE)
    assert then == LATE + timedelta(minutes=15)


def test_one_that_fails_after_the_next_run_was_due_is_not_tried_again() -> None:
    """It was made up for just before that run, or took a day."""
    project = make_project_row()
    MainDatabase.objects.update(backup_time=time(13), backup_time_zone="UTC")
    snapshot = make_snapshot(project, local_date=NOON.date() - timedelta(days=1))
    row = Snapshot.objects.get(pk=snapshot.pk)
    before = timedelta(minutes=50)
    assert retry_at(row, NOON + before) == NOON + before + timedelta(minutes=5)
    assert retry_at(row, NOON + timedelta(minutes=58)) is None
    assert retry_at(row, NOON + timedelta(minutes=65)) is None


class TestRetries:
    @pytest.fixture(autouse=True)
    def _noon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Retries are planned as at noon, whenever the test runs."""
        hours = NOON - timezone.now()

        def at_noon(snapshot: Snapshot, now: datetime) -> datetime | None:
            then = retry_at(snapshot, now + hours)
            return then and then - hours

        monkeypatch.setattr(snapshot_run, "retry_at", at_noon)

    def test_it_waits_for_its_turn_and_then_completes(self, live_project: Project) -> None:
        database = live_project.database
        Project.objects.update(database="bp_gone")
        snapshot = queued(live_project)
        take(snapshot.id)
        snapshot.refresh_from_db()
        assert (snapshot.state, snapshot.failures, snapshot.lease) == (State.QUEUED, 1, None)
        assert snapshot.reason.startswith("The main database could not be read")
        assert heal(timezone.now() + timedelta(minutes=4)) == []
        assert queue_due(timezone.now()) == []

        Project.objects.update(database=database)
        assert heal(timezone.now() + timedelta(minutes=6)) == [snapshot.id]
        Snapshot.objects.update(retry_at=timezone.now())
        take(snapshot.id)
        snapshot.refresh_from_db()
        assert (snapshot.state, snapshot.reason) == (State.COMPLETED, "")
        actions = AuditEvent.objects.order_by("id").values_list("action", flat=True)
        assert list(actions) == ["snapshot.retried", "snapshot.completed"]

    def test_after_the_last_try_it_has_failed(self, live_project: Project) -> None:
        Project.objects.update(database="bp_gone")
        snapshot = queued(live_project)
        for _ in range(3):
            Snapshot.objects.update(retry_at=timezone.now())
            take(snapshot.id)
        snapshot.refresh_from_db()
        assert (snapshot.state, snapshot.failures) == (State.FAILED, 2)
        assert AuditEvent.objects.filter(action="snapshot.failed").count() == 1

    def test_a_second_message_does_not_try_before_its_time(self, live_project: Project) -> None:
        Project.objects.update(database="bp_gone")
        snapshot = queued(live_project)
        take(snapshot.id)
        take(snapshot.id)
        snapshot.refresh_from_db()
        assert snapshot.failures == 1

    def test_a_project_that_was_shut_down_is_not_tried_again(self, live_project: Project) -> None:
        Project.objects.update(state=Project.State.SHUT_DOWN)
        snapshot = queued(live_project)
        take(snapshot.id)
        snapshot.refresh_from_db()
        assert snapshot.state == State.FAILED


def test_the_page_says_what_happened_and_when_it_is_tried_again(client: Client) -> None:
    owner = make_account()
    project = make_project_row(owner=owner)
    then = timezone.now() + timedelta(minutes=15)
    make_snapshot(
        project,
        taken_at=timezone.now(),
        state=State.QUEUED,
        failures=1,
        reason="The disk is full.",
        retry_at=then,
    )
    client.force_login(owner)
    page = " ".join(client.get(f"/projects/{project.slug}/backups/").content.decode().split())
    assert "Failed: The disk is full. Will be tried again" in page
    assert f"{then:%H:%M}" in page
