"""Days in the evidence with a backup, and the reasons for days without one."""

from datetime import UTC, date, datetime, time, timedelta

import pytest

from backups_portal.accounts.models import Account
from backups_portal.evidence.backup_days import Kind
from backups_portal.evidence.evidence_period import Period
from backups_portal.evidence.evidence_report import Report
from backups_portal.evidence.evidence_summary import (
    summary,
)
from backups_portal.projects.models import MainDatabase, Project
from snapshots.models import Hold, Snapshot
from tests.evidence.conftest import (
    BAD,
    DAY,
    FIRST,
    FOUNDED,
    HOUR,
    NOW,
    RUN,
    TODAY,
    ZONE,
    backup,
    changed,
    fill,
    happen,
    report_of,
    the_bad_day,
)

pytestmark = pytest.mark.django_db


def kinds(report: Report) -> dict[date, str]:
    """Return the outcome of each day without a proven backup."""
    return {line.day: line.kind for line in report.days if line.kind != Kind.PROVEN}


def test_all_days_have_a_proven_backup(project: Project) -> None:
    fill(project, FIRST, TODAY)
    report = report_of(project)
    assert kinds(report) == {}
    assert summary(report) == "All 60 days have a backup; 60 proven."


def test_a_backup_that_failed_is_missed_for_its_cause(project: Project) -> None:
    fill(project, FIRST, TODAY, without=(BAD,))
    backup(project, BAD, state="failed", cause="database_unreachable", reason="It did not answer.")
    report = report_of(project)
    assert the_bad_day(report) == (
        "missed",
        "database server unreachable",
        "It did not answer.",
    )
    assert summary(report) == (
        "59 of 60 days have a backup; 59 proven; 1 missed: database server unreachable."
    )


def test_a_failed_backup_that_expired_was_missed_all_the_same(project: Project) -> None:
    fill(project, FIRST, TODAY, without=(BAD,))
    failed = backup(project, BAD, state="failed", cause="no_room", reason="No space.")
    Snapshot.objects.filter(pk=failed.pk).update(state="expired", taken_at=None)
    assert the_bad_day(report_of(project))[1] == "no room on the database server"


@pytest.mark.parametrize("found", [RUN + 2 * HOUR, RUN + 25 * HOUR])
def test_a_day_without_a_try_has_what_the_schedule_wrote_down(
    project: Project, found: datetime
) -> None:
    """The schedule finds it missing up to a day later, and names it after the day of finding."""
    fill(project, FIRST, TODAY, without=(BAD,))
    happen(
        project,
        "snapshot.missed",
        found,
        details={"local_date": str(found.date()), "reason": "None is under way."},
    )
    assert the_bad_day(report_of(project)) == (
        "missed",
        "not taken when due",
        "None is under way.",
    )


def test_a_day_that_nothing_is_known_of_says_so(project: Project) -> None:
    fill(project, FIRST, TODAY, without=(BAD,))
    assert the_bad_day(report_of(project)) == ("missed", "no cause recorded", "")


def test_a_record_that_somebody_removed_by_hand_is_told_by_the_audit_log(project: Project) -> None:
    fill(project, FIRST, TODAY)
    happen(project, "snapshot.completed", RUN, subject=f"Backup of {BAD}")
    Snapshot.objects.filter(project=project, local_date=BAD).delete()
    kind, cause, reason = the_bad_day(report_of(project))
    assert (kind, cause) == ("missed", "record of the backup removed")
    assert "audit log says that the backup of this day was stored" in reason


def test_a_backup_whose_objects_somebody_deleted_failed_its_proof(project: Project) -> None:
    fill(project, FIRST, TODAY)
    reason = "Its manifest is missing in storage."
    Snapshot.objects.filter(project=project, local_date=BAD).update(
        verdict="failed", verdict_reason=reason
    )
    report = report_of(project)
    assert the_bad_day(report) == ("failed_proof", "", reason)
    assert summary(report) == "59 of 60 days have a backup; 59 proven; 1 failed its proof."


def test_a_backup_that_retention_deleted_counts_as_one(project: Project) -> None:
    fill(project, FIRST, TODAY)
    gone = Snapshot.objects.filter(project=project, local_date=BAD)
    gone.update(state="expired", removed_at=NOW)
    happen(
        project,
        "snapshot.expired",
        NOW - HOUR,
        subject=f"Backup of {BAD}",
        details={"reason": "Past its period of 30 days."},
    )
    report = report_of(project)
    assert (report.good, report.bad_days) == (60, [])
    (line,) = (line for line in report.days if line.day == BAD)
    assert line.backup is not None
    assert (line.backup.is_deleted, line.backup.removed_at) == (True, NOW)
    assert [event.subject for event in report.deletions.rows(10)] == [f"Backup of {BAD}"]
    assert report.places.stored == 59


def test_holds_are_told_with_who_placed_them(project: Project, owner: Account) -> None:
    fill(project, FIRST, TODAY)
    held = Snapshot.objects.get(project=project, local_date=BAD)
    Hold.objects.create(snapshot=held, account=owner, created_at=RUN + DAY)
    happen(
        project,
        "snapshot.held",
        RUN + DAY,
        account_email=owner.email,
        subject=f"Backup of {BAD}",
    )
    report = report_of(project)
    (hold,) = report.holds_now
    assert (hold.day, hold.who, hold.since) == (BAD, owner.email, RUN + DAY)
    assert [event.who for event in report.holds.rows(10)] == [owner.email]


def test_a_backup_under_way_is_neither_there_nor_missed(project: Project) -> None:
    fill(project, FIRST, TODAY - DAY)
    backup(project, TODAY, state="running")
    report = report_of(project)
    assert kinds(report) == {TODAY: "coming"}
    assert (report.good, report.due) == (59, 59)


