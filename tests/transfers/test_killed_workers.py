"""A worker or command that moves data is killed by SIGKILL; the next one continues."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial

import pytest
from django.test import Client
from pytest_django import Settings

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.projects.models import Project
from backups_portal.transfers.models import Transfer
from backups_portal.transfers.plan.dry_run import Plan
from backups_portal.transfers.transfer_requests import request_undo, start_move
from backups_portal.transfers.transfer_run import run_transfer
from tests.killed import is_killed
from tests.transfers.killed_runs import go_on, kill_at_commit
from tests.transfers.projects import (
    DEVICE,
    START,
    add_readings,
    count_rows,
    open_project,
)
from tests.transfers.test_transfer_run import ask

MOVE = "backups_portal.transfers.move"
RUN = "backups_portal.transfers.transfer_run"
ROWS = 14
PLAN_PLACES = [f"before {RUN}.make_plan", f"behind {RUN}.make_plan"]
MOVE_PLACES = [
    f"behind {MOVE}.move_run.place",
    # In the middle of a batch, before its commit, and after it.
    f"behind {MOVE}.move_run.move_batch 2",
    f"behind {MOVE}.move_run.end_batch 2",
    f"behind {MOVE}.parallel_batches._finish_one 2",
    # The audit event is written, and not committed.
    f"behind {RUN}.record_transfer",
]
UNDO_PLACES = [
    f"behind {MOVE}.transfer_undo._take_back 2",
    f"before {MOVE}.transfer_undo._undo_resources",
    f"behind {RUN}.record_transfer",
]


@pytest.fixture(autouse=True)
def _small_batches(settings: Settings) -> None:
    settings.TRANSFER_BATCH_ROWS = 3


@pytest.fixture
def backup(backup: Project) -> Project:
    """Fourteen readings, of which four are days apart and so in several batches."""
    for day in range(4):
        add_readings(backup, 1, variable="daily", time=START + timedelta(days=1 + day))
    return backup


@pytest.fixture
def page(client: Client, owner: Account, live: Project) -> Callable[[Transfer], str]:
    """Return a function that reads a transfer's page as the owner."""
    client.force_login(owner)

    def read(transfer: Transfer) -> str:
        answer = client.get(f"/projects/{live.slug}/transfers/{transfer.pk}/")
        assert answer.status_code == 200
        return answer.text

    return read


def lines(transfer: Transfer, action: str) -> list[int]:
    """Count the events of an action in the source and in the target."""
    found = AuditEvent.objects.filter(action=action, details__transfer=str(transfer.pk))
    return [
        found.filter(project_id=one).count() for one in (transfer.source_id, transfer.target_id)
    ]


def planned(backup: Project, live: Project, owner: Account) -> Transfer:
    transfer = ask(backup, live, owner)
    run_transfer(transfer.pk)
    transfer.refresh_from_db()
    assert len(Plan.from_json(transfer.plan).slices) > 2
    return transfer


def test_a_dry_run(
    backup: Project, live: Project, owner: Account, page: Callable[[Transfer], str]
) -> None:
    for place in PLAN_PLACES:
        transfer = ask(backup, live, owner)
        assert is_killed(partial(run_transfer, transfer.pk), place)
        assert "Dry run" in page(transfer)
        transfer = go_on(transfer)
        assert (transfer.state, transfer.rows_total, count_rows(live)) == ("ready", ROWS, 0)


def test_a_move(
    backup: Project, live: Project, owner: Account, page: Callable[[Transfer], str]
) -> None:
    for place in MOVE_PLACES:
        transfer = planned(backup, live, owner)
        start_move(transfer=transfer, actor=owner)
        assert is_killed(partial(run_transfer, transfer.pk), place), place
        assert "Moving data" in page(transfer)
        transfer = go_on(transfer)
        assert (transfer.state, count_rows(live)) == ("completed", ROWS), place
        sums = [transfer.summary[name] for name in ("chosen", "stored", "found", "is_equal")]
        assert sums == [ROWS, ROWS, ROWS, True], place
        assert lines(transfer, "transfer.completed") == [1, 1], place
        request_undo(transfer=transfer, actor=owner)
        run_transfer(transfer.pk)


def test_an_undo(
    backup: Project, live: Project, owner: Account, page: Callable[[Transfer], str]
) -> None:
    for place in UNDO_PLACES:
        transfer = planned(backup, live, owner)
        start_move(transfer=transfer, actor=owner)
        run_transfer(transfer.pk)
        transfer.refresh_from_db()
        request_undo(transfer=transfer, actor=owner)
        assert is_killed(partial(run_transfer, transfer.pk), place), place
        assert "Undoing" in page(transfer)
        transfer = go_on(transfer)
        assert (transfer.state, count_rows(live)) == ("undone", 0), place
        undone = transfer.report["undone"]
        assert (undone["removed"], undone["left"], undone["resources"]) == (ROWS, 0, 1), place
        assert lines(transfer, "transfer.undone") == [1, 1], place


@pytest.mark.parametrize("step", ["a batch", "the device"])
def test_an_undo_between_the_commits_of_the_two_databases(
    backup: Project, live: Project, owner: Account, step: str
) -> None:
    """The target has lost something, and the portal's database does not know it."""
    transfer = planned(backup, live, owner)
    start_move(transfer=transfer, actor=owner)
    run_transfer(transfer.pk)
    batches = len(Plan.from_json(transfer.plan).slices)
    with open_project(live) as connection:
        connection.execute(
            "UPDATE variable SET number_value = 99 WHERE time = (SELECT max(time) FROM variable)"
        )
    request_undo(transfer=Transfer.objects.get(pk=transfer.pk), actor=owner)
    kill_at_commit(transfer, 1 if step == "a batch" else batches + 1)
    transfer = go_on(transfer)
    assert (transfer.state, count_rows(live)) == ("undone", 1)
    assert transfer.report["undone"] == {
        "removed": ROWS - 1,
        "restored": 0,
        "left": 1,
        "resources": 0,
        "kept": [{"kind": "device", "id": DEVICE, "reason": "it has received records since"}],
        "device_settings": 0,
    }
