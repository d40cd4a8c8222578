"""The top of the Backups page: possible loss, proofs, and each retained day."""

import re
from datetime import UTC, date, datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from backups_portal.audit.models import AuditEvent
from backups_portal.projects.due_times import local_date
from backups_portal.projects.models import MainDatabase, Project
from snapshots.models import Snapshot
from snapshots.reports.day_strip import KINDS, MAX_DAYS, MISSED, make_strip
from snapshots.reports.recovery_readiness import readiness_of
from tests import factories

DAY = timedelta(days=1)
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
TODAY = NOON.date()


@pytest.fixture
def project(db: None) -> Project:
    """A project of two weeks ago, backed up at 03:00 UTC and kept for seven days."""
    return factories.make_project_row(created_at=NOON - 14 * DAY)


@pytest.fixture
def _noon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timezone, "now", lambda: NOON)


def back_up(project: Project, ago: int, **fields: object) -> Snapshot:
    at = (NOON - ago * DAY).replace(hour=3)
    return factories.make_snapshot(project, taken_at=at, **fields)


def kinds(project: Project, now: datetime = NOON) -> dict[str, int]:
    strip = readiness_of(project, now).strip
    return {kind: count for kind, _, count in strip.counts} if strip else {}


@pytest.mark.usefixtures("_noon")
class TestStrip:
    def test_a_missed_and_a_failed_day_are_told_apart(self, project: Project) -> None:
        for ago in (6, 4, 3, 1):
            back_up(project, ago)
        back_up(project, 2, state="failed")
        back_up(project, 0, verdict="passed", proven_at=NOON)
        assert kinds(project) == {"proven": 1, "stored": 4, "failed": 1, "missed": 1}
        strip = readiness_of(project, NOON).strip
        assert strip
        assert [cell.label for cell in strip.bad] == ["18 Nov: missed", "21 Nov: failed"]
        assert strip.summary == (
            "Backups of the last 7 days: 1 proven, 4 stored, 1 failed, 1 missed"
        )

    def test_the_oldest_backup_counts_until_it_expires(self, project: Project) -> None:
        before_the_run = NOON.replace(hour=2)
        back_up(project, 7, verdict="passed", proven_at=NOON - 7 * DAY)
        for ago in range(1, 7):
            back_up(project, ago)
        found = readiness_of(project, before_the_run)
        assert found.proven
        assert found.strip
        assert found.strip.first == TODAY - 7 * DAY
        assert kinds(project, before_the_run) == {"proven": 1, "stored": 6}
        assert kinds(project) == {"stored": 6, "missed": 1}

    def test_bad_days_are_named_in_words(self, client: Client, project: Project) -> None:
        for ago in (6, 4, 3, 1, 0):
            back_up(project, ago)
        back_up(project, 2, state="failed")
        client.force_login(project.created_by)
        page = client.get(f"/projects/{project.slug}/backups/").text
        text = " ".join(re.sub(r"<[^>]*>", " ", page).split())
        assert "Failed: 21 Nov ." in text
        assert "Missed: 18 Nov ." in text
        assert '<a href="?day=2026-11-21#days"><time datetime="2026-11-21">' in page

    def test_after_a_long_outage_the_newest_are_named(self) -> None:
        strip = make_strip({}, first=TODAY - 29 * DAY, last=TODAY)
        assert strip
        (named,) = strip.named
        assert (named.kind, len(named.cells), named.more) == (MISSED, 10, 20)
        assert named.cells[0].day == TODAY

    def test_a_day_is_that_of_the_backup_that_replaced_a_bad_one(self, project: Project) -> None:
        bad = back_up(project, 0, verdict="failed", verdict_reason="x", proven_at=NOON)
        Snapshot.objects.filter(pk=bad.pk).update(is_replaced=True)
        other = back_up(project, 0, state="queued")
        assert kinds(project)["coming"] == 1
        Snapshot.objects.filter(pk=other.pk).update(state="completed", manifest="m", taken_at=NOON)
        Snapshot.objects.filter(pk=bad.pk).update(rows=1)
        assert kinds(project)["stored"] == 1

    @pytest.mark.parametrize(
        "fields",
        [
            {"state": "failed"},
            {"state": "running"},
            {"verdict": "failed", "verdict_reason": "x", "proven_at": NOON},
        ],
    )
    def test_a_day_is_that_of_a_replaced_one_if_only_that_is_good(
        self, project: Project, fields: dict[str, object]
    ) -> None:
        """Its storage may have been repaired, so that a later proof passed."""
        back_up(project, 0, verdict="passed", proven_at=NOON, is_replaced=True)
        back_up(project, 0, **fields)
        readiness = readiness_of(project, NOON)
        assert kinds(project)["proven"] == 1
        assert not readiness.unprotected

    def test_a_failed_proof_counts_as_failed(self, project: Project) -> None:
        back_up(project, 0, verdict="failed", verdict_reason="3 rows differ.", proven_at=NOON)
        assert kinds(project)["failed"] == 1

    def test_today_is_not_missed_before_its_time(self, project: Project) -> None:
        for ago in range(1, 8):
            back_up(project, ago)
        assert kinds(project, NOON.replace(hour=2)) == {"stored": 7}
        assert kinds(project) == {"stored": 6, "missed": 1}

    def test_a_new_project_has_missed_nothing(self, project: Project) -> None:
        Project.objects.update(created_at=NOON - 2 * DAY)
        project.refresh_from_db()
        assert kinds(project) == {}
        back_up(project, 1)
        back_up(project, 0, state="running")
        assert kinds(project) == {"stored": 1, "coming": 1}

    def test_days_of_a_shut_down_are_not_missed(self, project: Project) -> None:
        for ago in (6, 0):
            back_up(project, ago)
        for action, ago in (("project.shut_down", 4), ("project.started_again", 2)):
            AuditEvent.objects.create(project_id=project.pk, action=action, at=NOON - ago * DAY)
        assert kinds(project) == {"stored": 2, "not-due": 2, "missed": 3}
        strip = readiness_of(project, NOON).strip
        assert strip
        assert [cell.day.day for cell in strip.bad] == [18, 19, 22]

    def test_a_day_that_the_zone_skipped_is_not_missed(self, project: Project) -> None:
        # Samoa crossed the date line: it had no 30 December 2011.
        noon = datetime(2012, 1, 2, 12, tzinfo=UTC)
        Project.objects.update(created_at=noon - 14 * DAY)
        MainDatabase.objects.update(backup_time_zone="Pacific/Apia")
        project.refresh_from_db()
        for ago in (5, 0):
            at = noon - ago * DAY
            factories.make_snapshot(project, taken_at=at, local_date=local_date(at, "Pacific/Apia"))
        assert kinds(project, noon)["not-due"] == 1

    def test_days_that_a_shorter_period_removed_are_not_missed(self, project: Project) -> None:
        for ago in range(7):
            back_up(project, ago, state="expired" if ago > 3 else "completed")
        assert kinds(project) == {"stored": 4, "removed": 3}

    def test_days_are_those_of_the_projects_zone(self, project: Project) -> None:
        MainDatabase.objects.update(backup_time_zone="Pacific/Kiritimati")
        project.refresh_from_db()
        late = NOON.replace(hour=11)
        factories.make_snapshot(project, taken_at=late, local_date=TODAY + DAY)
        strip = readiness_of(project, NOON).strip
        assert strip
        assert strip.last == TODAY + DAY


