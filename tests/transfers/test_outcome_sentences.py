"""A sentence says what a transfer changes, and changes are listed before unchanged things."""

from typing import Any

import pytest
from django.test import Client

from backups_portal.lib.json_types import JsonObject
from backups_portal.transfers.move.batches import Outcome
from backups_portal.transfers.move.device_map import Match
from backups_portal.transfers.move.device_settings import SettingsChanges
from backups_portal.transfers.move.lane_digests import Cell
from backups_portal.transfers.pages.outcome_sentences import (
    FUTURE,
    NO_MATCH,
    PAST,
    change_text,
    chosen_records,
    outcome_notes,
    outcome_sentence,
)
from backups_portal.transfers.plan.dry_run import Plan
from backups_portal.transfers.plan.selection import Choice, DeviceSettings
from backups_portal.transfers.transfer_report import describe_plan
from tests import factories


def line(name: str = "Truck", how: str = "id", **fates: int) -> JsonObject:
    return {"name": name, "how": how, "chosen": sum(fates.values()), "fates": fates}


@pytest.mark.parametrize(
    ("lines", "resources", "says"),
    [
        ([], [], NO_MATCH),
        ([line()], [], NO_MATCH),
        ([line(present=9)], [], "Nothing will change."),
        ([line()], ["present"], "Nothing will change."),
        (
            [line(add=12_270), line(present=5)],
            [],
            "12,270 records of 1 device will be added; nothing is overwritten.",
        ),
        (
            [line(add=1), line(add=2, replace=1)],
            [],
            "3 records of 2 devices will be added and 1 record will be replaced.",
        ),
        (
            [line(how="created")],
            ["created", "created", "replaced"],
            (
                "1 device will be created, 2 other resources will be created"
                " and 1 other resource will be replaced."
            ),
        ),
    ],
)
def test_the_sentence_says_what_will_change(
    lines: list[JsonObject], resources: list[str], says: str
) -> None:
    assert outcome_sentence(lines, [{"fate": fate} for fate in resources], FUTURE) == says


@pytest.mark.parametrize(
    ("lines", "settings", "says"),
    [
        ([], None, NO_MATCH),
        ([line()], 0, "Nothing will change."),
        ([line()], 1, "1 device's tags and parameters will be brought back."),
        (
            [line(add=2)],
            1_200,
            (
                "2 records of 1 device will be added"
                " and 1,200 devices' tags and parameters will be brought back."
            ),
        ),
    ],
)
def test_the_sentence_tells_of_tags_and_parameters(
    lines: list[JsonObject], settings: int | None, says: str
) -> None:
    assert outcome_sentence(lines, [], FUTURE, settings=settings) == says


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        (["South"], ["North"], "tag site: “South” → “North”"),
        ([], [""], "tag site: none → “”"),
        (["A", "B"], ["A"], "tag site: “A”, “B” → “A”"),
        (["not shown"], ["not shown"], "tag site: changed (not shown)"),
        ([], ["not shown"], "tag site: none → not shown"),
        (["\u202eabc"], ["\n"], "tag site: “abc” → “(nothing to see: U+000A)”"),
    ],
)
def test_a_change_is_told_with_its_values(before: list[str], after: list[str], says: str) -> None:
    change = {"what": "tag", "key": "site", "before": before, "after": after}
    assert change_text(change) == says


def test_afterwards_it_says_what_did_change() -> None:
    said = outcome_sentence([line(add=1)], [], PAST)
    assert said == "1 record of 1 device was added; nothing was overwritten."
    assert outcome_sentence([line(present=1)], [], PAST) == "Nothing was changed."


def test_notes_name_what_does_not_arrive() -> None:
    skipped = line(how="skipped")
    resources = [{"fate": "conflict"}, {"fate": "present"}]
    assert outcome_notes(
        [line(present=2, conflict=1, refused=3, full=1), skipped], resources, 2
    ) == [
        "2 records already there.",
        "1 record there with a different value, which stays.",
        "3 records left out: older than the device keeps.",
        "1 record left out: the device is full.",
        "1 device left out; the list below says why.",
        "1 other resource there with different content, which stays.",
        "2 new tokens: update whatever uses the old ones.",
    ]
    assert outcome_notes([line(add=3)], [{"fate": "present"}], 0) == []


def plan_of(devices: int) -> dict[str, Any]:
    """Return a plan whose last device gets records, and whose first has others in the target."""
    matches = [Match(f"{n:024x}", f"Truck {n:03}", f"{n:024x}", "id") for n in range(devices)]
    outcome = Outcome({n: Cell(5, 1) for n in range(devices)})
    for n in range(devices - 1):
        outcome.put("present", n, Cell(5, 1))
    outcome.put("add", devices - 1, Cell(5, 1))
    return Plan(tuple(matches), (), (), outcome, 0).as_json()


@pytest.mark.django_db
def test_what_changes_is_listed_and_the_rest_is_folded(client: Client) -> None:
    owner = factories.make_account()
    client.force_login(owner)
    source, target = (factories.make_project_row(owner=owner) for _ in range(2))
    transfer = factories.make_transfer(
        *(source, target), requested_by=owner, state="ready", plan=plan_of(130)
    )
    address = f"/projects/{source.slug}/transfers/{transfer.pk}/"
    page = client.get(address).text
    assert "5 records of 1 device will be added; nothing is overwritten." in page
    assert "645 records already there." in page
    assert "129 unchanged." in page
    assert page.count("Truck ") == 1
    # On request, unchanged ones follow, page by page.
    first, last = (client.get(address, {"all": "1", "page": number}).text for number in (1, 3))
    assert first.index("Truck 129") < first.index("Truck 000")
    assert ("Truck 048" in first, "Truck 049" in first) == (True, False)
    assert ("Truck 128" in last, "Truck 129" in last) == (True, False)


def test_the_text_of_a_plan_says_how_many_changes_it_leaves_out() -> None:
    change = {"what": "tag", "key": "site", "before": [], "after": ["North"]}
    line = {"source": "a", "name": "Truck", "changes": [change], "more": 1_200}
    said = describe_plan(Plan((), (), settings=SettingsChanges(1_001, (line,))))
    assert said[-2:] == [
        "Truck (a): tag site: none → “North”; 1,200 more",
        "1,000 other devices: tags and parameters change",
    ]
    said = describe_plan(Plan((), (), settings=SettingsChanges(1, ({**line, "more": 0},))))
    assert said[-1] == "Truck (a): tag site: none → “North”"


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (Choice(), "All devices"),
        (Choice(devices=("a",), variables=("wind",)), "Truck 07, only wind"),
        (Choice(variables=("rain", "wind")), "All devices, only rain and wind"),
        (Choice(variables=tuple("abcd")), "All devices, only 4 variables"),
        (Choice(variables=("wind",), device_settings=DeviceSettings.ONLY), "All devices"),
    ],
)
def test_the_chosen_variables_are_named_beside_the_devices(choice: Choice, said: str) -> None:
    assert chosen_records(choice, [{"source": "a", "name": "Truck 07"}]) == said
