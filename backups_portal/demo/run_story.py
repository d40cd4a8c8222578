"""Run `demo --story`: an owner's worst day with real workers, timed."""

import time as clock
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TypeVar

from django.db import transaction
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.billing.models import Charge
from backups_portal.demo.csv_seed import fill_archive
from backups_portal.demo.demo_accounts import OWNER, ensure_account
from backups_portal.demo.errors import DemoError
from backups_portal.demo.fleet import SET_UP_BEFORE, fill_fleet
from backups_portal.demo.seed import BACKUP_TIME, WEEKS_OF_READINGS, ZONE, date_back_project
from backups_portal.demo.story_checks import (
    common_values,
    compare_records,
    excluded_values,
    search_snapshot,
)
from backups_portal.demo.system_user import Say
from backups_portal.lib import pgsession
from backups_portal.projectdb.record_writer import delete_of_device
from backups_portal.projects.database_dsn import keyring, project_dsn
from backups_portal.projects.due_times import next_run
from backups_portal.projects.models import Project
from backups_portal.projects.project_creation import BackupSettings, create_project
from backups_portal.transfers.models import Transfer
from backups_portal.transfers.plan.selection import Choice
from backups_portal.transfers.tasks import run_transfer
from backups_portal.transfers.transfer_requests import request_transfer, start_move
from restores.models import Restore
from restores.restore_requests import NewProject, request_restore
from restores.tasks import run_restore
from snapshots.integrity.recorded_manifests import load_manifest
from snapshots.models import Snapshot
from snapshots.schedule.schedule_tick import queue_due
from snapshots.storages.configured_storages import reading_storage
from snapshots.tasks import take_snapshot

PATIENCE = 300.0
Result = TypeVar("Result")


@dataclass
class Teller:
    """Runs the steps, and prints the result and time of each."""

    say: Say
    number: int = 0

    def step(self, title: str, do: Callable[[], tuple[Result, str]]) -> Result:
        """Run a step, which returns its result and a sentence about it."""
        self.number += 1
        began = clock.monotonic()
        result, sentence = do()
        seconds = clock.monotonic() - began
        self.say(f"{self.number:>2}. {title:<34} {seconds:7.2f} s   {sentence}")
        return result


def tell(say: Say, data: Path | None) -> None:
    """Run the whole story in new projects.

    Args:
        data: A folder of CSV files to use; None for the fleet of trucks.

    Raises:
        DemoError: a step failed.
    """
    owner, teller = ensure_account(OWNER), Teller(say)
    say("\nThe story of a lost device\n")
    source = teller.step("A project with data", lambda: _make_source(owner, data))
    snapshot = teller.step("The schedule fires", lambda: _fire(source))
    teller.step("A worker stores the snapshot", lambda: _wait_for_snapshot(snapshot))
    teller.step("Nothing in it that must not be", lambda: _search(source, snapshot))
    device_id = teller.step("Somebody empties a device", lambda: _lose(source))
    restored = teller.step("A new project from the backup", lambda: _restore(snapshot, owner))
    teller.step("Move the lost data back", lambda: _move(restored, source, device_id, owner))
    teller.step("Source and restored, row by row", lambda: _compare(source, restored))
    teller.step("New ids, new tokens, one bill", lambda: _check_identity(source, restored))
    say("\nEvery step held.")


def _make_source(owner: Account, data: Path | None) -> tuple[Project, str]:
    now = timezone.now()
    name = f"{'Archive' if data else 'Fleet'} {now:%Y-%m-%d %H:%M:%S}"
    plan = BackupSettings(BACKUP_TIME, ZONE, 7, next_run(now, BACKUP_TIME, ZONE))
    project = create_project(name=name, owner=owner, settings=plan)
    try:
        with pgsession.connect(project_dsn(project)) as connection:
            if data:
                count = fill_archive(connection, keys=keyring(), folder=data)
            else:
                start = now - timedelta(weeks=WEEKS_OF_READINGS)
                count = fill_fleet(connection, keys=keyring(), start=start, end=now)
                date_back_project(project, start - SET_UP_BEFORE)
    except (OSError, ValueError) as error:
        raise DemoError(str(error)) from error
    return project, f"“{name}”, {count:,} variables"