@given(
    days=st.integers(0, 2 * MAX_DAYS),
    found=st.dictionaries(st.integers(0, 2 * MAX_DAYS), st.sampled_from(list(KINDS))),
)
def test_each_day_has_a_cell_of_its_own(days: int, found: dict[int, str]) -> None:
    first = date(2025, 1, 1)
    known = {first + day * DAY: kind for day, kind in found.items() if day <= days}
    strip = make_strip(known, first=first, last=first + days * DAY)
    assert strip
    shown = min(days + 1, MAX_DAYS)
    assert sum(count for _, _, count in strip.counts) == shown
    cells = [cell for month in strip.months for cell in month.cells]
    assert [cell.day for cell in cells] == [strip.last - ago * DAY for ago in range(shown)][::-1]
    assert all(cell.kind == known.get(cell.day, MISSED) for cell in cells)
    for month in strip.months:
        assert {f"{cell.day:%b %Y}" for cell in month.cells} == {month.name}
        assert month.weekday == month.cells[0].day.weekday()
    assert strip.is_calendar == (days >= 31)


def test_no_day_has_no_strip() -> None:
    assert make_strip({}, first=TODAY, last=TODAY - DAY) is None
    strip = make_strip({}, first=TODAY, last=TODAY)
    assert strip
    assert [cell.kind for cell in strip.bad] == [MISSED]


