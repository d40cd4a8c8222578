"""Comparing backups, and finding the one that still has the rows, by page and by command."""

import json
import re
from collections.abc import Iterator
from datetime import date
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client
from django.utils import timezone

from backups_portal.projects.database_dsn import admin_dsn
from backups_portal.projects.models import Project
from backups_portal.ui import moments
from snapshots.engine.contents_index import CELLS
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import Storage
from snapshots.models import Snapshot
from tests.factories import make_project_row, make_snapshot
from tests.projectdatabases import DEVICE, Connection, add_rows
from tests.takensnapshots import taken

pytestmark = pytest.mark.django_db


def shown(day: int) -> str:
    """Return a day of March 2026 as pages show it, this year and later."""
    return moments.day(date(2026, 3, day))


@pytest.fixture
def source(live_project: Project) -> Iterator[Connection]:
    with psycopg.connect(admin_dsn(live_project), autocommit=True) as connection:
        yield connection


@pytest.fixture
def pair(live_project: Project, source: Connection, client: Client) -> tuple[Snapshot, Snapshot]:
    """Backups before and after ten rows of 1 March were lost and five of 3 March added."""
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


def words(html: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", html).split())


def find(client: Client, project: Project, query: str) -> str:
    response = client.get(f"/projects/{project.slug}/backups/find/?{query}")
    assert response.status_code == 200
    return response.content.decode()


def sums(page: str) -> list[str]:
    """Return the lost and gained rows that the page reports."""
    return re.findall(r'stat-value number[^"]*">([^<]*)<', page)


def effects(page: str) -> list[str]:
    """Return the group headings of a table of changes."""
    return re.findall(r'scope="rowgroup"[^>]*>([^<]*)<', page)


class TestPage:
    def test_two_backups_whichever_is_chosen_first(
        self, client: Client, pair: tuple[Snapshot, Snapshot]
    ) -> None:
        first, second = pair
        for one, other in ((first, second), (second, first)):
            page = compare(client, one, f"with={other.pk}")
            assert sums(page) == ["\N{MINUS SIGN}10", "+5"]
            assert page.count('stat-note">1 device<') == 2
            assert "Truck" in page
            assert page.index(">From<") < page.index(">To<")

    def test_by_day_and_the_days_of_a_device(
        self, client: Client, pair: tuple[Snapshot, Snapshot]
    ) -> None:
        first, second = pair
        page = compare(client, first, f"with={second.pk}&by=days")
        assert effects(page) == ["Lost", "Gained"]
        assert page.index(shown(1)) < page.index(shown(3))
        page = compare(client, first, f"with={second.pk}&device={DEVICE}")
        assert "Days of Truck" in page
        assert f"?device={DEVICE}&amp;day=2026-03-01" in page
        page = compare(client, first, f"with={second.pk}&day=2026-03-01")
        assert f"Devices on {shown(1)}" in page

    def test_devices_that_are_gone_come_first(
        self, client: Client, live_project: Project, source: Connection
    ) -> None:
        client.force_login(live_project.created_by)
        make = "INSERT INTO device (id, name, type) VALUES (%s, %s, 'mutable')"
        source.execute(make, ["e" * 24, "Zeppelin"])
        first = taken(live_project, 2)
        source.execute("DELETE FROM device WHERE name = 'Zeppelin'")
        source.execute(make, ["0" * 24, "Aeroplane"])
        source.execute("DELETE FROM variable WHERE id = (SELECT min(id) FROM variable)")
        page = compare(client, first, f"with={taken(live_project, 1).pk}")
        rows = re.findall(r'<th class="row-title" scope="row">(.*?)</th>', page, re.DOTALL)
        found = [name for row in rows for name in ("Zeppelin", "Truck", "Aeroplane") if name in row]
        assert found == ["Zeppelin", "Truck", "Aeroplane"]
        assert effects(page) == ["Lost", "Gained"]
        assert "The device is gone" in page
        # The older backup shows their former content.
        inside = f"/projects/{live_project.slug}/backups/{first.pk}/resources/?kind=devices"
        assert f'href="{inside}"' in page
        assert client.get(inside).status_code == 200
        back = (
            f'href="/projects/{live_project.slug}/backups/{first.pk}/restore/">restore the backup'
        )
        assert back in page.partition("Tags and parameters can come back")[2]

    def test_a_device_that_came_back_is_not_said_to_have_lost_rows(
        self, client: Client, live_project: Project, source: Connection
    ) -> None:
        client.force_login(live_project.created_by)
        first = taken(live_project, 1)
        rows = "SELECT 9, time, number_value, group_key FROM kept"
        source.execute("CREATE TEMPORARY TABLE kept AS SELECT * FROM variable")
        source.execute("DELETE FROM variable")
        source.execute("DELETE FROM device")
        source.execute(
            "INSERT INTO device (id, name, type) VALUES (%s, 'Truck', 'mutable')", [DEVICE]
        )
        source.execute(
            "INSERT INTO series (id, device_id, variable, type, unit)"
            " VALUES (9, %s, 'temperature_1', 'number', 'C')",
            [DEVICE],
        )
        source.execute(f"INSERT INTO variable (series_id, time, number_value, group_key) {rows}")
        page = compare(client, first, "with=now")
        assert sums(page) == ["0", "0"]
        # This holds on every view that reports the same number of rows with other content.
        for view in ("", f"&device={DEVICE}", "&day=2026-03-01", "&by=days"):
            page = compare(client, first, f"with=now{view}")
            assert "Same number, different content" in page
            assert "eleted and made again" in page
        printed = StringIO()
        call_command("snapshots", "diff", str(first.pk), "now", stdout=printed)
        assert f"{DEVICE} was deleted and made again" in printed.getvalue()
        printed = StringIO()
        call_command("snapshots", "diff", str(first.pk), "now", "--json", stdout=printed)
        assert json.loads(printed.getvalue())["remade"] == [DEVICE]

    def test_other_values_are_told_and_what_is_the_same_is_folded(
        self, client: Client, live_project: Project, source: Connection
    ) -> None:
        client.force_login(live_project.created_by)
        make = "INSERT INTO device (id, name, type) VALUES (%s, %s, 'mutable')"
        source.execute(make, ["e" * 24, "Zeppelin"])
        first = taken(live_project, 2)
        source.execute("UPDATE variable SET number_value = number_value + 1")
        page = compare(client, first, f"with={taken(live_project, 1).pk}")
        assert effects(page) == ["Same number, different content"]
        assert "Zeppelin" not in page[: page.index('<details class="fold')]
        assert "Devices: Zeppelin." in page

    def test_now(self, client: Client, pair: tuple[Snapshot, Snapshot], source: Connection) -> None:
        page = compare(client, pair[1], "with=now")
        assert "Nothing differs" in page
        assert "No row was written since the newest backup" in page
        add_rows(source, 5, 2)
        page = compare(client, pair[0], "with=now")
        assert sums(page) == ["\N{MINUS SIGN}10", "+7"]
        assert "around 1 day that changed since the newest backup" in page

    def test_too_much_to_read_for_a_page(
        self,
        client: Client,
        pair: tuple[Snapshot, Snapshot],
        source: Connection,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr("snapshots.views.compare.MAX_ROWS_OF_PAGE", 3)
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

    def test_two_of_one_day_are_told_apart(
        self, client: Client, pair: tuple[Snapshot, Snapshot]
    ) -> None:
        first, second = pair
        is_bad = {"verdict": "failed", "verdict_reason": "x", "proven_at": timezone.now()}
        Snapshot.objects.filter(pk=second.pk).update(is_replaced=True, **is_bad)
        taken(first.project, 1)
        page = compare(client, first, "")
        options = [words(one) for one in re.findall(r"<option.*?</option>", page, re.DOTALL)]
        name = f"Backup of {second.day_name}"
        assert options[2:] == [name, f"{name} (failed its proof)"]

    def test_one_of_very_many_is_found_by_its_day(
        self, client: Client, pair: tuple[Snapshot, Snapshot], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first, second = pair
        assert 'name="on"' not in compare(client, first, "")
        monkeypatch.setattr("snapshots.views.compare.MAX_CHOICES", 0)
        page = compare(client, first, "")
        assert 'name="on"' in page
        assert f"Backup of {second.day_name}" not in page
        for query in (f"on={second.local_date}", f"on={second.local_date}&with=now"):
            page = compare(client, first, query)
            assert sums(page) == ["\N{MINUS SIGN}10", "+5"]
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
        assert "The comparison failed" in page
        assert "The backup storage lacks" in page


class TestFind:
    def test_the_newest_backup_that_has_the_most(
        self, client: Client, pair: tuple[Snapshot, Snapshot]
    ) -> None:
        page = find(client, pair[0].project, "device=truck&day=2026-03-01")
        taken_on = pair[0].local_date
        assert f"Now: 0 rows; most in the backup of {moments.day(taken_on)}: 10" in page
        assert f"10 rows of Truck on {shown(1)} are missing." in words(page)
        assert "No backup has more" not in page
        there = find(client, pair[0].project, "device=truck&day=2026-03-03")
        assert f"Now: 5 rows; most in the backup of {moments.day(pair[1].local_date)}:" in there
        assert "No backup has more rows of Truck than the database." in words(there)
        assert "The database now" in page
        _, listed = page.split('id="each-backup"')
        assert listed.index(str(pair[1].pk)) < listed.index(str(pair[0].pk))
        # Both the answer and the backup's line offer a restore with the searched device and day.
        restore = f"/backups/{pair[0].pk}/restore/?device={DEVICE}&amp;day=2026-03-01"
        assert page.count(restore) == 2
        assert f"/backups/{pair[1].pk}/restore/" not in page
        all_days = find(client, pair[0].project, f"device={DEVICE}")
        assert "Rows of all days" in all_days
        assert f"Now: 5 rows; most in the backup of {moments.day(taken_on)}: 10" in all_days
        assert f'/restore/?device={DEVICE}"' in all_days

    def test_a_backup_that_failed_its_proof_is_not_the_answer(
        self, client: Client, pair: tuple[Snapshot, Snapshot]
    ) -> None:
        query = f"device={DEVICE}"
        failed = {
            "verdict": "failed",
            "verdict_reason": "Rows differ.",
            "proven_at": timezone.now(),
        }
        Snapshot.objects.filter(pk=pair[0].pk).update(**failed)
        page = find(client, pair[0].project, query)
        assert f"most in the backup of {moments.day(pair[1].local_date)}:" in page
        assert "A backup that failed its proof has more, but it cannot be restored." in page
        assert f"/backups/{pair[0].pk}/restore/" not in page
        Snapshot.objects.filter(pk=pair[1].pk).update(**failed)
        page = find(client, pair[0].project, query)
        assert "Now: 5 rows; no backup that can be restored has any" in page
        assert "/restore/" not in page

    def test_the_last_day_of_all(self, client: Client, pair: tuple[Snapshot, Snapshot]) -> None:
        page = find(client, pair[0].project, "device=truck&day=9999-12-31")
        assert "Now: 0 rows; no backup that can be restored has any" in page

    def test_no_backup_has_them(self, client: Client, pair: tuple[Snapshot, Snapshot]) -> None:
        page = find(client, pair[0].project, "device=truck&day=2025-01-01")
        assert "Now: 0 rows; no backup that can be restored has any" in page
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
        assert "Cannot be read" in page
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
        assert "No backup could be searched" in page

    def test_who_does_not_know_what_is_lost_is_shown_all_that_changed(
        self, client: Client, pair: tuple[Snapshot, Snapshot]
    ) -> None:
        newest = pair[1]
        address = f"/projects/{newest.project.slug}/backups/{newest.pk}/compare/?with=now"
        for query in ("", "device=nobody", "device=truck"):
            page = find(client, newest.project, query)
            assert "Not sure what is lost?" in page
            assert f'href="{address}"' in page
        Snapshot.objects.all().delete()
        assert "Not sure what is lost?" not in find(client, newest.project, "")

    def test_wrong_input(self, client: Client, live_project: Project) -> None:
        client.force_login(live_project.created_by)
        assert "Enter part of the name or ID." in find(client, live_project, "device=&day=")
        assert "Enter a day as year, month and day" in find(
            client, live_project, "device=truck&day=x"
        )


class TestCommand:
    def run(self, *arguments: str) -> str:
        out = StringIO()
        call_command("snapshots", *arguments, stdout=out, stderr=StringIO())
        return out.getvalue()

    def test_diff(self, pair: tuple[Snapshot, Snapshot], source: Connection) -> None:
        first, second = map(str, (pair[0].pk, pair[1].pk))
        printed = self.run("diff", first, second)
        assert "2026-03-01 removed: 10 rows before, 0 after, 1 device" in printed
        assert "1 device and 2 days differ: 5 rows gained, 10 lost; compared in" in printed
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
