"""The report as CSV has everything that the report as JSON has."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client

from backups_portal.accounts.models import Account
from backups_portal.projects.models import Project
from backups_portal.transfers.models import Transfer
from backups_portal.transfers.plan.selection import DeviceSettings, Unmatched
from backups_portal.transfers.transfer_requests import request_undo, start_move
from tests.transfers.projects import add_truck, open_project
from tests.transfers.test_transfer_run import ask, run

Lines = list[dict[str, str]]


@pytest.fixture
def planned(backup: Project, live: Project, owner: Account) -> Transfer:
    """A dry run of a device with other settings, a lacking one, and a dashboard."""
    add_truck(live, parameters=[{"key": "depot", "value": "South"}])
    add_truck(backup, "b" * 24, name="=Other")
    with open_project(backup) as connection:
        connection.execute("INSERT INTO dashboard (id, label) VALUES (%s, 'Fleet')", ["d" * 24])
    choice = {"kinds": ("dashboard",), "device_settings": DeviceSettings.BRING_BACK}
    return run(ask(backup, live, owner, unmatched=Unmatched.SKIP, **choice))


def files(client: Client, transfer: Transfer) -> tuple[dict[str, Any], Lines]:
    """Download both files as the owner, by the links of the page."""
    client.force_login(transfer.requested_by)
    address = f"/projects/{transfer.target.slug}/transfers/{transfer.pk}/"
    page = client.get(address).text
    assert f'href="{address}report.json"' in page
    assert f'href="{address}report.csv"' in page
    told = client.get(f"{address}report.json").json()
    content = b"".join(client.get(f"{address}report.csv").streaming_content)
    return told, list(csv.DictReader(io.StringIO(content.decode())))


def values_of(part: object) -> Iterator[str]:
    """Yield every single value of a JSON document as people write it."""
    if isinstance(part, dict):
        for one in part.values():
            yield from values_of(one)
    elif isinstance(part, list):
        for one in part:
            yield from values_of(one)
    elif isinstance(part, bool):
        yield "yes" if part else "no"
    elif part is not None:
        yield str(part)


def check(told: dict[str, Any], lines: Lines) -> None:
    """Check that no value of the report is missing."""
    told = {**told, "dry_run": None} if told["report"] else told
    cells = " ".join(cell for line in lines for cell in line.values())
    # A skipped device's line says why instead of “skipped”.
    assert [one for one in values_of(told) if one not in cells and one != "skipped"] == []


def line_of(lines: Lines, kind: str) -> dict[str, str]:
    (found,) = [{k: v for k, v in line.items() if v} for line in lines if line["kind"] == kind]
    return found


def test_a_dry_run(client: Client, planned: Transfer) -> None:
    told, lines = files(client, planned)
    check(told, lines)
    assert line_of(lines, "parameter") == {
        "kind": "parameter",
        "id": "a" * 24,
        "name": "Truck",
        "target": "a" * 24,
        "key": "depot",
        "before": "“South”",
        "after": "“North”",
    }
    assert line_of(lines, "dashboard")["result"] == "created"
    devices = [line for line in lines if line["kind"] == "device"]
    assert [(line["name"], line["add"]) for line in devices] == [("Truck", "10"), ("'=Other", "0")]
    assert devices[1]["result"] == "the target does not have it"


def test_a_move_and_its_undo(
    client: Client, planned: Transfer, live: Project, owner: Account
) -> None:
    start_move(transfer=planned, actor=owner)
    moved = run(planned)
    told, lines = files(client, moved)
    check(told, lines)
    assert {"kind": "transfer", "name": "report.summary.stored", "result": "10"} in [
        {k: v for k, v in line.items() if v} for line in lines
    ]
    with open_project(live) as connection:
        connection.execute("UPDATE device_parameter SET value = 'East'")
    request_undo(transfer=moved, actor=owner)
    told, lines = files(client, run(moved))
    check(told, lines)
    kept = line_of(lines, "tags and parameters")
    assert (kept["name"], kept["result"]) == ("Truck", "not undone: they were edited since")


def test_changes_that_are_only_counted_are_counted(client: Client, planned: Transfer) -> None:
    settings = planned.plan["settings"]
    settings["devices"] = 1_200
    settings["lines"][0]["more"] = 37
    planned.save()
    _, lines = files(client, planned)
    results = [line["result"] for line in lines if line["kind"] == "tags and parameters"]
    assert results == ["37 more changed", "1,199 other devices changed"]
    settings["lines"] = []
    planned.save()
    _, lines = files(client, planned)
    assert line_of(lines, "tags and parameters")["result"] == "1,200 devices changed"


def test_the_command(backup: Project, live: Project) -> None:
    out = io.StringIO()
    call_command("transfer", backup.slug, live.slug, "--csv", stdout=out)
    lines = list(csv.DictReader(io.StringIO(out.getvalue())))
    out = io.StringIO()
    key = str(Transfer.objects.get().pk)
    call_command("transfer", backup.slug, live.slug, "--continue", key, "--json", stdout=out)
    assert json.loads(out.getvalue())["dry_run"]["summary"]["chosen"] == 10
    facts = {line["name"]: line["result"] for line in lines if line["kind"] == "transfer"}
    assert (facts["dry_run.summary.chosen"], facts["state"]) == ("10", "ready")
