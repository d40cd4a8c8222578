"""A transfer between two projects: the dry run, the move, every kind of end, and undo."""

import uuid
from datetime import timedelta
from typing import Any

import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.http import Http404
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.lib.failure_causes import Cause
from backups_portal.ops.tasks import send_overlooked
from backups_portal.projectdb.provisioning import drop_database
from backups_portal.projects.database_dsn import server_url
from backups_portal.projects.models import Membership, Project
from backups_portal.transfers import transfer_run
from backups_portal.transfers.errors import TransferRefusedError
from backups_portal.transfers.ledger_retention import forget_transfers
from backups_portal.transfers.models import Transfer
from backups_portal.transfers.plan.dry_run import Plan
from backups_portal.transfers.plan.selection import Choice, DeviceSettings, Rule
from backups_portal.transfers.transfer_requests import (
    request_transfer,
    request_undo,
    start_move,
    stop_move,
)
from backups_portal.transfers.transfer_run import run_transfer
from tests.factories import make_account, make_membership
from tests.transfers.projects import (
    DEVICE,
    add_readings,
    add_truck,
    count_rows,
    make_project,
    open_project,
)


def ask(source: Project, target: Project, actor: Account, **choice: Any) -> Transfer:
    """Make a queued transfer."""
    return request_transfer(
        source=source,
        target=target,
        actor=actor,
        choice=Choice(**choice),
        request_key=uuid.uuid4(),
    )


def run(transfer: Transfer) -> Transfer:
    """Run it as a worker does."""
    run_transfer(transfer.pk)
    return Transfer.objects.select_related("source", "target").get(pk=transfer.pk)


def move(source: Project, target: Project, actor: Account, **choice: Any) -> Transfer:
    """Make a transfer, its dry run, and its move."""
    transfer = run(ask(source, target, actor, **choice))
    assert transfer.state == Transfer.State.READY, transfer.reason
    start_move(transfer=transfer, actor=actor)
    return run(transfer)


def test_lost_rows_come_back_with_their_device(
    backup: Project, live: Project, owner: Account
) -> None:
    transfer = run(ask(backup, live, owner))
    assert transfer.state == Transfer.State.READY
    assert count_rows(live) == 0
    assert (Plan.from_json(transfer.plan).cost, Plan.from_json(transfer.plan).tokens) == (10, 1)

    start_move(transfer=transfer, actor=owner)
    transfer = run(transfer)

    assert transfer.state == Transfer.State.COMPLETED
    assert transfer.summary["is_equal"] is True
    assert count_rows(live) == 10
    with open_project(live) as connection:
        device = connection.execute(
            "SELECT name, key, value FROM device JOIN device_parameter ON device_id = device.id"
        ).fetchall()
        origins = connection.execute(
            "SELECT old_hash <> hash, old_last_four FROM token JOIN token_origin"
            " ON token_id = token.id WHERE device_id = %s",
            [DEVICE],
        ).fetchall()
    assert device == [("Truck", "depot", "North")]
    assert [is_new for is_new, _ in origins] == [True]


def test_a_second_run_adds_nothing(backup: Project, live: Project, owner: Account) -> None:
    move(backup, live, owner)
    again = move(backup, live, owner)
    assert (again.summary["add"], again.summary["present"]) == (0, 10)
    assert count_rows(live) == 10


def test_undo_leaves_later_changes_alone(backup: Project, live: Project, owner: Account) -> None:
    transfer = move(backup, live, owner)
    add_readings(live, 3, variable="humidity")
    with open_project(live) as connection:
        connection.execute(
            "UPDATE variable SET number_value = 99 WHERE id = (SELECT min(id) FROM variable)"
        )
    request_undo(transfer=transfer, actor=owner)
    transfer = run(transfer)
    assert transfer.state == Transfer.State.UNDONE, transfer.reason
    undone = transfer.report["undone"]
    assert (undone["removed"], undone["left"]) == (9, 1)
    assert [item["reason"] for item in undone["kept"]] == ["it has received records since"]
    assert count_rows(live) == 4
    with pytest.raises(TransferRefusedError, match="already undone"):
        request_undo(transfer=transfer, actor=owner)


def test_an_undo_writes_the_long_report_once_and_not_with_each_commit(
    backup: Project, live: Project, owner: Account, settings: Settings
) -> None:
    """It has a line for each device: writing it would take longer than undoing a thousand."""
    settings.TRANSFER_BATCH_ROWS = 3
    transfer = move(backup, live, owner)
    request_undo(transfer=transfer, actor=owner)
    with CaptureQueriesContext(connection) as queries:
        transfer = run(transfer)
    written = [query["sql"] for query in queries if query["sql"].startswith("UPDATE")]
    assert sum('"report" = ' in sql for sql in written) == 1
    assert sum('"undone" = ' in sql for sql in written) > 1
    assert transfer.report["undone"] == transfer.undone


