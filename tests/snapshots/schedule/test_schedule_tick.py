"""One snapshot per project and local date, whatever happens to the clock and to beat."""

import logging
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from backups_portal.accounts.models import Account
from backups_portal.lib.leases import message_counts_for
from backups_portal.projects.models import MainDatabase, Project
from snapshots.models import Snapshot
from snapshots.schedule.schedule_tick import heal, queue_due, tidy_plan
from tests.at_once import at_once
from tests.factories import make_account, make_project_row, make_snapshot

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


DUE = utc("2026-11-23 03:00")


def make_due(
    *,
    next_snapshot_at: datetime = DUE,
    zone: str = "UTC",
    owner: Account | None = None,
    **fields: Any,
) -> Project:
    """Make a project with a run at 03:00."""
    project = make_project_row(owner=owner, **fields)
    MainDatabase.objects.filter(pk=project.pk).update(
        next_snapshot_at=next_snapshot_at, backup_time=time(3), backup_time_zone=zone
    )
    return project


def next_of(project: Project) -> datetime | None:
    return MainDatabase.objects.get(pk=project.pk).next_snapshot_at


def dates_of(project: Project) -> list[date]:
    rows = Snapshot.objects.filter(project=project).order_by("local_date")
    return list(rows.values_list("local_date", flat=True))


