"""Runs that bring tags and parameters back: killed, stopped, reported and undone."""

import re
import uuid
from functools import partial
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from psycopg.types.json import Jsonb

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.lib.failure_causes import Cause
from backups_portal.projects.models import Membership, Project
from backups_portal.transfers.models import Transfer
from backups_portal.transfers.move import settings_copy, settings_undo
from backups_portal.transfers.plan.selection import DeviceSettings
from backups_portal.transfers.transfer_requests import request_undo, start_move
from backups_portal.transfers.transfer_run import run_transfer
from tests import factories
from tests.killed import is_killed
from tests.transfers.killed_runs import go_on, kill_at_commit
from tests.transfers.projects import add_truck, count_rows, open_project
from tests.transfers.test_transfer_run import ask, move, run

DEVICES = [letter * 24 for letter in "abcde"]
ONLY = {"device_settings": DeviceSettings.ONLY}
MOVE = "backups_portal.transfers.move"
Values = list[tuple[str, Any, str | None, bool | None]]


@pytest.fixture(autouse=True)
def _two_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (settings_copy, settings_undo):
        monkeypatch.setattr(module, "TOGETHER", 2)


@pytest.fixture
def backup(backup: Project) -> Project:
    """Five devices with settings, the first of which has ten readings."""
    fill(backup, "North")
    return backup


@pytest.fixture
def live(backup: Project, live: Project) -> Project:
    """Four of them had theirs edited; the last one has not."""
    fill(live, "South", but="North")
    return live


def fill(project: Project, site: str, but: str = "") -> None:
    """Devices whose tag and parameter say where they are, but for the last one's."""
    with open_project(project) as connection:
        known = {key for (key,) in connection.execute("SELECT id::text FROM device")}
    for device in DEVICES:
        if device not in known:
            add_truck(project, device, name=f"Truck {device[0]}")
        place = but if but and device == DEVICES[-1] else site
        tags = Jsonb([{"key": "site", "value": place}])
        sent = "UPDATE device_parameter SET sent = true, value = %s WHERE device_id = %s"
        with open_project(project) as connection:
            connection.execute("UPDATE device SET tags = %s WHERE id = %s", [tags, device])
            connection.execute(sent, [place, device])


def settings_of(project: Project) -> Values:
    with open_project(project) as connection:
        return connection.execute(
            """SELECT left(device.id, 1), tags -> 0 ->> 'value', value, sent
               FROM device LEFT JOIN device_parameter ON device_id = device.id ORDER BY device.id"""
        ).fetchall()


def edited(*keys: str) -> Values:
    """What the target had: of the first four devices, unless they are back."""
    return [
        (key, "North", "North", key == "e") if key in keys else (key, "South", "South", True)
        for key in "abcd"
    ] + [("e", "North", "North", True)]


def started(backup: Project, live: Project, owner: Account, **choice: Any) -> Transfer:
    transfer = run(ask(backup, live, owner, **{**ONLY, **choice}))
    assert transfer.state == "ready", transfer.reason
    start_move(transfer=transfer, actor=owner)
    return transfer


def page_of(transfer: Transfer) -> str:
    """What its owner reads."""
    client = Client()
    client.force_login(transfer.requested_by)
    page = client.get(f"/projects/{transfer.target.slug}/transfers/{transfer.pk}/")
    return " ".join(re.sub("<[^>]*>", " ", page.text).split())


def told(transfer: Transfer, action: str) -> list[str]:
    found = AuditEvent.objects.filter(action=action, details__transfer=str(transfer.pk))
    return [event.details.get("tags_and_parameters") for event in found]


