"""Comparing backups, and finding the one that still has the rows: by page and by command."""

import json
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client
from django.utils import timezone

from backups_portal.projects.connections import admin_dsn
from backups_portal.projects.models import Project
from snapshots.engine.contents import CELLS
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import Storage
from snapshots.models import Snapshot
from snapshots.taking import take
from tests.factories import make_project_row, make_snapshot
from tests.projectdatabases import DEVICE, Connection, add_rows

pytestmark = pytest.mark.django_db


@pytest.fixture
def source(live_project: Project) -> Iterator[Connection]:
    with psycopg.connect(admin_dsn(live_project), autocommit=True) as connection:
        yield connection


def taken(project: Project, days_ago: int) -> Snapshot:
    snapshot = make_snapshot(
        project, taken_at=timezone.now() - timedelta(days=days_ago), state=Snapshot.State.QUEUED
    )
    take(snapshot.id)
    snapshot.refresh_from_db()
    assert snapshot.state == Snapshot.State.COMPLETED
    return snapshot


@pytest.fixture
def pair(live_project: Project, source: Connection, client: Client) -> tuple[Snapshot, Snapshot]:
    """Before and after ten rows of 1 March were lost and five of 3 March came."""
    client.force_login(live_project.created_by)
    first = taken(live_project, 2)
    source.execute("DELETE FROM variable")
    add_rows(source, 2, 5)
    return first, taken(live_project, 1)


def compare(client: Client, snapshot: Snapshot, query: str) -> str:
    response = client.get(
        f"/projects/{snapshot.project.slug}/backups/{snapshot.pk}/compare/?{query}"
    )
    assert response.status_code == 200
    return response.content.decode()


def find(client: Client, project: Project, query: str) -> str:
    response = client.get(f"/projects/{project.slug}/backups/find/?{query}")
    assert response.status_code == 200
    return response.content.decode()


