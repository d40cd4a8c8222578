"""The form of “Move data”: prefilled by links, with devices offered by name."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from django.http import QueryDict
from django.test import Client

from backups_portal.accounts.models import Account
from backups_portal.projects.models import Membership, Project
from backups_portal.transfers.models import Transfer
from backups_portal.transfers.pages.device_list import MAX_COUNTED, DeviceRow
from backups_portal.transfers.pages.move_suggestion import (
    ENDS_FIRST,
    NO_DEVICE,
    NO_VARIABLE,
    NOT_HERE,
    SAME,
    ProjectChoice,
    Suggestion,
    local_text,
    read_suggestion,
)
from tests import factories
from tests.transfers.projects import DEVICE, add_readings, add_truck, open_project

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def choice(slug: str, origin: ProjectChoice | None = None, **values: Any) -> ProjectChoice:
    fields = {"state": "active", "created_at": NOW, **values}
    return ProjectChoice(uuid4(), slug.title(), slug, origin=origin and origin.pk, **fields)


CHAIN = choice("chain")
OLD = choice("old", CHAIN)
NEW = choice("new", CHAIN, created_at=NOW + timedelta(days=1))
ENDED = choice("ended", CHAIN, state="shut_down", created_at=NOW + timedelta(days=2))
OTHER = choice("other")
OWNED = [CHAIN, OLD, NEW, ENDED, OTHER]
NOT_YOURS = "The link names a project that you do not own. It was left out."


def suggest(link: str, project: ProjectChoice = NEW, zone: str = "Europe/Berlin") -> Suggestion:
    return read_suggestion(QueryDict(link), OWNED, project.pk, zone)


@pytest.mark.parametrize(
    ("project", "link", "source", "target", "says"),
    [
        (NEW, "", NEW, CHAIN, []),
        (CHAIN, "", NEW, CHAIN, []),
        (OTHER, "", OTHER, None, []),
        (ENDED, "", ENDED, None, []),
        (NEW, "from=new&into=other", NEW, OTHER, []),
        (NEW, "into=other", NEW, OTHER, []),
        (NEW, "from=new", NEW, CHAIN, []),
        (CHAIN, "from=old", OLD, CHAIN, []),
        (CHAIN, "into=chain", NEW, CHAIN, []),
        (CHAIN, "from=chain&into=old", CHAIN, OLD, []),
        (NEW, "from=new&into=new", NEW, None, [SAME]),
        (NEW, "from=old&into=other", OLD, NEW, [NOT_HERE]),
        (NEW, "from=nobodys&into=other", NEW, CHAIN, [NOT_YOURS]),
        (NEW, "from=new&into=nobodys", NEW, CHAIN, [NOT_YOURS]),
        (NEW, "into=ended", NEW, CHAIN, ["Ended, which the link names, is shut down."]),
    ],
)
def test_projects_of_a_link(
    project: ProjectChoice,
    link: str,
    source: ProjectChoice,
    target: ProjectChoice | None,
    says: list[str],
) -> None:
    found = suggest(link, project)
    assert (found.source, found.target) == (source.pk, target and target.pk)
    assert found.ignored == says


def test_devices_variables_and_period_of_a_link() -> None:
    found = suggest(f"device={'b' * 24}&device={'a' * 24}&device={'b' * 24}&device=Truck")
    assert (found.devices, found.ignored) == (["b" * 24, "a" * 24], [NO_DEVICE])
    # A device belongs to the project that it is moved from.
    assert suggest(f"from=nobodys&device={'a' * 24}").devices == []
    found = suggest("variable=wind&variable=air,%20outside&variable=speed&variable=wind")
    assert (found.variables, found.ignored) == (["wind", "speed"], [NO_VARIABLE])
    # With an offset (even if its plus sign was not escaped), in UTC, or on the reader's clock.
    for start in ("2026-11-27T01:00:00+01:00", "2026-11-27T00:00Z", "2026-11-27T01:00"):
        found = suggest(f"start={start}&end=2026-11-28")
        assert found.since == datetime(2026, 11, 27, tzinfo=UTC), start
        assert found.until == datetime(2026, 11, 27, 23, tzinfo=UTC)
    found = suggest("start=2026-11-27T00:00:00.9Z&end=2026-11-27T00:00:01.1Z", zone="UTC")
    shown = [local_text(one, "UTC") for one in (found.since, found.until)]
    assert shown == ["2026-11-27T00:00", "2026-11-27T00:00:02"]
    for wrong in ("start=yesterday", "end=9999-12-31T23:59:59.9-12:00", "start=0001-01-01"):
        found = suggest(wrong)
        assert (found.since, found.until, len(found.ignored)) == (None, None, 1), wrong
    found = suggest("start=2026-11-27&end=2026-11-26")
    assert (found.since, found.ignored) == (None, [ENDS_FIRST])


@pytest.fixture
def visitor(owner: Account) -> Client:
    client = Client()
    client.force_login(owner)
    return client


def page_of(project: Project) -> str:
    return f"/projects/{project.slug}/transfers/"


def posted(source: Project, target: Project, **values: Any) -> dict[str, Any]:
    usual = {"rule": "skip", "unmatched": "create", "request_key": uuid4()}
    return {"source": source.pk, "target": target.pk, **usual, **values}


def test_a_link_fills_the_form_in_on_the_readers_clocks(
    visitor: Client, backup: Project, live: Project
) -> None:
    visitor.cookies["zone"] = "Europe/Berlin"
    link = (
        f"from={backup.slug}&into={live.slug}&device={DEVICE}&variable=wind&start=2026-03-01T00:01Z"
    )
    page = visitor.get(f"{page_of(backup)}?{link}").text
    for filled in (
        f'<option value="{backup.pk}" selected>',
        f'<option value="{live.pk}" selected>',
        f'<input type="hidden" name="devices" value="{DEVICE}">',
        'name="variables" value="wind"',
        'name="since" value="2026-03-01T01:01"',
        'name="zone" value="Europe/Berlin"',
    ):
        assert filled in page
    # Sent from the same user's browser elsewhere, the period is still the one that was shown.
    visitor.cookies["zone"] = "Asia/Tokyo"
    shown = {"devices": [DEVICE], "since": "2026-03-01T01:01", "zone": "Europe/Berlin"}
    assert visitor.post(page_of(backup), posted(backup, live, **shown)).status_code == 302
    chosen = Transfer.objects.get().chosen()
    assert chosen.devices == (DEVICE,)
    assert chosen.since == datetime(2026, 3, 1, 0, 1, tzinfo=UTC)


def test_a_link_tells_nothing_of_projects_that_are_not_the_readers(
    visitor: Client, owner: Account
) -> None:
    mine = factories.make_project_row(owner=owner)
    theirs = factories.make_project_row(name="Theirs")
    factories.make_membership(theirs, owner)
    assert Membership.objects.filter(account=owner, project=theirs).exists()
    for slug in (theirs.slug, "no-such-project"):
        page = visitor.get(f"{page_of(mine)}?into={slug}").text
        assert NOT_YOURS in page
        assert "Theirs" not in page


def test_an_hour_that_clocks_show_twice_is_meant_both_times(
    visitor: Client, backup: Project, live: Project
) -> None:
    period = {"since": "2025-10-26T02:30", "until": "2025-10-26T02:30", "zone": "Europe/Berlin"}
    visitor.post(page_of(backup), posted(backup, live, **period))
    chosen = Transfer.objects.get().chosen()
    assert chosen.since == datetime(2025, 10, 26, 0, 30, tzinfo=UTC)
    assert chosen.until == datetime(2025, 10, 26, 1, 30, tzinfo=UTC)


class TestDevicesToMove:
    """They load after the page, by name, and chosen ones stay visible."""

    @pytest.fixture(autouse=True)
    def forty_pumps(self, backup: Project) -> None:
        with open_project(backup) as connection:
            connection.execute(
                "INSERT INTO device (id, name, type) SELECT lpad(to_hex(n), 24, '0'),"
                " 'Pump ' || lpad(n::text, 2, '0'), 'mutable' FROM generate_series(1, 40) AS n"
            )

    def ask(self, visitor: Client, form: dict[str, Any], page: Project, **headers: str) -> str:
        answer = visitor.post(page_of(page), form, headers=headers)
        assert answer.status_code == 200
        return answer.text

    def test_the_page_does_not_wait_for_them(self, visitor: Client, backup: Project) -> None:
        page = visitor.get(page_of(backup)).text
        assert "load, change from:#id_source" in page
        assert "Show the devices" in page
        assert "Pump 01" not in page

    def test_what_is_chosen_comes_first_and_once(
        self, visitor: Client, backup: Project, live: Project
    ) -> None:
        add_truck(backup, "b" * 24, name="Truck")
        add_readings(backup, 3, "b" * 24, variable="humidity")
        form = posted(backup, live, show="2", q="pump", devices=[DEVICE, "f" * 24])
        part = self.ask(visitor, form, backup, HX_Request="true")
        assert "<html" not in part
        assert "1 chosen device is not in Cold Chain (restored). Clear it" in part
        assert ("Pump 26" in part, "Pump 25" in part) == (True, False)
        # Two devices with one name are told apart.
        assert f"Truck <code>{DEVICE}</code>" in part
        assert part.index(DEVICE) < part.index("Pump 26")
        assert (part.count("checked"), "10 records" in part) == (2, True)
        assert f'<option value="{backup.pk}" disabled>Cold Chain (restored) (the source)' in part

    def test_without_scripts_the_page_comes_back_as_it_was(
        self, visitor: Client, backup: Project, live: Project
    ) -> None:
        form = posted(backup, live, show="1", q="PUMP 3", variables="humidity", kinds=["dashboard"])
        page = self.ask(visitor, form, backup)
        assert ("Pump 30" in page, "Pump 01" in page) == (True, False)
        for kept in ('value="PUMP 3"', 'value="humidity"', 'value="dashboard"[^>]* checked'):
            assert re.search(kept, page), kept
        assert f'<option value="{live.pk}" selected>' in page
        # Without scripts the option stays enabled, since nothing updates it with the source.
        assert "(the source)" not in page
        assert not Transfer.objects.exists()

    @pytest.mark.parametrize(
        ("chosen", "opened"),
        [
            ({}, [False, False]),
            ({"kinds": ["dashboard"]}, [True, False]),
            ({"without_devices": "on"}, [True, False]),
            ({"variables": "humidity"}, [False, True]),
        ],
    )
    def test_what_is_chosen_is_not_folded_away(
        self,
        visitor: Client,
        backup: Project,
        live: Project,
        chosen: dict[str, Any],
        opened: list[bool],
    ) -> None:
        page = self.ask(visitor, posted(backup, live, show="1", **chosen), backup)
        folds = re.findall(r'<details class="options"([^>]*)>\s*<summary>([^<]*)<', page)
        assert [title for _, title in folds] == [
            "Dashboards, actions and other resources",
            "Options",
        ]
        assert ["open" in attributes for attributes, _ in folds] == opened

    def test_a_zone_is_not_said_to_be_the_viewers_that_is_the_projects(
        self, visitor: Client, backup: Project
    ) -> None:
        assert "Times are in UTC." in visitor.get(page_of(backup)).text

    def test_a_refused_form_keeps_what_was_ticked(
        self, visitor: Client, backup: Project, live: Project
    ) -> None:
        form = posted(backup, live, devices=[DEVICE], since="2026-03-02", until="2026-03-01")
        answer = visitor.post(page_of(backup), form)
        assert answer.status_code == 400
        assert "The period ends before it begins." in answer.text
        assert f'value="{DEVICE}"' in answer.text
        assert "checked" in answer.text

    def test_a_device_of_another_project_stays_chosen_and_is_refused(
        self, visitor: Client, backup: Project, live: Project
    ) -> None:
        form = posted(backup, live, show="1", devices=["f" * 24])
        part = self.ask(visitor, form, backup, HX_Request="true")
        # Without any device everything would be moved.
        assert re.search(rf'value="{"f" * 24}"[^>]* checked', part)
        answer = visitor.post(page_of(backup), posted(backup, live, devices=["f" * 24]))
        assert answer.status_code == 400
        assert not Transfer.objects.exists()

    @pytest.mark.parametrize(
        ("since", "until", "field", "said"),
        [
            ("2026-03-02T00:00", "2026-03-01T00:00", "until", "The period ends before it begins."),
            ("2026-03-29T02:10", "", "since", "02:10 does not exist on that day"),
            ("", "2026-03-29T02:10", "until", "02:10 does not exist on that day"),
        ],
    )
    def test_a_wrong_period_is_said_beside_it(
        self,
        visitor: Client,
        backup: Project,
        live: Project,
        since: str,
        until: str,
        field: str,
        said: str,
    ) -> None:
        form = posted(backup, live, since=since, until=until, zone="Europe/Berlin")
        answer = visitor.post(page_of(backup), form)
        assert answer.status_code == 400
        (error,) = re.findall(rf'id="id_{field}_error">(.*?)</div>', answer.text, re.DOTALL)
        assert said in error

    def test_a_database_that_is_away_is_said(
        self, visitor: Client, backup: Project, live: Project
    ) -> None:
        Project.objects.filter(pk=backup.pk).update(database="nowhere")
        form = posted(backup, live, show="1", devices=[DEVICE])
        part = self.ask(visitor, form, backup, HX_Request="true")
        assert "is not responding" in part
        assert "Try again" in part
        assert f'<input type="hidden" name="devices" value="{DEVICE}">' in part


def test_a_form_that_was_changed_after_the_way_back_asks_for_another_move(
    visitor: Client, backup: Project, live: Project
) -> None:
    form = posted(backup, live, devices=[DEVICE])
    first, second = (visitor.post(page_of(backup), form).url for _ in range(2))
    assert first == second, "a double click is one transfer"
    changed = visitor.post(page_of(backup), {**form, "rule": "replace"}).url
    assert changed != first
    assert Transfer.objects.get(pk=changed.split("/")[-2]).choice["rule"] == "replace"
    assert Transfer.objects.count() == 2


def test_a_device_with_very_many_records_keeps_nobody_waiting() -> None:
    said = [DeviceRow("", "", count).records_text for count in (0, 1, 12_270, MAX_COUNTED + 1)]
    assert said == ["0 records", "1 record", "12,270 records", "over 100,000 records"]


def test_a_project_that_is_shut_down_is_offered_with_the_reason(
    visitor: Client, owner: Account
) -> None:
    mine, ended = (
        factories.make_project_row(owner=owner, name=name, state=state, shut_down_at=since)
        for name, state, since in (("Mine", "active", None), ("Ended", "shut_down", NOW))
    )
    page = visitor.get(page_of(mine)).text
    assert f'<option value="{ended.pk}" disabled>Ended (shut down)</option>' in page
    assert "You own no other running project" in page
    assert "This project is shut down" in visitor.get(page_of(ended)).text
