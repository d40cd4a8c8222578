"""The page of a transfer: its progress, speed and remaining time."""

import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from html import unescape
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from backups_portal.projects.models import Project
from backups_portal.transfers.models import Transfer
from backups_portal.transfers.move.device_map import Match
from backups_portal.transfers.move.resource_copy import CONFLICT, CREATED, REPLACED, Placement
from backups_portal.transfers.pages.move_suggestion import choice_query
from backups_portal.transfers.plan.dry_run import Plan
from backups_portal.transfers.plan.selection import Choice, DeviceSettings, Rule
from tests import factories
from tests.transfers.test_states import MOVED, REPORT

CHANGING = Plan((Match("a" * 24, "Truck", "a" * 24, CREATED, ""),), ()).as_json()
BEGUN = {"plan": CHANGING, "work": "move", "started_at": timezone.now()}
SETTINGS = Choice(device_settings=DeviceSettings.ONLY).as_json()

pytestmark = pytest.mark.django_db


def make(client: Client, **fields: Any) -> Transfer:
    """Make a transfer between two projects of the signed-in account."""
    owner = factories.make_account()
    client.force_login(owner)
    source, target = (factories.make_project_row(owner=owner) for _ in range(2))
    return factories.make_transfer(source, target, requested_by=owner, **fields)


def read(client: Client, transfer: Transfer) -> str:
    assert transfer.source
    part = f"/projects/{transfer.source.slug}/transfers/{transfer.pk}/status/"
    html = re.sub(r"<[^>]*>", " ", client.get(part).content.decode())
    return " ".join(html.replace("\N{NO-BREAK SPACE}", " ").split())


def test_rate_and_time_left_count_from_where_this_attempt_began(client: Client) -> None:
    transfer = make(
        client,
        state="running",
        work="move",
        started_at=timezone.now() - timedelta(days=1),
        moving_since=timezone.now() - timedelta(seconds=3000),
        rows_before=300_000,
        rows_done=450_000,
        rows_total=900_000,
    )
    text = read(client, transfer)
    assert "450,000 of 900,000 records, 50 records/s, about 2 h 30 min left." in text


@pytest.mark.parametrize("fields", [{"work": "plan"}, {"work": "move", "state": "queued"}])
def test_no_rate_before_a_row_was_moved(client: Client, fields: dict[str, str]) -> None:
    transfer = make(client, rows_total=9000, **{"state": "running", **fields})
    text = read(client, transfer)
    assert "0 of 9,000 records." in text
    assert "records/s" not in text


def test_a_form_with_nothing_in_it_says_what_to_choose(client: Client) -> None:
    source = make(client).source
    assert source
    answer = client.post(f"/projects/{source.slug}/transfers/", {})
    assert answer.status_code == 400
    page = answer.content.decode()
    assert "Choose the project that the data goes into." in page
    assert "This form was damaged on the way. Reload the page." in page
    assert "This field is required" not in page


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"work": "plan", "state": "queued", "rows_total": None}, "—"),
        ({"work": "plan", "state": "ready"}, "9,000 chosen"),
        ({"work": "move", "state": "running", "rows_done": 70}, "9,000 chosen"),
        # Most of them were there already.
        ({"work": "move", "state": "completed", "report": {"summary": {"stored": 70}}},
            "70 of 9,000 chosen"),
        ({"work": "undo", "state": "undone", "report": {"summary": {"stored": 70}}},
            "9,000"),
        # An older version wrote no sums.
        ({"work": "move", "state": "completed"}, "— of 9,000 chosen"),
        ({"work": "move", "state": "completed", "rows_total": 70,
            "report": {"summary": {"stored": 70, "device_settings": 1}}},
            "70 of 70 chosen Tags and parameters of 1 device"),
        ({"work": "move", "state": "completed", "rows_total": 0, "choice": SETTINGS,
            "report": {"summary": {"stored": 0, "device_settings": 1200}}},
            "Tags and parameters of 1,200 devices"),
        ({"work": "plan", "state": "ready", "rows_total": 0, "choice": SETTINGS},
            "Tags and parameters only"),
    ],
)  # fmt: skip
def test_the_list_says_what_a_move_has_stored(
    client: Client, fields: dict[str, Any], says: str
) -> None:
    transfer = make(client, **{"rows_total": 9000, **fields})
    assert transfer.source
    page = client.get(f"/projects/{transfer.source.slug}/transfers/").content.decode()
    (cell,) = re.findall(r'<td[^>]*data-label="Records">(.*?)</td>', page, flags=re.DOTALL)
    assert " ".join(re.sub(r"<[^>]*>", " ", cell).split()) == says


@pytest.mark.parametrize(
    ("wish", "said", "offered"),
    [
        ("go_on", "the work goes on.", {"Pause", "Cancel"}),
        ("pause", "Pausing: it stops after", {"Cancel"}),
        ("cancel", "Cancelling: it stops after", set()),
    ],
)
def test_a_stop_that_a_worker_has_not_seen_yet_is_confirmed(
    client: Client, wish: str, said: str, offered: set[str]
) -> None:
    transfer = make(client, state="running", wish=wish, **BEGUN)
    text = read(client, transfer)
    assert said in text
    assert {one for one in ("Pause", "Cancel") if f" {one} " in f"{text} "} == offered