class TestPage:
    def test_two_backups_whichever_is_chosen_first(
        self, client: Client, pair: tuple[Snapshot, Snapshot]
    ) -> None:
        first, second = pair
        for one, other in ((first, second), (second, first)):
            page = compare(client, one, f"with={other.pk}")
            assert "+5 \N{MINUS SIGN}10" in page
            assert "Truck" in page
            assert page.index("From") < page.index("To")

    def test_by_day_and_the_days_of_a_device(
        self, client: Client, pair: tuple[Snapshot, Snapshot]
    ) -> None:
        first, second = pair
        page = compare(client, first, f"with={second.pk}&by=days")
        assert page.index("3 Mar 2026") < page.index("1 Mar 2026")
        assert "Removed" in page
        page = compare(client, first, f"with={second.pk}&device={DEVICE}")
        assert "Days of Truck" in page
        assert f"?device={DEVICE}&amp;day=2026-03-01" in page
        page = compare(client, first, f"with={second.pk}&day=2026-03-01")
        assert "Devices on 1 Mar 2026" in page

    def test_now(self, client: Client, pair: tuple[Snapshot, Snapshot], source: Connection) -> None:
        page = compare(client, pair[1], "with=now")
        assert "Nothing differs" in page
        assert "No row was written since the newest backup" in page
        add_rows(source, 5, 2)
        page = compare(client, pair[0], "with=now")
        assert "+7 \N{MINUS SIGN}10" in page
        assert "around 1 day that changed since the newest backup" in page

    def test_too_much_to_read_for_a_page(
        self,
        client: Client,
        pair: tuple[Snapshot, Snapshot],
        source: Connection,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("snapshots.views.compare.MOST_ROWS_FOR_A_PAGE", 3)
        add_rows(source, 5, 8)
        page = compare(client, pair[0], "with=now")
        assert "About 13 rows would have to be read" in page
        assert f"manage.py snapshots diff {pair[0].pk} now" in page

    def test_nothing_chosen_and_what_is_not_there(
        self, client: Client, pair: tuple[Snapshot, Snapshot]
    ) -> None:
        foreign = make_snapshot(make_project_row())
        for query in ("", "with=", "with=nonsense", f"with={foreign.pk}", f"with={pair[0].pk}"):
            page = compare(client, pair[0], query)
            assert "The database now" in page
            assert "stat-value" not in page

    def test_one_of_very_many_is_found_by_its_day(
        self, client: Client, pair: tuple[Snapshot, Snapshot], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = pair
        assert 'name="on"' not in compare(client, first, "")
        monkeypatch.setattr("snapshots.views.compare.MOST_CHOICES", 0)
        page = compare(client, first, "")
        assert 'name="on"' in page
        assert f"Backup of {second.day_name}" not in page
        for query in (f"on={second.local_date}", f"on={second.local_date}&with=now"):
            page = compare(client, first, query)
            assert "+5 \N{MINUS SIGN}10" in page
            assert f'<option value="{second.pk}" selected>' in page
        page = compare(client, first, "on=2020-02-29&with=now")
        assert "There is no stored backup of 29 Feb 2020." in page
        assert "stat-value" not in page

    def test_lost_contents_are_said_to_be(
        self, client: Client, pair: tuple[Snapshot, Snapshot], stored: Storage
    ) -> None:
        for item in Manifest.load(stored, pair[0].manifest).contents:
            if item.table == CELLS:
                stored.delete(item.key)
        page = compare(client, pair[0], f"with={pair[1].pk}")
        assert "They were not compared" in page
        assert "The backup storage lacks" in page


class TestFind:
    def test_the_newest_backup_that_has_the_most(
        self, client: Client, pair: tuple[Snapshot, Snapshot]
    ) -> None:
        page = find(client, pair[0].project, "device=truck&day=2026-03-01")
        date = pair[0].local_date
        assert f"is that of {date.day} {date:%b %Y}: 10 rows." in page
        assert "as many now" not in page
        assert "as many now" in find(client, pair[0].project, "device=truck&day=2026-03-03")
        assert "The database now" in page
        assert page.index(str(pair[1].pk)) < page.index(str(pair[0].pk))
        assert page.count("New project from backup") == 1
        assert "Rows of all days" in find(client, pair[0].project, f"device={DEVICE}")

    def test_no_backup_has_them(self, client: Client, pair: tuple[Snapshot, Snapshot]) -> None:
        page = find(client, pair[0].project, "device=truck&day=2025-01-01")
        assert "No stored backup has any of these rows." in page

    def test_a_device_is_chosen_among_several_also_a_deleted_one(
        self, client: Client, live_project: Project, source: Connection
    ) -> None:
        client.force_login(live_project.created_by)
        source.execute(
            "INSERT INTO device (id, name, type) VALUES (repeat('e', 24), 'Truck 2', 'mutable')"
        )
        taken(live_project, 1)
        source.execute("DELETE FROM device WHERE name = 'Truck 2'")
        taken(live_project, 0)
        assert "Which device?" in find(client, live_project, "device=ruck")
        assert "Which device?" not in find(client, live_project, "device=TRUCK")
        assert "No stored backup has any" in find(client, live_project, "device=truck+2")
        assert "No stored backup has such a device" in find(client, live_project, "device=ship")

    def test_backups_that_cannot_be_read_are_not_said_to_lack_it(
        self, client: Client, pair: tuple[Snapshot, Snapshot], stored: Storage
    ) -> None:
        stored.delete(pair[0].manifest)
        page = find(client, pair[0].project, "device=truck")
        assert "Cannot be told" in page
        assert f"The backup storage lacks {pair[0].manifest}." in page
        page = find(client, pair[0].project, "device=truck&day=2026-03-01")
        assert "No backup that could be read has any of these rows." in page
        page = find(client, pair[0].project, "device=ship")
        assert "1 stored backup could not be read" in page
        assert "None of the backups that could be read has such a device" in page

    def test_storage_that_is_away(
        self, client: Client, pair: tuple[Snapshot, Snapshot], settings: Any
    ) -> None:
        settings.SNAPSHOT_STORAGE = "nowhere://"
        page = find(client, pair[0].project, "device=truck")
        assert "No backup could be asked" in page

    def test_wrong_input(self, client: Client, live_project: Project) -> None:
        client.force_login(live_project.created_by)
        assert "Enter a part of the name or id." in find(client, live_project, "device=&day=")
        assert "Enter a valid date." in find(client, live_project, "device=truck&day=x")


class TestCommand:
    def run(self, *arguments: str) -> str:
        out = StringIO()
        call_command("snapshots", *arguments, stdout=out, stderr=StringIO())
        return out.getvalue()

    def test_diff(self, pair: tuple[Snapshot, Snapshot], source: Connection) -> None:
        first, second = map(str, (pair[0].pk, pair[1].pk))
        printed = self.run("diff", first, second)
        assert "2026-03-01 removed: 10 rows before, 0 after, 1 devices" in printed
        assert "1 devices and 2 days differ: 5 rows gained, 10 lost; compared in" in printed
        document = json.loads(self.run("diff", first, second, "--json"))
        assert [item["day"] for item in document["days"]] == ["2026-03-03", "2026-03-01"]
        assert "nothing differs" in self.run("diff", second, "now")
        add_rows(source, 2, 1, series=2)
        assert json.loads(self.run("diff", second, "now", "--json"))["reading"]["rows"] == 6

    def test_find(self, pair: tuple[Snapshot, Snapshot]) -> None:
        slug = pair[0].project.slug
        printed = self.run("find", slug, "Truck", "--day", "2026-03-01").splitlines()
        assert [line.split("  ", 2)[2] for line in printed[:2]] == ["0 rows", "10 rows  (the most)"]
        assert printed[2] == "now  0 rows"
        document = json.loads(self.run("find", slug, DEVICE, "--json"))
        assert [item["rows"] for item in document["backups"]] == [5, 10]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (("diff", "x", "now"), "invalid UUID"),
            (("diff", "00000000-0000-4000-8000-000000000000", "then"), "neither"),
            (("diff", "00000000-0000-4000-8000-000000000000", "now"), "There is no snapshot"),
            (("find", "nowhere", "Truck"), "There is no project"),
            (("find", "nowhere", "Truck", "--day", "x"), "is not a day"),
        ],
    )
    def test_wrong_arguments(self, arguments: tuple[str, ...], message: str) -> None:
        with pytest.raises(CommandError, match=message):
            self.run(*arguments)

    def test_backups_of_two_projects(self, pair: tuple[Snapshot, Snapshot]) -> None:
        foreign = make_snapshot(make_project_row())
        with pytest.raises(CommandError, match="different projects"):
            self.run("diff", str(pair[0].pk), str(foreign.pk))
