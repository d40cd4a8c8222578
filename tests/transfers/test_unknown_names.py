"""Unknown devices, variables and servers are refused by name, wherever they are given."""

import json
import uuid
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client

from backups_portal.accounts.models import Account
from backups_portal.lib.failure_causes import Cause
from backups_portal.projects.models import Project
from backups_portal.transfers.models import Transfer
from backups_portal.transfers.transfer_requests import retry_plan, start_move
from tests import factories
from tests.transfers.projects import DEVICE, add_truck, count_rows, open_project
from tests.transfers.test_transfer_run import ask, run

NOBODY = "b" * 24
NO_DEVICE = f"Cold Chain (restored) has no device {NOBODY}."
NO_VARIABLE = "No device of Cold Chain (restored) has a variable tempreature."
NOT_THESE = "None of the chosen devices of Cold Chain (restored) has a variable humidity."


def test_they_are_refused_by_name_at_every_door(
    client: Client, backup: Project, live: Project, owner: Account
) -> None:
    """Requests for existing ones are accepted."""
    add_truck(backup, "c" * 24, name="Cooler", serie_number="c")
    with open_project(backup) as connection:
        connection.execute(
            "INSERT INTO series (device_id, variable, type) VALUES (%s, 'humidity', 'number')",
            ["c" * 24],
        )
    client.force_login(owner)
    token = factories.make_token(owner)
    for devices, variables, says in (
        ([DEVICE, NOBODY], [], NO_DEVICE),
        ([], ["temperature", "tempreature"], NO_VARIABLE),
        ([DEVICE], ["humidity"], NOT_THESE),
        (["c" * 24], ["humidity"], ""),
    ):
        field = "devices" if says == NO_DEVICE else "variables"
        form: dict[str, Any] = {
            "source": backup.pk,
            "target": live.pk,
            "request_key": uuid.uuid4(),
            "rule": "skip",
            "unmatched": "create",
            "devices": devices,
            "variables": ", ".join(variables),
        }
        page = client.post(f"/projects/{backup.slug}/transfers/", form)
        body = {"target": live.slug, "devices": devices or None, "variables": variables or None}
        answer = client.post(
            f"/api/v1/projects/{backup.slug}/transfers",
            json.dumps(body),
            content_type="application/json",
            headers={"Authorization": f"Bearer {token}"},
        )
        command = [
            *("transfer", backup.slug, live.slug, "--json"),
            *(f"--device={one}" for one in devices),
            *(f"--variable={one}" for one in variables),
        ]
        if not says:
            assert (page.status_code, answer.status_code) == (302, 202)
            call_command(*command)
            continue
        assert page.status_code == 400
        assert says in page.content.decode()
        assert answer.status_code == 422
        assert answer.json()["errors"] == [{"field": field, "message": says}]
        with pytest.raises(CommandError) as refused:
            call_command(*command)
        assert str(refused.value) == says
        assert not Transfer.objects.exists()


def test_a_device_that_went_before_the_dry_run_is_told(
    backup: Project, live: Project, owner: Account
) -> None:
    transfer = ask(backup, live, owner, devices=(DEVICE,))
    delete_truck(backup)
    done = run(transfer)
    assert (done.state, done.cause) == (Transfer.State.FAILED, Cause.REMOVED)
    assert done.reason == f"Cold Chain (restored) has no device {DEVICE}."


def test_a_device_that_went_after_the_dry_run_is_told_and_nothing_moves(
    backup: Project, live: Project, owner: Account
) -> None:
    transfer = run(ask(backup, live, owner))
    delete_truck(backup)
    start_move(transfer=transfer, actor=owner)
    done = run(transfer)
    assert (done.state, done.cause) == (Transfer.State.FAILED, Cause.REMOVED)
    assert (
        f"no longer has what the dry run found: Truck ({DEVICE}). Make the dry run again."
        in done.reason
    )
    assert count_rows(live) == 0
    assert not done.can_undo
    # The next step that the sentence suggests works.
    retry_plan(transfer=done, actor=owner)
    assert run(done).state == Transfer.State.READY


def delete_truck(project: Project) -> None:
    with open_project(project) as connection:
        connection.execute("DELETE FROM variable")
        connection.execute("DELETE FROM device")


@pytest.mark.django_db
def test_a_server_that_is_not_registered_is_refused_by_name() -> None:
    factories.make_account("olivia@example.com")
    factories.make_server()
    with pytest.raises(CommandError, match="There is no database server “elsewhere”"):
        call_command("create_project", "X", "--owner=olivia@example.com", "--server=elsewhere")
