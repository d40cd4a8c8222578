"""What the demo shows: a fleet with a week of backups, a project restored from it, a greenhouse.

Every step looks at what is there first, so that a start after an interrupted one goes on.
"""

import uuid
from datetime import UTC, datetime, time, timedelta
from typing import Any

import psycopg
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.demo.accounts import COLLABORATOR, OWNER, ensure_account
from backups_portal.demo.errors import DemoError
from backups_portal.demo.fleet import fill_fleet, grow_fleet
from backups_portal.demo.users import Say
from backups_portal.projectdb import devices
from backups_portal.projectdb.variables import send
from backups_portal.projects.connections import keyring, project_dsn
from backups_portal.projects.models import Membership, Project
from backups_portal.projects.services import BackupSettings, create_project
from restores.models import Restore
from restores.services import request_restore, run_restore
from snapshots.models import Snapshot
from snapshots.queueing import queue_due
from snapshots.schedule import next_run
from snapshots.taking import take

FLEET, GREENHOUSE, RESTORED = "Cold Chain", "Greenhouse", "Cold Chain (restored)"
ZONE, BACKUP_TIME = "Europe/Berlin", time(3)
DAYS_OF_BACKUPS = 7
WEEKS_OF_READINGS = 4


def seed(say: Say) -> None:
    """Make the story's projects, as far as they are missing.

    Raises:
        DemoError: a backup or the restore failed.
    """
    owner, now = ensure_account(OWNER), timezone.now()
    greenhouse = Project.objects.filter(name=GREENHOUSE, created_by=owner).first()
    if greenhouse and _has_devices(greenhouse):
        # The last step: whatever is missing since then, somebody has removed.
        return
    say("Seeding a fleet of trucks, its backups, and a project restored from one …")
    begin = now - timedelta(days=DAYS_OF_BACKUPS)
    fleet = _ensure_project(FLEET, owner, first_run_after=begin)
    _fill(fleet, begin)
    _take_daily_backups(fleet, now)
    _invite_collaborator(_restore_newest(fleet, owner))
    _fill_greenhouse(_ensure_project(GREENHOUSE, owner, first_run_after=now), now)


def _ensure_project(name: str, owner: Account, *, first_run_after: datetime) -> Project:
    project = Project.objects.filter(name=name, created_by=owner).first()
    if project is None:
        first_run = next_run(first_run_after, BACKUP_TIME, ZONE)
        settings = BackupSettings(BACKUP_TIME, ZONE, DAYS_OF_BACKUPS + 7, first_run)
        project = create_project(name=name, owner=owner, settings=settings)
    _invite_collaborator(project)
    return project


def _invite_collaborator(project: Project) -> None:
    Membership.objects.get_or_create(
        project=project,
        account=ensure_account(COLLABORATOR),
        defaults={"role": Membership.Role.COLLABORATOR},
    )


def _open(project: Project) -> psycopg.Connection[Any]:
    return psycopg.connect(project_dsn(project))


def _has_devices(project: Project) -> bool:
    with _open(project) as connection:
        return connection.execute("SELECT FROM device LIMIT 1").fetchone() is not None


def _fill(fleet: Project, begin: datetime) -> None:
    if not _has_devices(fleet):
        start = begin - timedelta(weeks=WEEKS_OF_READINGS)
        with _open(fleet) as connection:
            fill_fleet(connection, keys=keyring(), start=_midnight(start), end=_midnight(begin))


def _midnight(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _take_daily_backups(fleet: Project, now: datetime) -> None:
    """Real snapshots of a week, with a day of readings between them, dated as if on schedule."""
    for snapshot in Snapshot.objects.unfinished().filter(project=fleet):
        _take(snapshot.pk)
    while Snapshot.objects.filter(project=fleet).count() < DAYS_OF_BACKUPS:
        fleet.main_database.refresh_from_db()
        due = fleet.main_database.next_snapshot_at
        if due is None or due > now:
            return
        with _open(fleet) as connection:
            newest = connection.execute(
                "SELECT max(time) FROM variable WHERE time < %s", [due]
            ).fetchone()
            if newest:
                grow_fleet(connection, start=newest[0] + timedelta(minutes=20), end=due)
        for snapshot_id in queue_due(due):
            _take(snapshot_id)


def _take(snapshot_id: uuid.UUID) -> None:
    take(snapshot_id)
    snapshot = Snapshot.objects.get(pk=snapshot_id)
    if snapshot.state != Snapshot.State.COMPLETED:
        raise DemoError(f"A backup of the seeded project failed: {snapshot.reason}")
    if snapshot.started_at and snapshot.taken_at and snapshot.finished_at:
        late = snapshot.started_at - snapshot.scheduled_for - timedelta(seconds=2)
        Snapshot.objects.filter(pk=snapshot_id).update(
            started_at=snapshot.started_at - late,
            taken_at=snapshot.taken_at - late,
            finished_at=snapshot.finished_at - late,
        )


def _restore_newest(fleet: Project, owner: Account) -> Project:
    restore = Restore.objects.filter(name=RESTORED, requested_by=owner).first()
    if restore is None:
        newest = Snapshot.objects.completed().filter(project=fleet).order_by("-taken_at").first()
        if newest is None:
            raise DemoError("The seeded project has no backup to restore.")
        restore = request_restore(
            snapshot=newest,
            actor=owner,
            name=RESTORED,
            accepted_charges=True,
            request_key=uuid.uuid4(),
        )
    run_restore(restore.pk)
    restore.refresh_from_db()
    if restore.project is None:
        raise DemoError(f"The seeded restore failed: {restore.reason}")
    return restore.project


def _fill_greenhouse(greenhouse: Project, now: datetime) -> None:
    with _open(greenhouse) as connection:
        device_id, _ = devices.create_device(connection, keys=keyring(), name="Bed 1")
        records = [
            {
                "variable": "soil_moisture",
                "value": 31 + hour % 7,
                "unit": "%",
                "time": now - timedelta(hours=hour),
            }
            for hour in range(48)
        ]
        send(connection, device_id=device_id, records=records, now=now)