def _fire(project: Project) -> tuple[Snapshot, str]:
    """Run the schedule at the time of the project's next backup."""
    due = project.main_database.next_snapshot_at
    if due is None:
        raise DemoError("The project has no next backup.")
    with transaction.atomic():
        queued = queue_due(due)
        for snapshot_id in queued:
            transaction.on_commit(partial(take_snapshot.delay, str(snapshot_id)))
    snapshot = Snapshot.objects.filter(project=project, id__in=queued).first()
    if snapshot is None:
        raise DemoError("The schedule did not fire.")
    return snapshot, f"for {snapshot.local_date}, at {BACKUP_TIME:%H:%M} {ZONE}"


def _wait_for_snapshot(snapshot: Snapshot) -> tuple[None, str]:
    _wait(snapshot, "snapshot", Snapshot.State.COMPLETED)
    stored, logical = snapshot.stored_bytes or 0, snapshot.logical_bytes or 0
    return None, f"{snapshot.rows:,} rows, {stored:,} bytes stored of {logical:,}"


def _wait(row: Snapshot | Restore | Transfer, what: str, state: str) -> None:
    deadline = clock.monotonic() + PATIENCE
    while row.state != state:
        if row.state == "failed":
            raise DemoError(f"The {what} failed: {row.reason}")
        if clock.monotonic() > deadline:
            raise DemoError(f"The {what} did not end in time.")
        clock.sleep(0.1)
        row.refresh_from_db()


def _search(project: Project, snapshot: Snapshot) -> tuple[None, str]:
    storage = reading_storage()
    secrets = excluded_values(project_dsn(project), keys=keyring())
    manifest = load_manifest(storage, snapshot)
    searched = search_snapshot(manifest, storage, secrets)
    return None, f"{len(secrets)} secrets sought in {searched:,} decompressed bytes"


def _lose(project: Project) -> tuple[str, str]:
    with pgsession.connect(project_dsn(project)) as connection:
        row = connection.execute(
            """SELECT device.id, name FROM device JOIN series ON device_id = device.id
               WHERE device.type = 'mutable' ORDER BY name LIMIT 1"""
        ).fetchone()
        if row is None:
            raise DemoError("The project has no device.")
        count = delete_of_device(connection, row[0])
    return row[0], f"{row[1]} loses {count:,} variables"


def _restore(snapshot: Snapshot, owner: Account) -> tuple[Project, str]:
    restore = request_restore(
        snapshot=snapshot,
        actor=owner,
        wanted=NewProject(name=f"{snapshot.project.name} restored", accepted_charges=True),
    )
    run_restore.delay(str(restore.pk))
    _wait(restore, "restore", Restore.State.COMPLETED)
    if restore.project is None:
        raise DemoError("The restore made no project.")
    return restore.project, f"{restore.rows_done:,} rows loaded, and every one proven"


def _move(restored: Project, source: Project, device_id: str, owner: Account) -> tuple[None, str]:
    """Do what “Move data” does: a dry run, then the move."""
    transfer = request_transfer(
        source=restored,
        target=source,
        actor=owner,
        choice=Choice(devices=(device_id,)),
        request_key=uuid.uuid4(),
    )
    run_transfer.delay(str(transfer.pk))
    _wait(transfer, "transfer", Transfer.State.READY)
    start_move(transfer=transfer, actor=owner)
    run_transfer.delay(str(transfer.pk))
    _wait(transfer, "transfer", Transfer.State.COMPLETED)
    summary = transfer.summary
    if not summary["is_equal"] or summary["stored"] != summary["chosen"]:
        raise DemoError(f"The transfer did not move everything: {summary}")
    return None, f"{summary['stored']:,} variables moved, compared by digest on both sides"


def _compare(source: Project, restored: Project) -> tuple[None, str]:
    count = compare_records(project_dsn(source), project_dsn(restored))
    return None, f"{count:,} variables equal in every field"


def _check_identity(source: Project, restored: Project) -> tuple[None, str]:
    both = project_dsn(source), project_dsn(restored)
    for what, query in (
        ("variable id", "SELECT id FROM variable_record"),
        ("token", "SELECT hash FROM token"),
    ):
        if common_values(*both, query):
            raise DemoError(f"The projects have a {what} in common.")
    kinds = sorted(charge.kind for charge in Charge.objects.filter(project_id=restored.pk))
    if kinds != [Charge.Kind.CREATION, Charge.Kind.RUNNING]:
        raise DemoError(f"The restored project has the charges {kinds}.")
    return None, "no variable id and no token in common; created and running charged once"