def test_undo_puts_replaced_values_back_and_removes_the_device(
    backup: Project, live: Project, owner: Account
) -> None:
    add_truck(live)
    add_readings(live, 5, value=7)
    transfer = move(backup, live, owner, rule=Rule.REPLACE)
    assert (transfer.summary["replace"], transfer.summary["add"]) == (5, 5)
    request_undo(transfer=transfer, actor=owner)
    run(transfer)
    with open_project(live) as connection:
        values = connection.execute("SELECT number_value FROM variable").fetchall()
    assert values == [(7.0,)] * 5


def test_what_was_not_created_after_all_is_said(
    backup: Project, live: Project, owner: Account
) -> None:
    def add_dictionary(project: Project, dictionary: str) -> None:
        with open_project(project) as connection:
            connection.execute(
                "INSERT INTO dictionary (id, name, slug) VALUES (%s, 'Texts', 'texts')",
                [dictionary],
            )

    add_dictionary(backup, "b" * 24)
    transfer = run(ask(backup, live, owner, kinds=("dictionary",)))
    (device,), (dictionary,) = transfer.plan["matches"], transfer.plan["placements"]
    assert (device["how"], dictionary["fate"]) == ("created", "created")
    add_truck(live)
    add_dictionary(live, "c" * 24)

    start_move(transfer=transfer, actor=owner)
    transfer = run(transfer)

    assert (transfer.state, transfer.summary["created"]) == ("completed", 0)
    (device,), (dictionary,) = transfer.report["devices"], transfer.report["resources"]
    assert (device["how"], device["is_equal"], dictionary["fate"]) == ("id", True, "conflict")
    assert Plan.from_json(transfer.plan).placements[0].fate == "conflict"


def test_pause_continue_and_cancel(
    backup: Project, live: Project, owner: Account, settings: Settings
) -> None:
    settings.TRANSFER_BATCH_ROWS = 4
    transfer = run(ask(backup, live, owner))
    start_move(transfer=transfer, actor=owner)
    Transfer.objects.filter(pk=transfer.pk).update(wish=Transfer.Wish.PAUSE)
    transfer = run(transfer)
    assert transfer.state == Transfer.State.PAUSED
    assert count_rows(live) == 0
    before = timezone.now()
    start_move(transfer=transfer, actor=owner)
    transfer = run(transfer)
    assert transfer.state == Transfer.State.COMPLETED
    assert count_rows(live) == 10
    # The speed counts from here, not from before the pause.
    assert transfer.moving_since
    assert transfer.moving_since > before
    other = run(ask(backup, live, owner))
    stop_move(transfer=other, actor=owner, for_good=True)
    other.refresh_from_db()
    assert other.state == Transfer.State.CANCELLED


def test_a_pause_does_not_take_a_cancellation_back(
    backup: Project, live: Project, owner: Account
) -> None:
    transfer = run(ask(backup, live, owner))
    start_move(transfer=transfer, actor=owner)
    Transfer.objects.filter(pk=transfer.pk).update(state="running")
    for for_good in (True, False):
        stop_move(transfer=transfer, actor=owner, for_good=for_good)
    transfer.refresh_from_db()
    assert transfer.wish == Transfer.Wish.CANCEL
    actions = AuditEvent.objects.filter(project_id=live.pk).values_list("action", flat=True)
    assert "transfer.paused" not in actions


def test_a_worker_that_was_lost_is_replaced(backup: Project, live: Project, owner: Account) -> None:
    transfer = run(ask(backup, live, owner))
    start_move(transfer=transfer, actor=owner)
    Transfer.objects.filter(pk=transfer.pk).update(
        state="running", lease=uuid.uuid4(), lease_until=timezone.now() - timedelta(seconds=1)
    )
    assert transfer.pk in send_overlooked(Transfer, timezone.now())
    assert run(transfer).state == Transfer.State.COMPLETED
    assert count_rows(live) == 10


