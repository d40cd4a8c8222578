"""A restore is retried if time alone may help, and only then."""

from datetime import timedelta

import psycopg
import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.billing.models import Charge
from backups_portal.lib.failure_causes import Cause
from backups_portal.ops.tasks import send_overlooked
from backups_portal.projects.models import DatabaseServer
from restores.models import Restore
from restores.restore_run import may_pass
from snapshots.engine.errors import EngineError, StorageError
from snapshots.engine.storage import Storage
from snapshots.models import Snapshot
from tests.restores.test_restore_run import ask, damage, databases, run


@pytest.fixture(autouse=True)
def _once(settings: Settings) -> None:
    settings.RESTORE_RETRY_MINUTES = [5]


def test_a_storage_that_is_away_for_a_while_costs_time_and_nothing_else(
    client: Client, snapshot: Snapshot, owner: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> bytes:
        raise StorageError("The backup storage does not answer.")

    restore, before = ask(snapshot, owner), databases()
    with monkeypatch.context() as fault:
        fault.setattr(Storage, "get", away)
        waiting = run(restore)
    assert (waiting.state, waiting.reason) == (
        Restore.State.QUEUED,
        "The backup storage does not answer.",
    )
    assert waiting.lease_until is not None
    assert timedelta(minutes=4) < waiting.lease_until - timezone.now() <= timedelta(minutes=5)
    assert databases() == before
    client.force_login(owner)
    assert "It is retried automatically" in client.get(f"/restores/{restore.pk}/").content.decode()
    assert AuditEvent.objects.filter(action="restore.postponed").count() == 1
    assert run(restore).state == Restore.State.COMPLETED
    assert Charge.objects.filter(project_name="Recovered", kind="creation").count() == 1


def test_it_waits_for_its_minutes_only(
    snapshot: Snapshot, owner: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise psycopg.OperationalError("connection refused")

    restore = ask(snapshot, owner)
    monkeypatch.setattr("restores.snapshot_loader._copy_variables", away)
    assert run(restore).state == Restore.State.QUEUED
    assert run(restore).state == Restore.State.FAILED


def test_a_server_that_is_known_to_be_away_is_waited_for(
    snapshot: Snapshot, owner: Account
) -> None:
    """The outage is noticed within a minute, and the first retry comes after one."""
    now = timezone.now()
    DatabaseServer.objects.update(unreachable_since=now, checked_at=now, trouble="refused")
    waiting = run(ask(snapshot, owner))
    assert (waiting.state, waiting.cause) == (Restore.State.QUEUED, Cause.DATABASE_UNREACHABLE)
    assert waiting.reason == "No database server with room is responding right now."
    DatabaseServer.objects.update(unreachable_since=None)
    assert run(waiting).state == Restore.State.COMPLETED


def test_the_tick_takes_it_up_when_its_time_has_come(
    snapshot: Snapshot, owner: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[str] = []
    monkeypatch.setattr("restores.tasks.run_restore.delay", sent.append)
    restore = ask(snapshot, owner)
    then = timezone.now() + timedelta(minutes=5)
    Restore.objects.filter(pk=restore.pk).update(lease_until=then)
    send_overlooked(Restore, then - timedelta(seconds=1))
    assert sent == []
    send_overlooked(Restore, then + timedelta(seconds=1))
    assert sent == [str(restore.pk)]


def test_a_damaged_backup_is_not_tried_again(snapshot: Snapshot, owner: Account) -> None:
    damage(snapshot, "variable")
    assert run(ask(snapshot, owner)).state == Restore.State.FAILED


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (StorageError("away"), True),
        (psycopg.OperationalError("away"), True),
        (psycopg.errors.DiskFull("full"), False),
        (EngineError("no"), False),
    ],
)
def test_what_may_pass(error: Exception, passes: bool) -> None:
    assert may_pass(error) is passes
    wrapped = EngineError("it failed")
    wrapped.__cause__ = error
    assert may_pass(wrapped) is (passes and not isinstance(error, StorageError))
