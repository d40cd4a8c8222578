"""What operators run by hand to prove a snapshot, and what a restore prints under way."""

import json
import uuid
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from backups_portal.accounts.models import Account
from snapshots.models import Snapshot
from tests.restores.test_restore_run import damage


class TestProveSnapshot:
    def test_it_proves_and_says_how_long_a_restore_takes(self, snapshot: Snapshot) -> None:
        out, progress = StringIO(), StringIO()
        call_command("prove_snapshot", str(snapshot.pk), stdout=out, stderr=progress)
        assert "restores to what it recorded" in out.getvalue()
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


def test_a_verification_says_how_much_it_reads(snapshot: Snapshot) -> None:
    out, progress = StringIO(), StringIO()
    call_command("verify_snapshot", str(snapshot.pk), stdout=out, stderr=progress)
    assert progress.getvalue().strip() == f"verifying {snapshot.rows} rows"