def test_one_that_reaches_the_limit_of_a_task_says_so(
    backup: Project, live: Project, owner: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(*_: object, **__: object) -> None:
        raise SoftTimeLimitExceeded

    monkeypatch.setattr(transfer_run, "make_plan", work)
    transfer = run(ask(backup, live, owner))
    assert (transfer.state, transfer.cause) == (Transfer.State.FAILED, Cause.TIME_LIMIT)
    assert "was stopped" in transfer.reason


@pytest.mark.parametrize("side", ["source", "target"])
@pytest.mark.parametrize("role", ["collaborator", "stranger"])
def test_who_does_not_own_both_is_refused(
    backup: Project, live: Project, owner: Account, side: str, role: str
) -> None:
    other = make_account()
    elsewhere = make_project(other, "Elsewhere")
    if role == "collaborator":
        make_membership(backup, other, Membership.Role.COLLABORATOR)
    pair = (backup, elsewhere) if side == "source" else (elsewhere, backup)
    with pytest.raises(PermissionDenied if role == "collaborator" else Http404):
        ask(*pair, other)
    transfer = run(ask(backup, live, owner))
    for verb in (start_move, request_undo):
        with pytest.raises((PermissionDenied, Http404)):
            verb(transfer=transfer, actor=other)


def test_a_target_that_is_shut_down_in_the_middle(
    backup: Project, live: Project, owner: Account
) -> None:
    transfer = run(ask(backup, live, owner))
    start_move(transfer=transfer, actor=owner)
    Project.objects.filter(pk=live.pk).update(state=Project.State.SHUT_DOWN)
    transfer = run(transfer)
    assert (transfer.state, transfer.reason) == (
        "failed",
        "Cold Chain is shut down. Start it again on its Overview page, then try again.",
    )
    with pytest.raises(TransferRefusedError, match="shut down"):
        start_move(transfer=transfer, actor=owner)
    Project.objects.filter(pk=live.pk).update(state=Project.State.ACTIVE)
    transfer.refresh_from_db()
    start_move(transfer=transfer, actor=owner)
    assert run(transfer).state == Transfer.State.COMPLETED


def test_a_target_whose_database_goes_away_in_the_middle(
    backup: Project, live: Project, owner: Account
) -> None:
    transfer = run(ask(backup, live, owner))
    start_move(transfer=transfer, actor=owner)
    drop_database(server_url(live.server), prefix=live.prefix)
    transfer = run(transfer)
    assert transfer.state == Transfer.State.FAILED
    assert "stopped responding" in transfer.reason


def test_a_device_that_is_full_refuses_the_rest(
    backup: Project, live: Project, owner: Account, settings: Settings
) -> None:
    settings.MUTABLE_DEVICE_ROWS = 8
    add_truck(live)
    add_readings(live, 2)
    transfer = move(backup, live, owner)
    assert [transfer.summary[fate] for fate in ("add", "present", "full")] == [6, 2, 2]
    assert transfer.summary["is_equal"] is True
    assert count_rows(live) == 8


def test_an_immutable_device_refuses_what_it_would_not_keep(
    backup: Project, live: Project, owner: Account
) -> None:
    immutable = {"type": "immutable", "chunk_period": "day", "chunk_retention": 30}
    add_truck(live, **immutable)
    now = timezone.now().replace(microsecond=0)
    add_readings(backup, 1, time=now, group="new")
    transfer = move(backup, live, owner, rule=Rule.REPLACE)
    assert (transfer.summary["refused"], transfer.summary["add"]) == (10, 1)


def test_the_ledger_goes_after_thirty_days(backup: Project, live: Project, owner: Account) -> None:
    transfer = move(backup, live, owner)
    assert forget_transfers(timezone.now()) == 0
    assert forget_transfers(timezone.now() + timedelta(days=31)) == 1
    transfer.refresh_from_db()
    assert not transfer.can_undo
    with open_project(live) as connection:
        assert connection.execute("SELECT FROM transfer_batch").fetchone() is None


def test_replaced_settings_go_with_the_ledger(
    client: Client, backup: Project, live: Project, owner: Account
) -> None:
    """The portal, too, keeps no values that no undo can put back."""
    add_truck(live, parameters=[{"key": "depot", "value": "South"}])
    transfer = move(backup, live, owner, device_settings=DeviceSettings.ONLY)
    assert "South" in str(transfer.plan)
    assert "South" in str(transfer.report)
    assert forget_transfers(timezone.now() + timedelta(days=31)) == 1
    transfer.refresh_from_db()
    assert "South" not in f"{transfer.plan} {transfer.report}"
    client.force_login(owner)
    page = client.get(f"/projects/{live.slug}/transfers/{transfer.pk}/").text
    assert "Tags and parameters of 1 device are back" in page
    assert "undo puts it back" not in page