@pytest.mark.usefixtures("_noon")
class TestUnprotected:
    """A warning above everything else counts the days since the newest good backup."""

    @pytest.fixture(autouse=True)
    def _next_run(self, project: Project) -> None:
        self.plan(project, NOON + DAY)

    def plan(self, project: Project, next_run: datetime | None) -> None:
        MainDatabase.objects.update(next_snapshot_at=next_run)
        project.refresh_from_db()

    def days(self, project: Project) -> list[str]:
        return [cell.label for cell in readiness_of(project, NOON).unprotected]

    def test_failed_and_missed_days_are_named_newest_first(self, project: Project) -> None:
        for ago in (6, 5, 4, 2):
            back_up(project, ago)
        back_up(project, 1, state="failed")
        assert self.days(project) == ["23 Nov: missed", "22 Nov: failed"]

    def test_a_backup_on_its_way_silences_it(self, project: Project) -> None:
        back_up(project, 2)
        back_up(project, 0, state="running")
        assert self.days(project) == []

    def test_what_is_due_this_minute_is_not_missed(self, project: Project) -> None:
        back_up(project, 2)
        self.plan(project, NOON - timedelta(seconds=30))
        assert self.days(project) == ["22 Nov: missed"]

    def test_a_project_that_does_not_run_misses_nothing(self, project: Project) -> None:
        back_up(project, 2)
        self.plan(project, None)
        assert self.days(project) == []

    def test_it_is_said_above_the_list(self, client: Client, project: Project) -> None:
        back_up(project, 2)
        client.force_login(project.created_by)
        for page in ("", "backups/"):
            html = client.get(f"/projects/{project.slug}/{page}").text
            warning = html.index("No good backup for 2 days")
            assert warning < html.index('<dl class="card band">')
            assert "23 Nov missed, 22 Nov missed" in html


class TestPanel:
    @pytest.fixture
    def page(self, client: Client, project: Project) -> str:
        client.force_login(project.created_by)
        return f"/projects/{project.slug}/backups/"

    def read(self, client: Client, page: str) -> str:
        html = re.sub(r"<[^>]*>", " ", client.get(page).text)
        return " ".join(html.replace("\N{NO-BREAK SPACE}", " ").split())

    def test_says_what_could_be_lost_and_what_is_proven(
        self, client: Client, project: Project, page: str
    ) -> None:
        now = timezone.now()
        factories.make_snapshot(project, taken_at=now - timedelta(hours=2))
        text = self.read(client, page)
        assert "Newest backup 2 hours ago" in text
        assert "Newer data is not backed up yet." in text
        assert "Newest proven None yet Proofs are on" in text
        factories.make_snapshot(
            project,
            taken_at=now - DAY,
            # A different date from two hours ago, even an hour after midnight.
            local_date=(now - 2 * DAY).date(),
            verdict="passed",
            proven_at=now - timedelta(hours=1),
            restore_seconds=8.0,
        )
        text = self.read(client, page)
        assert "Newest proven 1 day ago Restores in 8.0 s" in text
        assert "compares every row. The last one was an hour ago ." in text

    def test_the_next_run_is_on_the_projects_clocks_and_the_viewers(
        self, client: Client, project: Project, page: str
    ) -> None:
        factories.make_snapshot(project)
        MainDatabase.objects.update(next_snapshot_at=datetime(2031, 5, 6, 3, tzinfo=UTC))
        client.cookies["zone"] = "Asia/Tokyo"
        text = self.read(client, page)
        assert "6 May 2031, 03:00 UTC ; 6 May 2031, 12:00 JST where you are" in text
        client.cookies["zone"] = "UTC"
        assert "where you are" not in self.read(client, page)

    def test_a_row_says_what_was_new_that_day(
        self, client: Client, project: Project, page: str
    ) -> None:
        factories.make_snapshot(project, is_full=False, stored_bytes=4096, new_bytes=1024)
        assert "4.0 KiB 1.0 KiB new" in self.read(client, page)