@pytest.mark.parametrize(
    ("fields", "offered"),
    [
        ({"state": "ready", "plan": CHANGING}, ("Move the data", "Dry run again")),
        ({**BEGUN, "state": "failed", "reason": "No space."}, ("Continue",)),
        ({**BEGUN, "state": "completed", "has_ledger": True}, ("Undo this transfer",)),
    ],
)
def test_no_work_is_offered_while_a_project_is_shut_down(
    client: Client, fields: dict[str, Any], offered: tuple[str, ...]
) -> None:
    transfer = make(client, **fields)
    assert [one for one in offered if one not in read(client, transfer)] == []
    target = transfer.target
    assert target
    Project.objects.filter(pk=target.pk).update(state="shut_down", shut_down_at=timezone.now())
    text = read(client, transfer)
    assert f"{target.name} is shut down. Start it again on its Overview page to " in text
    assert [one for one in offered if one in text] == []
    Project.objects.filter(pk=target.pk).update(state="removed")
    text = read(client, transfer)
    assert f"{target.name} was deleted." in text
    assert [one for one in offered if one in text] == []


@pytest.mark.parametrize("state", ["cancelled", "undone"])
def test_another_move_begins_with_what_was_chosen(client: Client, state: str) -> None:
    since = datetime(2026, 3, 1, tzinfo=UTC)
    choice = Choice(devices=("a" * 24,), variables=("wind",), since=since)
    transfer = make(client, state=state, choice=choice.as_json())
    assert transfer.source
    page = client.get(f"/projects/{transfer.source.slug}/transfers/{transfer.pk}/").text
    (link,) = re.findall(r'href="([^"]*)">Move data again', page)
    suggested = "device=" + "a" * 24 + "&variable=wind&start=2026-03-01T00%3A00%3A00%2B00%3A00"
    assert unescape(link).endswith(f"&{suggested}")
    form = client.get(unescape(link)).text
    assert 'value="wind"' in form
    assert 'value="2026-03-01T00:00"' in form


@pytest.mark.parametrize(("rule", "is_said"), [(Rule.SKIP, True), (Rule.REPLACE, False)])
def test_how_to_replace_a_resource_is_said_unless_that_was_chosen(
    client: Client, rule: Rule, is_said: bool
) -> None:
    """A resource whose unique key another one has stays, whatever was chosen."""
    differs = Placement("dictionary", "d" * 24, "d" * 24, "PORTAL", CONFLICT)
    plan = Plan((), (), placements=(differs,)).as_json()
    choice = Choice(devices=(), kinds=("dictionary",), rule=rule).as_json()
    text = read(client, make(client, state="ready", plan=plan, choice=choice))
    assert "1 other resource there with different content, which stays." in text
    assert ("with “Replace it” under Options" in text) == is_said


def test_resources_alone_are_told_in_the_right_tense(client: Client) -> None:
    placed = Placement("dictionary", "d" * 24, "d" * 24, "PORTAL", REPLACED)
    plan = Plan((), (), placements=(placed,)).as_json()
    choice = Choice(devices=(), kinds=("dictionary",), rule=Rule.REPLACE).as_json()
    transfer = make(client, state="ready", plan=plan, choice=choice)
    text = read(client, transfer)
    assert "1 other resource will be replaced." in text
    assert "PORTAL dictionary To be replaced" in text
    assert transfer.source
    page = client.get(f"/projects/{transfer.source.slug}/transfers/{transfer.pk}/").text
    assert "No devices, with other resources. Started" in " ".join(page.split())
    sums = {"stored": 0, "chosen": 0, "created": 0, "is_equal": True}
    report = {"summary": sums, "devices": [], "resources": [asdict(placed)]}
    Transfer.objects.update(state="completed", work="move", report=report)
    text = read(client, transfer)
    assert "1 other resource was replaced." in text
    assert "PORTAL dictionary Replaced" in text
    assert "No device is part of this transfer." not in text
    undone = {"removed": 0, "restored": 0, "left": 0, "resources": 1, "kept": []}
    Transfer.objects.update(state="undone", work="undo", report={**report, "undone": undone})
    text = read(client, transfer)
    assert "put back. Later changes stay. 1 resource taken back." in text
    assert "0 records" not in text


def test_devices_of_an_unfinished_move_are_those_of_the_dry_run(client: Client) -> None:
    said = "Devices As the dry run found them."
    transfer = make(client, state="ready", plan=CHANGING)
    assert said not in read(client, transfer)
    Transfer.objects.update(state="cancelled", **BEGUN)
    assert said in read(client, transfer)
    Transfer.objects.update(state="completed", report=REPORT)
    assert said not in read(client, transfer)


def test_what_an_address_cannot_hold_is_not_suggested() -> None:
    assert choice_query(Choice()) == ""
    assert choice_query(Choice(devices=(), kinds=("dictionary",))) == ""
    assert choice_query(Choice(devices=tuple(f"{number:024x}" for number in range(51)))) == ""


def test_a_move_can_be_undone_after_its_source_is_shut_down(client: Client) -> None:
    transfer = make(client, **{**BEGUN, "state": "completed", "has_ledger": True})
    Project.objects.filter(pk=transfer.source_id).update(state="shut_down")
    text = read(client, transfer)
    assert "Undo this transfer" in text
    assert "to go on" not in text


@pytest.mark.parametrize(
    ("work", "state", "is_equal", "says"),
    [
        ("move", "completed", True, "equal created"),
        ("move", "completed", False, "different created"),
        ("undo", "undone", True, "—"),
    ],
)
def test_a_created_device_is_compared_like_any_other(
    client: Client, work: str, state: str, is_equal: bool, says: str
) -> None:
    device = {**REPORT["devices"][0], "how": "created", "is_equal": is_equal}
    fields = {**MOVED, "report": {**REPORT, "devices": [device]}}
    transfer = make(client, work=work, state=state, **fields)
    assert transfer.source
    page = client.get(f"/projects/{transfer.source.slug}/transfers/{transfer.pk}/").text
    (cell,) = re.findall(r'<td data-label="Compared">(.*?)</td>', page, re.DOTALL)
    assert " ".join(re.sub(r"<[^>]*>", " ", cell).split()) == says