@pytest.mark.django_db
class TestQueueDue:
    def test_a_run_that_has_come_is_queued(self) -> None:
        project = make_due()
        (snapshot_id,) = queue_due(DUE)
        snapshot = Snapshot.objects.get(pk=snapshot_id)
        assert snapshot.project == project
        assert snapshot.state == Snapshot.State.QUEUED
        assert (snapshot.local_date, snapshot.scheduled_for) == (date(2026, 11, 23), DUE)
        assert next_of(project) == DUE + DAY

    def test_a_run_ahead_is_not(self) -> None:
        make_due()
        assert queue_due(DUE - MINUTE) == []
        assert not Snapshot.objects.exists()

    def test_a_second_tick_queues_nothing(self) -> None:
        make_due()
        queue_due(DUE)
        assert queue_due(DUE + MINUTE) == []

    def test_spread_backups_are_queued_at_once_and_begin_one_after_the_other(
        self, settings: Settings
    ) -> None:
        settings.SNAPSHOT_SPREAD = timedelta(minutes=30)
        seconds = [0, 1, 600, 600, 899, 901, 1799]
        ids = [UUID(int=1800 * number + second) for number, second in enumerate(seconds, start=1)]
        for pk in ids:
            make_due(pk=pk)
        at_once = queue_due(DUE)
        waiting = Snapshot.objects.exclude(pk__in=at_once).order_by("project_id")
        turns = [row.lease_until - DUE for row in waiting if row.lease_until]
        assert turns == [timedelta(seconds=second) for second in seconds[1:]]
        halfway = {*heal(DUE + timedelta(minutes=15))} - {*at_once}
        assert halfway == {row.pk for row in waiting if row.project_id in ids[1:5]}
        rest = {*heal(DUE + timedelta(minutes=31))}
        assert {*at_once} | halfway | rest == {row.pk for row in Snapshot.objects.all()}
        assert [Snapshot.objects.get(pk=pk).project_id for pk in at_once] == ids[:1]

    def test_after_an_outage_nobody_waits_for_their_moment(self, settings: Settings) -> None:
        settings.SNAPSHOT_SPREAD = timedelta(minutes=30)
        make_due()
        assert len(queue_due(DUE + timedelta(hours=2))) == 1

    def test_a_project_that_is_shut_down_is_left_alone(self) -> None:
        make_due()
        Project.objects.update(state=Project.State.SHUT_DOWN)
        assert queue_due(DUE) == []

    def test_the_local_date_is_that_of_the_zone(self) -> None:
        project = make_due(next_snapshot_at=utc("2026-11-22 13:00"), zone="Pacific/Kiritimati")
        queue_due(utc("2026-11-22 13:00"))
        assert dates_of(project) == [date(2026, 11, 23)]

    def test_all_batches_are_queued(self) -> None:
        projects = [make_due() for _ in range(5)]
        assert len(queue_due(DUE, batch=2)) == 5
        assert {next_of(project) for project in projects} == {DUE + DAY}

    def test_a_batch_takes_a_fixed_number_of_queries(self) -> None:
        owner = make_account()

        def queries(number: int) -> int:
            for _ in range(number):
                make_due(owner=owner)
            with CaptureQueriesContext(
                connection,
            ) as captured:
                assert len(queue_due(DUE)) == number
            return len(captured)

        assert queries(1) == queries(30)

    def test_an_outage_of_days_ends_with_one_snapshot(self) -> None:
        project = make_due()
        now = DUE + 4 * DAY + 5 * MINUTE
        assert len(queue_due(now)) == 1
        assert dates_of(project) == [date(2026, 11, 27)]
        assert next_of(project) == DUE + 5 * DAY

    def test_an_outage_over_midnight_is_made_up_for_without_costing_the_next_run(self) -> None:
        project = make_due()
        queue_due(utc("2026-11-24 01:00"))
        queue_due(utc("2026-11-24 03:00"))
        assert dates_of(project) == [date(2026, 11, 23), date(2026, 11, 24)]

    def test_a_clock_set_back_queues_no_date_twice(self) -> None:
        project = make_due()
        queue_due(DUE)
        MainDatabase.objects.update(next_snapshot_at=DUE)
        assert queue_due(DUE + MINUTE) == []
        assert dates_of(project) == [date(2026, 11, 23)]
        assert next_of(project) == DUE + DAY

    def test_a_clock_that_ran_ahead_is_forgotten(self) -> None:
        project = make_due()
        queue_due(DUE + 365 * DAY)
        heal(DUE - MINUTE)
        assert next_of(project) == DUE
        assert len(queue_due(DUE)) == 1

    @pytest.mark.parametrize("days", [1, 2, 3])
    def test_a_clock_that_ran_ahead_by_days_costs_no_day(self, days: int) -> None:
        project = make_due()
        queue_due(DUE + days * DAY)
        heal(DUE - MINUTE)
        assert next_of(project) == DUE
        assert len(queue_due(DUE)) == 1

    def test_a_day_that_has_its_snapshot_is_planned_over(self) -> None:
        project = make_due(next_snapshot_at=DUE + 2 * DAY)
        for day in (0, 1):
            make_snapshot(project, taken_at=DUE + day * DAY)
        heal(DUE - MINUTE)
        assert next_of(project) == DUE + 2 * DAY

    def test_plans_that_are_right_are_not_looked_at(self) -> None:
        for zone in ("UTC", "Europe/Berlin"):
            make_due(next_snapshot_at=DUE + DAY, zone=zone)
        with CaptureQueriesContext(connection) as captured:
            heal(DUE)
        assert not [query for query in captured if "local_date" in query["sql"].split("WHERE")[-1]]

    def test_an_existing_failed_snapshot_keeps_its_date(self) -> None:
        project = make_due()
        make_snapshot(project, taken_at=DUE, state="failed")
        assert queue_due(DUE) == []
        assert next_of(project) == DUE + DAY

    def test_a_zone_that_was_given_up_stops_nobody_else(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        lost, fine = make_due(zone="Mars/Base"), make_due()
        with caplog.at_level(logging.WARNING):
            assert len(queue_due(DUE)) == 2
        assert next_of(lost) == next_of(fine) == DUE + DAY
        assert str(lost.pk) in caplog.text

    @pytest.mark.parametrize("zone", ["Europe/Berlin", "Africa/Cairo", "Pacific/Apia"])
    def test_two_weeks_of_hourly_ticks_have_a_snapshot_for_each_local_date(self, zone: str) -> None:
        start = utc("2026-03-21 00:00")
        project = make_due(next_snapshot_at=start, zone=zone)
        moment = start
        while moment < start + 14 * DAY:
            queue_due(moment)
            moment += timedelta(hours=1)
        dates = dates_of(project)
        assert dates == [dates[0] + n * DAY for n in range(len(dates))]
        assert len(dates) in (14, 15)


@pytest.mark.django_db
class TestOncePerLocalDate:
    def test_the_database_refuses_a_second_snapshot(self) -> None:
        project = make_project_row()
        make_snapshot(project, taken_at=DUE)
        with (
            pytest.raises(IntegrityError, match="snapshot_once_per_local_date"),
            transaction.atomic(),
        ):
            make_snapshot(project, taken_at=DUE)


@pytest.mark.django_db(transaction=True)
class TestAtTheSameTime:
    def test_many_ticks_at_once_queue_each_project_once(self) -> None:
        owner = make_account()
        projects = [make_due(owner=owner) for _ in range(40)]
        queued: list[list] = []
        at_once(*[lambda: queued.append(queue_due(DUE, batch=7))] * 4)
        # The next minute takes what one tick had locked while another looked.
        queued.append(queue_due(DUE + MINUTE))
        ids = [snapshot_id for part in queued for snapshot_id in part]
        assert len(ids) == len(set(ids)) == len(projects)
        assert Snapshot.objects.count() == len(projects)


@pytest.mark.django_db
class TestHeal:
    def test_a_message_that_may_still_arrive_is_not_sent_again(self) -> None:
        make_due()
        queue_due(DUE)
        assert heal(DUE + MINUTE) == []

    def test_a_lost_message_is_sent_again_once_in_a_while(self) -> None:
        make_due()
        queued = queue_due(DUE)
        late = DUE + message_counts_for() + MINUTE
        assert heal(late) == queued
        assert heal(late + MINUTE) == []
        assert heal(late + message_counts_for() + MINUTE) == queued

    def test_a_row_that_waits_for_its_message_can_be_claimed(self) -> None:
        make_due()
        (snapshot_id,) = queue_due(utc("2126-11-23 03:00"))
        assert Snapshot.objects.claim(snapshot_id, lease=settings.LEASE)

    def test_a_lost_worker_is_replaced_when_its_lease_ran_out(self) -> None:
        ticket = uuid4()
        snapshot = make_snapshot(make_project_row(), state="running", lease=ticket, lease_until=DUE)
        assert heal(DUE) == []
        assert heal(DUE + MINUTE) == [snapshot.id]
        snapshot.refresh_from_db()
        # Its worker may only be late: then it renews the lease that it still has.
        Snapshot.objects.renew(snapshot.id, ticket, lease=settings.LEASE)

    @pytest.mark.parametrize("state", ["completed", "failed", "expired"])
    def test_what_is_finished_stays_so(self, state: str) -> None:
        make_snapshot(make_project_row(), state=state)
        assert heal(DUE + 365 * DAY) == []


@pytest.mark.django_db
class TestTidyPlan:
    def test_an_active_project_without_a_plan_gets_one(self) -> None:
        project = make_due()
        MainDatabase.objects.update(next_snapshot_at=None)
        tidy_plan(project.id, DUE - MINUTE)
        assert next_of(project) == DUE

    def test_a_plan_stays(self) -> None:
        project = make_due()
        tidy_plan(project.id, DUE + MINUTE)
        assert next_of(project) == DUE

    def test_a_project_that_is_shut_down_loses_its_plan(self) -> None:
        project = make_due()
        Project.objects.update(state=Project.State.SHUT_DOWN)
        tidy_plan(project.id, DUE)
        assert next_of(project) is None
