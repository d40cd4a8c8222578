"""A process killed before its audit event is written leaves nothing changed."""

from collections.abc import Callable
from functools import partial
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings

from backups_portal.access_tokens.issued_tokens import make_access_token, revoke_access_token
from backups_portal.access_tokens.models import AccessToken
from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.ops.project_removal import remove_if_over
from backups_portal.projects.models import DatabaseServer, Project
from backups_portal.projects.servers import check_servers, register_server
from backups_portal.transfers.models import Transfer
from backups_portal.transfers.transfer_requests import (
    request_undo,
    retry_plan,
    start_move,
    stop_move,
)
from snapshots.models import SnapshotCopy
from snapshots.retention.expiry import project_ids
from tests import factories

pytestmark = pytest.mark.django_db


Run = Callable[[Callable[[], object]], None]


class KilledError(BaseException):
    """An error that no handler of the portal catches."""


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs work and kills it at its audit event."""

    def kill(**_: object) -> None:
        raise KilledError

    def run(change: Callable[[], object]) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(AuditEvent.objects, "create", kill)
            with pytest.raises(KilledError):
                change()

    return run


def test_a_token_of_the_portals_api(killed: Run) -> None:
    account = factories.make_account()
    make = partial(
        make_access_token, account=account, name="script", scopes=["projects:read"], expires_at=None
    )
    killed(make)
    assert not AccessToken.objects.exists()
    token = make().row
    killed(lambda: revoke_access_token(account=account, token_id=token.pk))
    assert AccessToken.objects.unrevoked().exists()


@pytest.mark.parametrize(
    ("act", "fields"),
    [
        (start_move, {"state": "ready", "work": "plan"}),
        (retry_plan, {"state": "failed", "reason": "No."}),
        (partial(stop_move, for_good=True), {"state": "queued"}),
        (partial(stop_move, for_good=False), {"state": "running", "work": "move"}),
        (
            request_undo,
            {"state": "paused", "work": "move", "has_ledger": True, "started_at": timezone.now()},
        ),
    ],
    ids=["start", "plan", "cancel", "pause", "undo"],
)
def test_a_transfer(killed: Run, act: Callable[..., None], fields: dict[str, object]) -> None:
    owner = factories.make_account()
    source, target = (factories.make_project_row(owner=owner) for _ in range(2))
    transfer = factories.make_transfer(
        source, target, requested_by=owner, finished_at=timezone.now(), **fields
    )
    killed(lambda: act(transfer=transfer, actor=owner))
    found = Transfer.objects.get()
    assert (found.state, found.wish) == (fields["state"], Transfer.Wish.GO_ON)


def test_a_removed_project(killed: Run, storage_url: str, settings: Settings) -> None:
    server = register_server("main", settings.PROJECT_DATABASE_URL)
    project = factories.make_project_row(state=Project.State.REMOVED, server=server)
    remove = partial(remove_if_over, project.pk, timezone.now())
    killed(remove)
    assert project.pk in project_ids(after=None), "no sweep comes by again"
    assert remove()
    assert AuditEvent.objects.get().action == "project.data_removed"


def test_a_server_that_is_away(killed: Run) -> None:
    factories.make_server()
    killed(check_servers)
    assert DatabaseServer.objects.get().unreachable_since is None
    check_servers()
    assert AuditEvent.objects.get().action == "server.away"


def test_a_password(killed: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    account = factories.make_account()
    monkeypatch.setattr("getpass.getpass", lambda *_, **__: "another horse battery")
    killed(lambda: call_command("changepassword", account.email, stdout=StringIO()))
    assert Account.objects.get().check_password(factories.PASSWORD)


@pytest.mark.parametrize(
    ("command", "work", "action"),
    [
        (["rotate_keys"], "rotate_each", "keys.rotation_started"),
        (["repair_snapshot", "--all"], "repair", "snapshot.repair_started"),
        (
            ["undo_deletions", "--since", "2026-11-25T03:00Z", "--yes"],
            "find_changed",
            "storage.undo_started",
        ),
    ],
    ids=lambda said: said[0] if isinstance(said, list) else "",
)
def test_what_changes_a_storage_is_told_of_before_it_begins(
    monkeypatch: pytest.MonkeyPatch,
    storage_url: str,
    settings: Settings,
    command: list[str],
    work: str,
    action: str,
) -> None:
    """A command killed halfway never records its end, so it records its beginning."""
    settings.SNAPSHOT_MASTER_KEYS = f"one:{'ab' * 32}"
    snapshot = factories.make_snapshot(factories.make_project_row())
    SnapshotCopy.objects.create(
        snapshot=snapshot, state="copied", place="s3://copies", copied_at=timezone.now()
    )

    def kill(*_: object) -> None:
        raise KilledError

    monkeypatch.setattr(f"snapshots.management.commands.{command[0]}.{work}", kill)
    with pytest.raises(KilledError):
        call_command(*command, stdout=StringIO())
    assert AuditEvent.objects.filter(action=action, details__via="command").count() == 1


@pytest.mark.parametrize("by_id", [True, False])
def test_a_repair_says_which_backups_or_how_many(storage_url: str, *, by_id: bool) -> None:
    """An event's subject is too short for many ids."""
    snapshots = [factories.make_snapshot(factories.make_project_row()) for _ in range(6)]
    for snapshot in snapshots:
        SnapshotCopy.objects.create(
            snapshot=snapshot, state="copied", place="s3://copies", copied_at=timezone.now()
        )
    which = str(snapshots[0].pk) if by_id else "--all"
    with pytest.raises(CommandError, match="could not be repaired"):
        call_command("repair_snapshot", which, stdout=StringIO())
    begun = AuditEvent.objects.get(action="snapshot.repair_started")
    details = [begun.details.get(name) for name in ("option", "backups")]
    assert (begun.subject, *details) == ((which, "", 1) if by_id else ("", "--all", 6))
