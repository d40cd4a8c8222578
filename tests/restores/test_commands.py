"""The operators' commands that prove a snapshot, and the progress that a restore prints."""

import json
import uuid
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.audit.operator_command import system_user
from backups_portal.audit.recorder import acting_by_command
from restores.models import Check, Proof, Restore
from restores.restore_requests import retry_restore
from restores.restore_run import run_restore
from snapshots.models import Snapshot
from tests.restores.test_restore_run import ask, damage


class TestProveSnapshot:
    def test_it_proves_and_says_how_long_a_restore_takes(self, snapshot: Snapshot) -> None:
        out, progress = StringIO(), StringIO()
        Check.objects.create(project=snapshot.project, kind="devices", at_least=30)
        call_command("prove_snapshot", str(snapshot.pk), stdout=out, stderr=progress)
        assert "restores to what it recorded" in out.getvalue()
        assert "check failed: “At least 30 devices”: the backup has 1." in out.getvalue()
        steps = [line.split()[0] for line in progress.getvalue().splitlines()]
        assert steps == ["loading", "indexing", "proving"]
        snapshot.refresh_from_db()
        assert snapshot.verdict == Snapshot.Verdict.PASSED

    def test_json_is_all_it_prints(
        self, snapshot: Snapshot, capsys: pytest.CaptureFixture[str]
    ) -> None:
        out, progress = StringIO(), StringIO()
        call_command("prove_snapshot", str(snapshot.pk), "--json", stdout=out, stderr=progress)
        document = json.loads(out.getvalue())
        assert (document["state"], document["rows"]) == ("passed", snapshot.rows)
        assert document["restore_seconds"] > 0
        assert progress.getvalue() == ""

    def test_a_failure_says_why(self, snapshot: Snapshot) -> None:
        damage(snapshot, "variable")
        with pytest.raises(CommandError, match="changed in storage"):
            call_command("prove_snapshot", str(snapshot.pk))

    def test_one_that_is_not_there(self, db: None) -> None:
        with pytest.raises(CommandError, match="There is no snapshot"):
            call_command("prove_snapshot", str(uuid.uuid4()))


def test_a_restore_says_which_step_it_is_at(snapshot: Snapshot, owner: Account) -> None:
    out, progress = StringIO(), StringIO()
    wish = [str(snapshot.pk), "--name", "Recovered", "--accept-charges"]
    call_command("restore_snapshot", *wish, stdout=out, stderr=progress)
    assert "every row was compared" in out.getvalue()
    steps = [line.split()[0] for line in progress.getvalue().splitlines()]
    assert steps == ["loading", "indexing", "proving"]


class CtrlC(StringIO):
    """A terminal where somebody presses Ctrl-C once rows are being loaded."""

    def write(self, text: str) -> int:
        if "loading" in text:
            raise KeyboardInterrupt
        return super().write(text)


@pytest.mark.usefixtures("nothing_left")
def test_an_interrupted_restore_says_that_it_goes_on_and_costs(
    snapshot: Snapshot, owner: Account
) -> None:
    wish = [str(snapshot.pk), "--name", "Recovered", "--accept-charges"]
    with pytest.raises(CommandError) as stopped:
        call_command("restore_snapshot", *wish, stderr=CtrlC())
    restore = Restore.objects.get()
    assert restore.state in Restore.UNFINISHED
    assert str(stopped.value).startswith(f"Restore {restore.pk}, which is charged")
    assert stopped.value.returncode == 130


@pytest.mark.usefixtures("nothing_left")
def test_an_interrupted_proof_says_that_it_goes_on(snapshot: Snapshot) -> None:
    with pytest.raises(CommandError, match=f"proof of snapshot {snapshot.pk} continues"):
        call_command("prove_snapshot", str(snapshot.pk), stderr=CtrlC())
    assert Proof.objects.get().state in Proof.UNFINISHED


def test_a_verification_says_how_much_it_reads(snapshot: Snapshot) -> None:
    out, progress = StringIO(), StringIO()
    call_command("verify_snapshot", str(snapshot.pk), stdout=out, stderr=progress)
    assert progress.getvalue().strip() == f"verifying {snapshot.rows} rows"


def test_a_restore_by_command_is_an_operators_act(snapshot: Snapshot, owner: Account) -> None:
    arguments = ["restore_snapshot", str(snapshot.pk), "--name", "Again", "--accept-charges"]
    call_command(*arguments, stdout=StringIO(), stderr=StringIO())
    restore = Restore.objects.get()
    assert restore.project is not None
    assert restore.project.created_by == owner
    events = AuditEvent.objects.filter(action__startswith="restore.").order_by("pk")
    assert [(event.action, event.who) for event in events] == [
        ("restore.requested", f"operator ({system_user()})"),
        ("restore.completed", f"operator ({system_user()})"),
    ]


def test_it_stays_one_when_a_worker_ends_it(snapshot: Snapshot, owner: Account) -> None:
    with acting_by_command("root"):
        restore = ask(snapshot, owner)
    run_restore(restore.pk)
    assert AuditEvent.objects.get(action="restore.completed").who == "operator (root)"


def test_what_an_owner_tries_again_is_the_owners(snapshot: Snapshot, owner: Account) -> None:
    with acting_by_command("root"):
        restore = ask(snapshot, owner)
    Restore.objects.filter(pk=restore.pk).update(state=Restore.State.FAILED, reason="x")
    restore.refresh_from_db()
    retry_restore(restore=restore, actor=owner)
    run_restore(restore.pk)
    assert AuditEvent.objects.get(action="restore.completed").account_id == owner.pk