def test_settings_only(backup: Project, live: Project, owner: Account) -> None:
    transfer = move(backup, live, owner, **ONLY)
    assert (transfer.state, count_rows(live)) == ("completed", 0)
    assert settings_of(live) == edited(*"abcd")
    sums = ("chosen", "device_settings", "device_settings_different", "is_equal")
    assert [transfer.summary[name] for name in sums] == [0, 4, 0, True]
    assert told(transfer, "transfer.completed") == ["4 devices"] * 2
    lines = transfer.report["device_settings"]["lines"]
    assert [line["name"] for line in lines] == ["Truck", *(f"Truck {key}" for key in "bcd")]
    change = {"what": "parameter", "key": "depot", "before": ["South"], "after": ["North"]}
    assert lines[0]["changes"][1] == {**change, "before_total": 1, "after_total": 1}
    assert transfer.can_undo
    # A message that comes twice finds nothing to do.
    run_transfer(transfer.pk)
    request_undo(transfer=transfer, actor=owner)
    transfer = run(transfer)
    assert (transfer.state, settings_of(live)) == ("undone", edited())
    assert transfer.report["undone"]["device_settings"] == 4
    assert told(transfer, "transfer.undone") == ["4 devices"] * 2

    # What changed nothing is not offered to be undone.
    fill_again = move(live, backup, owner, **ONLY)
    assert fill_again.can_undo
    assert not move(live, backup, owner, **ONLY).can_undo


def test_a_killed_move_goes_on(backup: Project, live: Project, owner: Account) -> None:
    places = {
        f"behind {MOVE}.settings_copy._write": edited(),
        f"before {MOVE}.settings_copy.check_open 2": edited("a", "b"),
        f"behind {MOVE}.settings_copy._write 2": edited("a", "b"),
        "before backups_portal.transfers.transfer_run.compare_settings": edited(*"abcd"),
        "behind backups_portal.transfers.transfer_run.record_transfer": edited(*"abcd"),
    }
    for place, left in places.items():
        transfer = started(backup, live, owner)
        assert is_killed(partial(run_transfer, transfer.pk), place), place
        assert settings_of(live) == left, place
        transfer = go_on(transfer)
        assert (transfer.state, settings_of(live)) == ("completed", edited(*"abcd")), place
        assert transfer.summary["device_settings"] == 4
        request_undo(transfer=transfer, actor=owner)
        transfer = run(transfer)
        assert (transfer.state, settings_of(live)) == ("undone", edited()), place


def test_what_was_edited_before_the_move_went_on_stays(
    backup: Project, live: Project, owner: Account
) -> None:
    transfer = started(backup, live, owner)
    assert is_killed(partial(run_transfer, transfer.pk), f"behind {MOVE}.settings_copy._write 2")
    with open_project(live) as connection:
        connection.execute(
            """UPDATE device SET tags = '[{"key": "site", "value": "East"}]' WHERE id = %s""",
            [DEVICES[0]],
        )
    transfer = go_on(transfer)
    assert settings_of(live)[0] == ("a", "East", "North", False)
    sums = ("device_settings", "device_settings_different", "is_equal")
    assert [transfer.summary[name] for name in sums] == [4, 1, False]


def test_a_killed_undo_goes_on(backup: Project, live: Project, owner: Account) -> None:
    for place in (
        f"behind {MOVE}.settings_undo._put_back",
        f"behind {MOVE}.settings_undo._put_back 2",
        f"before {MOVE}.transfer_undo._undo_resources",
    ):
        transfer = move(backup, live, owner, **ONLY)
        request_undo(transfer=transfer, actor=owner)
        assert is_killed(partial(run_transfer, transfer.pk), place), place
        transfer = go_on(transfer)
        assert (transfer.state, settings_of(live)) == ("undone", edited()), place
        assert transfer.report["undone"]["device_settings"] == 4, place


@pytest.mark.parametrize("is_committed", [False, True])
def test_an_undo_at_the_commits_of_the_two_databases(
    backup: Project, live: Project, owner: Account, is_committed: bool
) -> None:
    transfer = move(backup, live, owner, **ONLY)
    with open_project(live) as connection:
        connection.execute("DELETE FROM device WHERE id = %s", [DEVICES[1]])
    request_undo(transfer=transfer, actor=owner)
    kill_at_commit(transfer, 2, is_committed=is_committed)
    transfer = go_on(transfer)
    undone = transfer.report["undone"]
    assert (transfer.state, undone["device_settings"], len(undone["kept"])) == ("undone", 3, 1)


