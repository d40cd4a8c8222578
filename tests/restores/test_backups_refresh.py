"""The Backups page refreshes while something is pending, and paginates many backups."""

import re
from datetime import datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from backups_portal.accounts.models import Account
from backups_portal.projects.models import Project
from restores.backups_views import WHILE_AWAITED, WHILE_CHANGING, WHILE_QUIET
from snapshots.models import Snapshot
from tests import factories
from tests.restores import backups_page
from tests.restores.backups_page import (
    DAY,
    PAGE_QUERIES,
    line,
    plan,
    read,
    refresh,
    words,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner() -> Account:
    return factories.make_account()


@pytest.fixture
def project(client: Client, owner: Account) -> Project:
    return backups_page.owned_project(client, owner)


class TestRefresh:
    """The list reloads itself: often while work is under way, otherwise slowly."""

    def test_page_and_refresh_are_the_same(self, client: Client, project: Project) -> None:
        factories.make_snapshot(project, state="running", rows_done=5, rows_total=20)
        page, part = read(client, project), refresh(client, project)
        assert "<html" not in part
        assert words(part) in words(page)

    def test_running_backup_is_asked_for_again(self, client: Client, project: Project) -> None:
        snapshot = factories.make_snapshot(project, state="running", rows_done=5, rows_total=20)
        part = refresh(client, project, "?page=1")
        assert f'hx-trigger="every {WHILE_CHANGING}s"' in part
        assert f'hx-get="/projects/{project.slug}/backups/?page=1"' in part
        assert 'value="5" max="20"' in part
        assert "5 of 20 rows" in words(line(part, snapshot))

    def test_how_long_a_running_backup_will_still_take(
        self, client: Client, project: Project
    ) -> None:
        snapshot = factories.make_snapshot(
            project,
            state="running",
            taken_at=timezone.now() - timedelta(seconds=30),
            rows_done=50,
            rows_total=200,
            bytes_done=2048,
        )
        text = words(line(refresh(client, project), snapshot))
        assert "50 of 200 rows, 2.0 KiB, 2 rows/s, about 1 min 30 s left" in text

    def test_restore_under_way_is_asked_for_again(
        self, client: Client, project: Project, owner: Account
    ) -> None:
        factories.make_restore(factories.make_snapshot(project), requested_by=owner)
        assert f'hx-trigger="every {WHILE_CHANGING}s"' in refresh(client, project)

    def test_next_backup_is_awaited(self, client: Client, project: Project) -> None:
        plan(timezone.now() + timedelta(minutes=2))
        assert f'hx-trigger="every {WHILE_AWAITED}s"' in read(client, project)

    @pytest.mark.parametrize("state", ["completed", "failed"])
    def test_it_goes_on_slowly_where_nothing_is_under_way(
        self, client: Client, project: Project, state: str
    ) -> None:
        factories.make_snapshot(project, state=state)
        for part in (read(client, project), refresh(client, project)):
            assert f'hx-trigger="every {WHILE_QUIET}s"' in part

    def test_an_empty_list_goes_on_too(self, client: Client, project: Project) -> None:
        assert f'hx-trigger="every {WHILE_QUIET}s"' in read(client, project)

    @pytest.mark.parametrize(
        ("minutes", "seconds"), [(45, WHILE_QUIET), (5, WHILE_AWAITED), (-1, WHILE_AWAITED)]
    )
    def test_a_postponed_backup_is_not_asked_for_every_second(
        self, client: Client, project: Project, minutes: int, seconds: int
    ) -> None:
        then = timezone.now() + timedelta(minutes=minutes)
        factories.make_snapshot(project, state="queued", failures=1, reason="Away.", retry_at=then)
        assert f'hx-trigger="every {seconds}s"' in refresh(client, project)

    @pytest.mark.parametrize("retry_at", [None, timezone.now()], ids=["new", "after an outage"])
    def test_a_backup_that_is_queued_is(
        self, client: Client, project: Project, retry_at: datetime | None
    ) -> None:
        factories.make_snapshot(project, state="queued", retry_at=retry_at)
        part = refresh(client, project)
        assert f'hx-trigger="every {WHILE_CHANGING}s"' in part
        assert "Waiting for a worker" in part

    def test_caches_keep_the_two_apart(self, client: Client, project: Project) -> None:
        response = client.get(f"/projects/{project.slug}/backups/")
        assert "HX-Request" in response.headers["Vary"]


class TestPages:
    """A long list is paginated."""

    @pytest.fixture(autouse=True)
    def _snapshots(self, project: Project) -> None:
        for days in range(30):
            factories.make_snapshot(project, taken_at=timezone.now() - days * DAY)

    @pytest.mark.parametrize(
        ("query", "place"),
        [
            ("", "Page 1 of 3"),
            ("?page=2", "Page 2 of 3"),
            ("?page=99", "Page 3 of 3"),
            ("?page=0", "Page 3 of 3"),
            ("?page=-1", "Page 3 of 3"),
            ("?page=last", "Page 1 of 3"),
            ("?page=" + "9" * 5000, "Page 1 of 3"),
            ("?page=%00", "Page 1 of 3"),
        ],
    )
    def test_any_page_number_leads_to_a_page(
        self, client: Client, project: Project, query: str, place: str
    ) -> None:
        assert place in words(read(client, project, query))

    def test_newest_comes_first(self, client: Client, project: Project) -> None:
        ids = re.findall(r'<tr id="backup-([0-9a-f-]+)"', read(client, project))
        newest = Snapshot.objects.order_by("-taken_at")[:14]
        assert ids == [str(snapshot.pk) for snapshot in newest]


class TestManyBackups:
    """The page works for any number of backups."""

    def fill(self, project: Project, number: int) -> list[Snapshot]:
        """Fill the list with daily backups, the newest from today."""
        now = timezone.now()
        rows = [
            Snapshot(
                project=project,
                state="completed",
                local_date=(now - days * DAY).date(),
                scheduled_for=now - days * DAY,
                taken_at=now - days * DAY,
                manifest="manifests/one.json",
                rows=1000,
                stored_bytes=4096,
            )
            for days in range(number)
        ]
        return Snapshot.objects.bulk_create(rows, batch_size=1000)

    @pytest.mark.parametrize(
        ("number", "pages"), [(0, 0), (1, 1), (7, 1), (14, 1), (15, 2), (365, 27), (10_000, 715)]
    )
    def test_every_page_is_a_step_away(
        self,
        client: Client,
        project: Project,
        django_assert_num_queries: DjangoAssertNumQueries,
        number: int,
        pages: int,
    ) -> None:
        rows = self.fill(project, number)
        client.get("/account/")
        # An empty list is counted and not read.
        with django_assert_num_queries(PAGE_QUERIES if number else PAGE_QUERIES - 1):
            page = read(client, project)
        assert page.count('<tr id="backup-') == min(number, 14)
        assert ("Go to day" in page) == (pages > 1)
        assert ("?page=2" in page) == (pages > 1)
        assert (f'href="?page={pages}">Last</a>' in page) == (pages > 2)
        if pages > 2:
            last = read(client, project, f"?page={pages}")
            assert f"backup-{rows[-1].pk}" in last
            assert 'href="?page=1">First</a>' in last
            assert f"Page {pages} of {pages}" in words(last)

    @pytest.mark.parametrize("days", [0, 13, 14, 364])
    def test_any_day_is_a_step_away(self, client: Client, project: Project, days: int) -> None:
        row = self.fill(project, 365)[days]
        page = read(client, project, f"?day={row.local_date}")
        assert f'<tr id="backup-{row.pk}" class="is-sought">' in page
        assert f"Page {days // 14 + 1} of 27" in words(page)
        assert f'value="{row.local_date}"' in page
        # Its refresh keeps the chosen day, and another page drops it.
        assert f'hx-get="/projects/{project.slug}/backups/?day={row.local_date}"' in page
        assert "is-sought" not in read(client, project, f"?day={row.local_date}&page=9")

    def test_a_day_without_a_backup_shows_the_nearest(
        self, client: Client, project: Project
    ) -> None:
        rows = self.fill(project, 30)
        gone = rows[20]
        gone.delete()
        page = read(client, project, f"?day={gone.local_date}")
        assert f"There is no backup of {gone.day_name}. These are the nearest." in words(page)
        assert f"backup-{rows[19].pk}" in page
        assert f"backup-{rows[21].pk}" in page

    @pytest.mark.parametrize(
        ("day", "place"),
        [("9999-12-31", 1), ("0001-01-01", 3), ("2026-02-31", 1), ("soon", 1), ("%00", 1)],
    )
    def test_any_day_leads_to_a_page(
        self, client: Client, project: Project, day: str, place: int
    ) -> None:
        self.fill(project, 30)
        assert f"Page {place} of 3" in words(read(client, project, f"?day={day}"))
