"""A client edits settings in another order than a move, and PostgreSQL ends the move."""

from typing import Any

import psycopg
import pytest
from pytest_django import Settings

from backups_portal.accounts.models import Account
from backups_portal.projects.models import Project
from backups_portal.transfers.models import Transfer
from backups_portal.transfers.move import settings_copy
from backups_portal.transfers.plan.selection import DeviceSettings
from backups_portal.transfers.transfer_requests import start_move
from tests.transfers.projects import add_truck
from tests.transfers.test_transfer_run import ask, run


def test_a_move_that_lost_a_deadlock_is_tried_again(
    backup: Project,
    live: Project,
    owner: Account,
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
) -> None:
    settings.RESTORE_RETRY_MINUTES = [5]
    add_truck(live, parameters=[{"key": "depot", "value": "South"}])
    transfer = run(ask(backup, live, owner, device_settings=DeviceSettings.ONLY))
    start_move(transfer=transfer, actor=owner)

    def losing(*_: Any) -> None:
        raise psycopg.errors.DeadlockDetected("deadlock detected")

    with monkeypatch.context() as patched:
        patched.setattr(settings_copy, "_write", losing)
        transfer = run(transfer)
    assert (transfer.state, transfer.attempts) == ("queued", 1)
    assert "kept data locked" in transfer.reason
    Transfer.objects.update(lease_until=None)
    transfer = run(transfer)
    assert (transfer.state, transfer.summary["device_settings"]) == ("completed", 1)