def test_nothing_is_brought_back_after_the_right_was_lost(
    backup: Project, live: Project, owner: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    transfer, write = started(backup, live, owner), settings_copy._write

    def losing(*values: Any) -> None:
        write(*values)
        Membership.objects.filter(account=owner, project=live).update(role="collaborator")

    monkeypatch.setattr(settings_copy, "_write", losing)
    transfer = run(transfer)
    assert (transfer.state, transfer.cause) == ("failed", Cause.RIGHT_LOST)
    assert settings_of(live) == edited()


def test_a_target_that_is_shut_down_gets_no_more(
    backup: Project, live: Project, owner: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    transfer, write = started(backup, live, owner), settings_copy._write

    def shutting(*values: Any) -> None:
        write(*values)
        Project.objects.filter(pk=live.pk).update(state=Project.State.SHUT_DOWN)

    monkeypatch.setattr(settings_copy, "_write", shutting)
    transfer = run(transfer)
    assert (transfer.state, transfer.cause) == ("failed", Cause.SHUT_DOWN)
    assert settings_of(live) == edited("a", "b")


def test_it_is_paused_between_transactions(
    backup: Project, live: Project, owner: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    transfer, write = started(backup, live, owner), settings_copy._write

    def pausing(*values: Any) -> None:
        write(*values)
        Transfer.objects.update(wish="pause")

    with monkeypatch.context() as patched:
        patched.setattr(settings_copy, "_write", pausing)
        transfer = run(transfer)
    assert (transfer.state, settings_of(live)) == ("paused", edited("a", "b"))
    assert "What was brought back stays in Cold Chain until you undo it." in page_of(transfer)
    start_move(transfer=transfer, actor=owner)
    assert (run(transfer).state, settings_of(live)) == ("completed", edited(*"abcd"))


def test_the_command(backup: Project, live: Project, owner: Account) -> None:
    def transfer(*arguments: str) -> str:
        out = StringIO()
        call_command("transfer", backup.slug, live.slug, *arguments, stdout=out)
        return out.getvalue()

    shown = transfer("--device-settings", "only", "--device", DEVICES[0])
    assert "1 device's tags and parameters will be brought back." in shown
    assert (
        f"Truck ({DEVICES[0]}): tag site: “South” → “North”; parameter depot: “South” → “North”"
    ) in shown
    moved = transfer("--device-settings", "only", "--yes").splitlines()
    assert moved[-2] == "Tags and parameters of 4 devices brought back. Both sides agree."
    done = Transfer.objects.get(state="completed")
    assert "Tags and parameters of 4 devices put back." in transfer("--undo", str(done.pk))
    assert settings_of(live) == edited()


def test_the_api(client: Client, backup: Project, live: Project, owner: Account) -> None:
    token = factories.make_token(owner, "transfers:write")
    headers = {"Authorization": f"Bearer {token}"}

    def post(path: str, **body: Any) -> Any:
        address = f"/api/v1/{path}"
        return client.post(address, body, content_type="application/json", headers=headers)

    wanted = {"target": live.slug, "device_settings": "only"}
    asked = post(f"projects/{backup.slug}/transfers", **wanted)
    assert asked.status_code == 202
    key = asked.json()["id"]
    run_transfer(key)
    address = f"/api/v1/transfers/{key}"
    dry_run = client.get(address, headers=headers).json()["dry_run"]["device_settings"]
    assert (dry_run["devices"], len(dry_run["lines"])) == (4, 4)
    post(f"transfers/{key}/start")
    run_transfer(key)
    report = client.get(address, headers=headers).json()["report"]
    assert (report["summary"]["device_settings"], settings_of(live)) == (4, edited(*"abcd"))
    refused = post(f"projects/{backup.slug}/transfers", **{**wanted, "device_settings": "some"})
    assert refused.status_code == 422


@pytest.fixture
def owners_form(client: Client, backup: Project, live: Project, owner: Account) -> dict[str, Any]:
    """What the form sends, of an owner who is signed in."""
    client.force_login(owner)
    form = {"source": str(backup.pk), "target": str(live.pk), "rule": "skip", "unmatched": "create"}
    return {**form, "request_key": str(uuid.uuid4())}


@pytest.mark.parametrize(
    ("chosen", "kept"),
    [
        ({}, "keep"),
        ({"device_settings": "bring_back"}, "bring_back"),
        ({"device_settings": "only"}, "only"),
    ],
)
def test_the_form(
    client: Client, backup: Project, owners_form: dict[str, Any], chosen: dict[str, str], kept: str
) -> None:
    answer = client.post(f"/projects/{backup.slug}/transfers/", {**owners_form, **chosen})
    assert answer.status_code == 302
    assert Transfer.objects.get().chosen().device_settings == kept


def test_a_form_with_another_wish_is_refused(
    client: Client, backup: Project, owners_form: dict[str, Any]
) -> None:
    wrong = {**owners_form, "device_settings": "some"}
    assert client.post(f"/projects/{backup.slug}/transfers/", wrong).status_code == 400
    assert not Transfer.objects.exists()


def test_a_collaborator_of_the_target_is_refused(
    client: Client, backup: Project, live: Project, owner: Account, owners_form: dict[str, Any]
) -> None:
    Membership.objects.filter(account=owner, project=live).update(role="collaborator")
    body = {**owners_form, "device_settings": "only"}
    assert client.post(f"/projects/{backup.slug}/transfers/", body).status_code in (400, 403)
    assert client.post(f"/projects/{live.slug}/transfers/", body).status_code == 403
    assert not Transfer.objects.exists()


def test_the_page_says_what_stayed(backup: Project, live: Project, owner: Account) -> None:
    transfer = move(backup, live, owner, **ONLY)
    with open_project(live) as connection:
        connection.execute("UPDATE device SET tags = '[]' WHERE id = %s", [DEVICES[0]])
        connection.execute("DELETE FROM device WHERE id = %s", [DEVICES[1]])
    request_undo(transfer=transfer, actor=owner)
    run(transfer)
    text = page_of(transfer)
    assert "Tags and parameters of 2 devices put back." in text
    assert "The devices below" not in text
    assert "0 records removed" not in text
    assert f"Tags and parameters of Truck a {DEVICES[0]} stay: they were edited since" in text
    assert f"Tags and parameters of device {DEVICES[1]} stay: it was deleted since" in text


def test_the_button_says_what_comes_back(backup: Project, live: Project, owner: Account) -> None:
    back, move_it = "Bring tags and parameters back", "Move the data"
    for choice, says, does_not in (
        (ONLY, back, move_it),
        ({**ONLY, "kinds": ("dashboard",)}, move_it, back),
        ({"device_settings": DeviceSettings.BRING_BACK}, move_it, back),
    ):
        page = page_of(run(ask(backup, live, owner, **choice)))
        assert (says in page, does_not in page) == (True, False), choice


def test_the_page_says_that_nothing_has_to_come_back(
    backup: Project, owner: Account, live: Project
) -> None:
    fill(live, "North")
    with open_project(live) as connection:
        connection.execute("UPDATE device_parameter SET sent = false")
    transfer = run(ask(backup, live, owner, **ONLY))
    assert "Nothing will change." in page_of(transfer)
    assert "Move the data" not in page_of(transfer)
    start_move(transfer=transfer, actor=owner)
    assert "Tags and parameters are the same in both projects." in page_of(run(transfer))


def test_the_page_says_which_devices_were_created(
    backup: Project, owner: Account, live: Project
) -> None:
    with open_project(live) as connection:
        connection.execute("DELETE FROM device")
    transfer = move(backup, live, owner, **ONLY)
    assert "5 devices were created Each has the source's tags and parameters" in page_of(transfer)
    assert (count_rows(live), transfer.can_undo) == (0, True)
