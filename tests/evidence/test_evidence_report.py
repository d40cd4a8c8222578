"""The evidence of a period's days, restores, holds and deletions."""

import json
from datetime import UTC, date, datetime, time, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from backups_portal.accounts.models import Account
from backups_portal.audit.hash_chain import seal_events, verify
from backups_portal.evidence.evidence_document import payload_of
from backups_portal.evidence.evidence_period import Period
from backups_portal.evidence.evidence_summary import (
    recovery_point_sentence,
    recovery_time_sentence,
)
from backups_portal.projects.models import MainDatabase, Project
from backups_portal.ui.formats import day_and_time
from restores.models import Proof
from snapshots.models import Snapshot
from tests import factories
from tests.evidence.conftest import (
    BAD,
    DAY,
    FIRST,
    HOUR,
    NOW,
    Q4,
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


def test_settings_are_those_of_the_period_with_who_changed_them(project: Project) -> None:
    """Retention was 60 days before the quarter, then 14, and is 30 since its end."""
    moments = [datetime(2026, month, 15, tzinfo=UTC) for month in (8, 10, 11)]
    changed(project, moments[0], retention_days=(90, 60))
    changed(project, moments[1], retention_days=(60, 14), backup_time=("03:00", "02:00"))
    changed(project, moments[2], retention_days=(14, 30))
    october = Period(FIRST, date(2026, 10, 31), ZONE)
    history = report_of(project, october).settings
    assert (history.at_start["retention_days"], history.at_start["backup_time"]) == (60, "03:00")
    assert (history.at_end["retention_days"], history.at_end["backup_time"]) == (14, "02:00")
    (change,) = history.changes
    assert (change.at, change.who) == (moments[1], "olivia@example.com")
    assert history.total == 1


def test_a_day_that_a_new_schedule_left_out_says_so(project: Project) -> None:
    """The time moves from 23:00 to 02:00 at noon, so that the next run is tomorrow's."""
    fill(project, FIRST, TODAY, without=(BAD,))
    changed(project, RUN + 10 * HOUR, backup_time=("23:00", "02:00"))
    kind, cause, reason = the_bad_day(report_of(project))
    assert (kind, cause) == ("missed", "schedule changed")
    assert "no backup was due on this day any more" in reason


def test_a_day_that_a_move_to_the_east_left_out_says_so(project: Project) -> None:
    """At noon (UTC), 23:59 of the 3rd has passed in Auckland, and is yet to come in New York."""
    MainDatabase.objects.filter(pk=project.pk).update(
        backup_time="23:59", backup_time_zone="Pacific/Auckland"
    )
    project = Project.objects.select_related("main_database").get(pk=project.pk)
    fill(project, FIRST, TODAY, without=(BAD,))
    zones = ("America/New_York", "Pacific/Auckland")
    changed(project, datetime(2026, 11, 3, 12, tzinfo=UTC), backup_time_zone=zones)
    report = report_of(project, Period(FIRST, TODAY, "Pacific/Auckland"))
    assert the_bad_day(report)[:2] == ("missed", "schedule changed")


def test_a_run_that_came_after_the_change_was_not_left_out(project: Project) -> None:
    """The time moves from 02:00 to 23:00 at noon: a backup was due that night and never ran."""
    fill(project, FIRST, TODAY, without=(BAD,))
    changed(project, RUN + 10 * HOUR, backup_time=("02:00", "23:00"))
    changed(project, RUN + 34 * HOUR, backup_time=("23:00", "02:00"))
    details = {"local_date": str(BAD), "reason": "The workers were down."}
    happen(project, "snapshot.missed", RUN + 24 * HOUR, details=details)
    assert the_bad_day(report_of(project)) == (
        *("missed", "not taken when due"),
        "The workers were down.",
    )


def test_a_late_backup_says_that_it_was(project: Project) -> None:
    fill(project, FIRST, TODAY)
    happen(
        project,
        "snapshot.missed",
        RUN + 5 * HOUR,
        details={"local_date": str(BAD), "reason": "The workers were down."},
    )
    (line,) = (line for line in report_of(project).days if line.reason)
    assert (line.day, line.kind, line.reason) == (BAD, "proven", "The workers were down.")


def test_a_backup_that_was_taken_after_it_had_failed_says_so(project: Project) -> None:
    fill(project, FIRST, TODAY)
    for hours, reason in ((1, "Connection refused."), (3, "The storage did not answer.")):
        details = {"snapshot": "x", "reason": reason}
        subject = f"Backup of {BAD}"
        happen(project, "snapshot.failed", RUN + hours * HOUR, subject=subject, details=details)
    (line,) = (line for line in report_of(project).days if line.reason)
    assert (line.day, line.kind) == (BAD, "proven")
    moment = day_and_time(RUN + 3 * HOUR)
    assert line.reason == (
        f"It had failed before, the last time on {moment} UTC: The storage did not answer."
    )


def test_days_of_one_outage_are_joined(project: Project) -> None:
    gone = tuple(BAD + number * DAY for number in (0, 1, 2, 5))
    fill(project, FIRST, TODAY, without=gone)
    found = [(span.first.day, len(span.lines)) for span in report_of(project).bad_spans]
    assert found == [(BAD, 3), (BAD + 5 * DAY, 1)]


def restore(source: Project, owner: Account, **fields: object) -> None:
    snapshot = Snapshot.objects.filter(project=source).order_by("local_date").first()
    assert snapshot is not None
    started = RUN + 9 * HOUR
    factories.make_restore(
        snapshot,
        requested_by=owner,
        **{"created_at": started - HOUR, "started_at": started, "state": "completed", **fields},
    )


def test_restores_are_told_with_how_long_they_took(project: Project, owner: Account) -> None:
    fill(project, FIRST, TODAY)
    restore(project, owner, finished_at=RUN + 9 * HOUR + timedelta(seconds=90))
    restore(project, owner, state="failed", reason="No space left.", finished_at=RUN + 10 * HOUR)
    restore(project, owner, state="running", finished_at=None)
    report = report_of(project)
    took = {line.state: line.took for line in report.restores.lines}
    assert took == {"completed": timedelta(seconds=90), "failed": None, "running": None}
    assert recovery_time_sentence(report).startswith(
        "Recovery took 1\N{NO-BREAK SPACE}min 30\N{NO-BREAK SPACE}s (median) and at worst"
    )
    assert recovery_time_sentence(report).endswith("measured by 1 restore.")


def test_a_restore_that_was_tried_again_took_the_last_try(project: Project, owner: Account) -> None:
    fill(project, FIRST, TODAY)
    restore(project, owner, finished_at=RUN + 20 * DAY + HOUR)
    (line,) = report_of(project).restores.lines
    assert line.took > 19 * DAY
    happen(project, "restore.retried", RUN + 20 * DAY, details={"restore": str(line.id)})
    (line,) = report_of(project).restores.lines
    assert line.took == HOUR


def test_recovery_time_is_the_median_and_the_worst(project: Project) -> None:
    fill(project, FIRST, TODAY)
    assert recovery_time_sentence(report_of(project)) == (
        "No recovery time was measured in this period."
    )
    for seconds, snapshot in zip(
        (2.0, 3.0, 40.0),
        Snapshot.objects.filter(project=project).order_by("local_date"),
        strict=False,
    ):
        Proof.objects.create(
            snapshot=snapshot, state="passed", restore_seconds=seconds, finished_at=RUN
        )
    # A failed proof measured nothing.
    Proof.objects.create(
        snapshot=snapshot, state="failed", reason="x", restore_seconds=500, finished_at=RUN
    )
    found = report_of(project).recovery_time
    assert found.median == timedelta(seconds=3)
    assert found.worst is not None
    assert found.worst.seconds == 40


def test_the_recovery_point_is_the_time_between_good_backups(project: Project) -> None:
    fill(project, FIRST - DAY, TODAY, without=(BAD,))
    found = report_of(project).recovery_point
    assert found.median == DAY
    assert found.worst is not None
    assert (found.worst.begins_at, found.worst.ends_at) == (RUN - DAY, RUN + DAY)
    # The first backup of the period follows the last one before it.
    assert found.gaps[0].begins_at == datetime(2026, 9, 30, 1, tzinfo=UTC)


def test_the_recovery_point_grows_while_no_good_backup_comes(project: Project) -> None:
    fill(project, FIRST, BAD)
    report = report_of(project)
    assert report.recovery_point.worst is not None
    assert report.recovery_point.worst.is_open
    assert report.recovery_point.worst.length == NOW - RUN
    assert "at worst 26" in recovery_point_sentence(report)


@pytest.mark.parametrize("until", [RUN + 5 * DAY, None])
def test_nothing_is_lost_while_a_project_is_shut_down(
    project: Project, until: datetime | None
) -> None:
    fill(project, FIRST, BAD)
    happen(project, "project.shut_down", RUN + HOUR)
    if until:
        happen(project, "project.started_again", until)
        fill(project, BAD + 6 * DAY, TODAY)
    found = report_of(project).recovery_point
    lengths = [gap.length for gap in found.gaps if gap.stopped]
    assert lengths == [DAY + HOUR if until else HOUR]


def test_no_good_backup_is_no_recovery_point(project: Project) -> None:
    assert "There was no good backup" in recovery_point_sentence(report_of(project))


def test_names_of_projects_that_the_reader_may_not_enter_are_left_out(
    project: Project, owner: Account
) -> None:
    fill(project, FIRST, TODAY)
    other = factories.make_account()
    hers = factories.make_project_row(owner=other, name="Secret plan")
    restore(
        project,
        other,
        name=hers.name,
        project=hers,
        finished_at=RUN + 10 * HOUR,
        reason="Secret plan",
    )
    (line,) = report_of(project).restores.lines
    happen(
        project,
        "restore.requested",
        RUN,
        subject="Secret plan",
        details={"restore": str(line.id)},
    )
    report = report_of(project)
    (line,) = report.restores.lines
    (event,) = report.access.rows(10)
    assert (line.name, line.reason, event.subject) == ("another project",) * 3


def test_what_happens_elsewhere_or_later_is_left_out(project: Project) -> None:
    happen(project, "snapshot.downloaded", NOW - HOUR)
    happen(project, "snapshot.downloaded", NOW + HOUR)
    happen(project, "snapshot.downloaded", Q4.begins_at - HOUR)
    happen(factories.make_project_row(), "snapshot.downloaded", NOW - HOUR)
    report = report_of(project)
    assert report.access.total == len(list(report.access.rows(10))) == 1


def test_changes_of_members_are_access(project: Project) -> None:
    for hours, action in enumerate(("member.removed", "invitation.accepted"), start=1):
        happen(project, action, NOW - hours * HOUR)
    happen(project, "member.invited", NOW - 3 * HOUR)
    actions = [event.action for event in report_of(project).access.rows(10)]
    assert actions == ["member.removed", "invitation.accepted"]


def test_the_newest_seal_is_the_one_that_the_chain_has(project: Project) -> None:
    happen(project, "snapshot.downloaded", NOW - 2 * HOUR)
    assert report_of(project).seal.noted == ""
    assert seal_events() == 1
    happen(project, "snapshot.downloaded", NOW - HOUR)
    seal, verdict = report_of(project).seal, verify()
    assert seal.noted == f"1:{verdict.seal}"
    assert (seal.events, seal.unsealed) == (2, 1)


def test_asks_as_often_for_many_as_for_one(project: Project, owner: Account) -> None:
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            report = report_of(project)
            for section in (report.access, report.holds, report.deletions):
                list(section.rows(100))
        return len(captured)

    def add(day: date) -> None:
        backup(project, day)
        restore(project, owner, finished_at=RUN)
        moment = datetime.combine(day, time(5), UTC)
        for action in ("snapshot.held", "snapshot.expired", "snapshot.downloaded"):
            happen(project, action, moment)
        changed(project, moment, retention_days=(7, 8))
        happen(
            project,
            "restore.requested",
            moment,
            details={"restore": str(Snapshot.objects.get(project=project, local_date=day).pk)},
        )

    add(FIRST)
    few = queries()
    for number in range(1, 40):
        add(FIRST + number * DAY)
    assert queries() == few


def test_a_lock_that_is_over_is_told_as_none(project: Project) -> None:
    """The mark of a killed extension is not a lock either: its moment had nothing locked."""
    fill(project, FIRST, TODAY)
    of_day = Snapshot.objects.filter(project=project)
    of_day.filter(local_date=BAD).update(locked_until=NOW - HOUR)
    of_day.filter(local_date=BAD + DAY).update(locked_until=NOW)
    of_day.filter(local_date=TODAY).update(locked_until=NOW + DAY)
    report = report_of(project)
    document = json.loads(payload_of(report, made_by="olivia@example.com"))
    told = {day["day"]: day["backup"]["locked_until"] for day in document["days"]}
    assert {day: until for day, until in told.items() if until} == {
        str(TODAY): "2026-11-30T09:00:00Z"
    }
    assert report.places.locked == 1
