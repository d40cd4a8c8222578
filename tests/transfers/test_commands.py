"""The command `transfer`, even if its process is killed in the middle."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import StringIO
from typing import Any

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.audit.operator_command import system_user
from backups_portal.projects.database_dsn import admin_dsn
from backups_portal.projects.models import Project
from backups_portal.transfers import transfer_run
from backups_portal.transfers.models import Transfer
from tests.conftest import database_of_this_test
from tests.factories import make_account
from tests.transfers.projects import (
    DEVICE,
    add_readings,
    add_truck,
    count_rows,
    make_project,
    open_project,
)
from tests.transfers.test_transfer_run import run


def transfer(*arguments: str) -> Any:
    out = StringIO()
    call_command("transfer", *arguments, "--json", stdout=out)
    return json.loads(out.getvalue())


def test_it_shows_moves_and_takes_back(backup: Project, live: Project) -> None:
    shown = transfer(backup.slug, live.slug)
    assert (shown["state"], shown["dry_run"]["cost"], count_rows(live)) == ("ready", 10, 0)
    moved = transfer(backup.slug, live.slug, "--continue", shown["id"])
    assert (moved["report"]["summary"]["is_equal"], count_rows(live)) == (True, 10)
    undone = transfer(backup.slug, live.slug, "--undo", shown["id"])
    assert (undone["state"], count_rows(live)) == ("undone", 0)
    events = AuditEvent.objects.filter(action__startswith="transfer.")
    assert {"transfer.requested", "transfer.completed", "transfer.undone"} <= {
        event.action for event in events
    }
    # The projects belong to an owner, but the operator ran the command.
    assert {event.who for event in events} == {f"operator ({system_user()})"}


def test_it_says_what_an_undo_leaves(backup: Project, live: Project) -> None:
    add_truck(live, parameters=[{"key": "depot", "value": "South"}])
    done = transfer(backup.slug, live.slug, "--device-settings", "only", "--yes")
    with open_project(live) as connection:
        connection.execute("UPDATE device_parameter SET value = 'East'")
    out = StringIO()
    call_command("transfer", backup.slug, live.slug, "--undo", done["id"], stdout=out)
    said = f"Tags and parameters of Truck {DEVICE} stay: they were edited since"
    assert said in out.getvalue().splitlines()


def test_an_undo_ends_well_whatever_the_move_had_found(
    backup: Project, live: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The move's difference, a deleted record, does not concern the undo."""
    compare = transfer_run.compare

    def beside_a_deletion(*arguments: Any, **options: Any) -> Any:
        with open_project(live) as connection:
            connection.execute("DELETE FROM variable WHERE id = (SELECT min(id) FROM variable)")
        return compare(*arguments, **options)

    monkeypatch.setattr(transfer_run, "compare", beside_a_deletion)
    with pytest.raises(CommandError, match="does not match"):
        transfer(backup.slug, live.slug, "--yes")
    done = Transfer.objects.get()
    undone = transfer(backup.slug, live.slug, "--undo", str(done.pk))
    assert (undone["state"], count_rows(live)) == ("undone", 0)
    assert undone["report"]["undone"]["left"] == 1


def test_an_undo_that_failed_ends_with_its_reason(backup: Project, live: Project) -> None:
    done = transfer(backup.slug, live.slug, "--yes")
    Project.objects.filter(pk=live.pk).update(state=Project.State.SHUT_DOWN)
    with pytest.raises(CommandError, match="shut down"):
        transfer(backup.slug, live.slug, "--undo", done["id"])


def test_only_what_was_chosen_moves(backup: Project, live: Project) -> None:
    add_truck(backup, "b" * 24, name="Other")
    add_readings(backup, 4, "b" * 24, variable="humidity")
    add_readings(backup, 4, variable="humidity")
    arguments = ["--device", DEVICE, "--variable", "humidity", "--since", "2026-03-01T00:01"]
    moved = transfer(backup.slug, live.slug, *arguments, "--until", "2026-03-01T00:03", "--yes")
    assert moved["report"]["summary"]["add"] == 2


def test_who_does_not_own_both(backup: Project) -> None:
    elsewhere = make_project(make_account(), "Elsewhere")
    with pytest.raises(CommandError, match="No such person owns"):
        call_command("transfer", backup.slug, elsewhere.slug)


def test_other_resources_keep_pointing_at_their_devices(
    backup: Project, live: Project, owner: Account
) -> None:
    add_truck(live, "c" * 24)
    with open_project(backup) as connection:
        connection.execute("INSERT INTO dashboard (id, label) VALUES (%s, 'Fleet')", ["d" * 24])
        connection.execute(
            "INSERT INTO widget (id, dashboard_id, settings) VALUES (%s, %s, %s)",
            ["e" * 24, "d" * 24, json.dumps({"device": DEVICE})],
        )
    moved = transfer(backup.slug, live.slug, "--kind", "dashboard", "--yes")
    assert moved["report"]["devices"][0]["how"] == "name"
    with open_project(live) as connection:
        widgets = connection.execute("SELECT settings ->> 'device' FROM widget").fetchall()
    assert widgets == [("c" * 24,)]
    undone = transfer(backup.slug, live.slug, "--undo", moved["id"])
    assert undone["report"]["undone"]["resources"] == 1
    with open_project(live) as connection:
        assert connection.execute("SELECT FROM dashboard").fetchone() is None


@contextmanager
def begun(backup: Project, live: Project) -> Iterator[subprocess.Popen[str]]:
    """Start a move of many small batches; yield once some are there, and hold the others up."""
    add_readings(backup, 4_000, variable="humidity")
    with psycopg.connect(admin_dsn(live), autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(1)")
        connection.execute(
            """CREATE FUNCTION hold_up() RETURNS trigger LANGUAGE plpgsql AS $$
               BEGIN
                   IF EXISTS (SELECT FROM variable) THEN
                       PERFORM pg_advisory_xact_lock_shared(1);
                   END IF;
                   RETURN NULL;
               END $$;
               CREATE TRIGGER hold_up BEFORE INSERT ON variable EXECUTE FUNCTION hold_up()"""
        )
        process = subprocess.Popen(
            [sys.executable, "manage.py", "transfer", backup.slug, live.slug, "--yes"],
            env={**os.environ, **database_of_this_test(), "TRANSFER_BATCH_ROWS": "20"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        while count_rows(live) == 0 and process.poll() is None:
            time.sleep(0.01)
        yield process
        connection.execute("SELECT pg_advisory_unlock(1)")
        connection.execute("DROP FUNCTION hold_up CASCADE")


def test_a_killed_process_is_continued_without_a_row_twice(backup: Project, live: Project) -> None:
    with begun(backup, live) as process:
        process.kill()
        process.communicate()
    stopped = count_rows(live)
    assert 0 < stopped < 4_010
    add_readings(live, 5, variable="speed")

    row = Transfer.objects.get()
    assert row.state == Transfer.State.RUNNING
    Transfer.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    row = run(row)
    assert row.state == Transfer.State.COMPLETED, row.reason
    assert row.summary["is_equal"] is True
    assert count_rows(live) == 4_015


def test_an_interrupted_process_says_that_it_is_continued(backup: Project, live: Project) -> None:
    with begun(backup, live) as process:
        process.send_signal(signal.SIGINT)
        _, said = process.communicate()
    row = Transfer.objects.get()
    assert row.state == Transfer.State.RUNNING
    assert said.splitlines()[-1].startswith(f"CommandError: Transfer {row.pk} continues")
    assert "Traceback" not in said
    assert process.returncode == 130