def test_a_backup_that_is_due_now_is_not_missed_yet(project: Project) -> None:
    fill(project, FIRST, TODAY - DAY)
    due = datetime(2026, 11, 29, 1, tzinfo=UTC)
    for moment, expected in (
        (due - HOUR, {}),
        (due + HOUR, {TODAY: "coming"}),
        (due + 3 * HOUR, {TODAY: "missed"}),
    ):
        assert kinds(report_of(project, at=moment)) == expected


def test_days_before_the_first_planned_backup_are_not_missed(project: Project) -> None:
    fill(project, TODAY - DAY, TODAY)
    happen(
        project,
        "project.created",
        FOUNDED,
        details={"first_backup": f"{TODAY - 2 * DAY}T01:00:00+00:00"},
    )
    assert kinds(report_of(project)) == {TODAY - 2 * DAY: "missed"}


def test_the_day_of_the_first_backup_is_that_of_the_zone_it_was_planned_in(
    project: Project,
) -> None:
    """The first run of 1 October in Auckland is on 30 September in Berlin."""
    fill(project, FIRST, TODAY)
    happen(project, "project.created", FOUNDED, details={"first_backup": "2026-09-30T13:00:00Z"})
    changed(project, RUN, backup_time_zone=("Pacific/Auckland", ZONE))
    september = report_of(project, Period(FOUNDED.date(), TODAY, ZONE))
    assert kinds(september) == {}


def test_no_backup_is_due_while_a_project_is_shut_down(project: Project) -> None:
    down = (date(2026, 11, 3), date(2026, 11, 4))
    fill(project, FIRST, TODAY, without=down)
    happen(project, "project.shut_down", RUN - HOUR)
    happen(project, "project.started_again", RUN + DAY + HOUR)
    report = report_of(project)
    assert kinds(report) == dict.fromkeys(down, "not_due")
    assert summary(report) == "All 58 days have a backup; 58 proven."


def test_a_project_that_was_shut_down_before_the_period_owes_nothing(project: Project) -> None:
    happen(project, "project.shut_down", FOUNDED + HOUR)
    Project.objects.filter(pk=project.pk).update(state="shut_down", shut_down_at=FOUNDED + HOUR)
    project.refresh_from_db()
    report = report_of(project)
    assert report.due == 0
    assert summary(report) == "No backup was due in this period yet."


@pytest.mark.parametrize(
    ("at", "day"),
    [
        # 02:30 does not exist on 29 March, and comes twice on 25 October.
        (time(2, 30), date(2026, 3, 29)),
        (time(2, 30), date(2026, 10, 25)),
        (time(0), date(2026, 10, 25)),
    ],
)
def test_days_on_which_clocks_change_count_once(project: Project, at: time, day: date) -> None:
    Project.objects.filter(pk=project.pk).update(created_at=datetime(2026, 3, 1, tzinfo=UTC))
    MainDatabase.objects.filter(pk=project.pk).update(backup_time=at)
    project = Project.objects.select_related("main_database").get(pk=project.pk)
    report = report_of(project, Period(day - DAY, day + DAY, ZONE))
    assert [line.day for line in report.days] == [day - DAY, day, day + DAY]
    assert {line.kind for line in report.days} == {"missed"}
    assert report.scope.period.ends_at - report.scope.period.begins_at in (
        timedelta(hours=71),
        timedelta(hours=73),
    )


def test_two_backups_of_one_calendar_day_belong_to_two_days(project: Project) -> None:
    """After a move to the east, the next local day begins on the same UTC day."""
    fill(project, FIRST, BAD - DAY)
    fill(project, BAD + DAY, TODAY)
    moment = datetime(2026, 11, 3, 1, tzinfo=UTC)
    for day, hours in ((BAD, 0), (BAD + DAY, 16)):
        Snapshot.objects.filter(project=project, local_date=day).delete()
        backup(project, day, taken_at=moment + timedelta(hours=hours), verdict="unproven")
    report = report_of(project)
    assert kinds(report) == {BAD: "stored", BAD + DAY: "stored"}
    assert report.good == 60


def test_a_bad_backup_that_was_replaced_is_told_with_the_day(project: Project) -> None:
    fill(project, FIRST, TODAY)
    bad = Snapshot.objects.get(project=project, local_date=BAD)
    is_bad = {"is_replaced": True, "verdict": "failed", "verdict_reason": "3 rows differ."}
    Snapshot.objects.filter(pk=bad.pk).update(**is_bad)
    other = backup(project, BAD)
    # Without an ORDER BY, the last written row is read last.
    Snapshot.objects.filter(pk=bad.pk).update(rows=1)
    (line,) = [one for one in report_of(project).days if one.day == BAD]
    assert line.backup
    assert (line.kind, line.backup.id) == (Kind.STORED, other.pk)
    assert line.reason == "Another backup of this day failed its proof: 3 rows differ."


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"state": "failed", "reason": "It did not answer."}, ""),
        (
            {"verdict": "failed", "verdict_reason": "1 row differs.", "proven_at": RUN},
            "Another backup of this day failed its proof: 1 row differs.",
        ),
    ],
)
def test_a_replaced_backup_that_passed_after_all_is_that_of_its_day(
    project: Project, fields: dict[str, object], reason: str
) -> None:
    fill(project, FIRST, TODAY)
    Snapshot.objects.filter(project=project, local_date=BAD).update(is_replaced=True)
    backup(project, BAD, **fields)
    report = report_of(project)
    (line,) = [one for one in report.days if one.day == BAD]
    assert (line.kind, line.reason) == (Kind.PROVEN, reason)
    assert report.good == 60
