"""Seed the demo: a fleet with backups, a restored project, a greenhouse.

Every step checks what exists, so that an interrupted seeding continues at the next start.
"""

import uuid
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import psycopg
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.audit.recorder import backdated_to
from backups_portal.billing.models import Charge
from backups_portal.demo.demo_accounts import COLLABORATOR, OWNER, ensure_account
from backups_portal.demo.errors import DemoError
from backups_portal.demo.fleet import SET_UP_BEFORE, fill_fleet, grow_fleet
from backups_portal.demo.past_records import ON_ITS_WAY, date_back, store_past
from backups_portal.demo.readings import EVERY
from backups_portal.demo.system_user import Say
from backups_portal.lib import pgsession
from backups_portal.lib.failure_causes import first_line
from backups_portal.objectives.objective_settings import LOSS, RESTORE, change_objectives
from backups_portal.projectdb import devices
from backups_portal.projects.database_dsn import keyring, project_dsn
from backups_portal.projects.due_times import next_run
from backups_portal.projects.models import Membership, Project
from backups_portal.projects.project_creation import BackupSettings, create_project
from restores.models import Restore
from restores.restore_requests import NewProject, request_restore
from restores.restore_run import run_restore
from snapshots.models import Snapshot
from snapshots.run.snapshot_run import take
from snapshots.schedule.schedule_tick import queue_due

FLEET, GREENHOUSE, RESTORED = "Cold Chain", "Greenhouse", "Cold Chain (restored)"
ZONE, BACKUP_TIME = "Europe/Berlin", time(3)
DAYS_OF_BACKUPS = 7
WEEKS_OF_READINGS = 4
RETENTION = DAYS_OF_BACKUPS
# How long after its scheduled time a backup begins.
TAKING = timedelta(seconds=2)
# The greenhouse's age, and the time until its first backup.
AGE, FIRST_BACKUP_IN = timedelta(hours=4, minutes=50), timedelta(hours=18)
# Ends the message about work that failed because a server did not respond.
NEXT_START = "The next start tries again."


def seed(say: Say) -> None:
    """Create the story's missing projects whose servers respond.

    Raises:
        DemoError: a backup or the restore failed.
    """
    try:
        _seed(say)
    except psycopg.OperationalError as error:
        say(f"The sample data could not be checked: {first_line(error)}. {NEXT_START}")


def _seed(say: Say) -> None:
    owner, now = ensure_account(OWNER), timezone.now()
    greenhouse = Project.objects.filter(name=GREENHOUSE, created_by=owner).first()
    if greenhouse and _has_devices(greenhouse):
        # This is the last step, so if a project is missing, a user has removed it.
        return
    say("Seeding a fleet of trucks, its backups, and a project restored from one …")
    begin = now - timedelta(days=DAYS_OF_BACKUPS)
    founded = _midnight(begin - timedelta(weeks=WEEKS_OF_READINGS)) - SET_UP_BEFORE
    daily = BackupSettings(BACKUP_TIME, ZONE, RETENTION, next_run(begin, BACKUP_TIME, ZONE))
    fleet = _ensure_project(FLEET, owner, daily, founded)
    _fill(fleet, begin)
    _take_daily_backups(fleet, now)
    # 26 hours allow for a day of 25 hours and the time that a backup takes.
    change_objectives(project=fleet, actor=owner, wanted={LOSS: 26, RESTORE: 30}, now=now)
    _invite_collaborator(_restore_newest(fleet, owner))
    _fill_greenhouse(_ensure_project(GREENHOUSE, owner, _later_today(now), now - AGE), now)


def _later_today(now: datetime) -> BackupSettings:
    """Plan a daily backup whose last time was before the greenhouse existed."""
    hour = (now + FIRST_BACKUP_IN).astimezone(ZoneInfo(ZONE)).hour
    return BackupSettings(time(hour), ZONE, RETENTION, next_run(now, time(hour), ZONE))


def _ensure_project(
    name: str, owner: Account, settings: BackupSettings, founded: datetime
) -> Project:
    project = Project.objects.filter(name=name, created_by=owner).first()
    if project is None:
        with backdated_to(founded):
            project = create_project(name=name, owner=owner, settings=settings)
    if project.created_at > founded:
        date_back_project(project, founded)
    _invite_collaborator(project)
    return project


def date_back_project(project: Project, founded: datetime) -> None:
    """Date a project back with its members and charges; its owner earlier."""
    signed_up = founded - timedelta(hours=1)
    Account.objects.filter(pk=project.created_by_id, created_at__gt=signed_up).update(
        created_at=signed_up
    )
    Project.objects.filter(pk=project.pk).update(created_at=founded)
    Membership.objects.filter(project=project).update(created_at=founded)
    Charge.objects.filter(project_id=project.pk).update(starts_at=founded)
    project.refresh_from_db()


def _invite_collaborator(project: Project) -> None:
    joined = min(project.created_at + timedelta(minutes=1), timezone.now())
    account = ensure_account(COLLABORATOR)
    Account.objects.filter(pk=account.pk, created_at__gt=joined).update(
        created_at=project.created_at
    )
    Membership.objects.get_or_create(
        project=project,
        account=account,
        defaults={"role": Membership.Role.COLLABORATOR, "created_at": joined},
    )


def _open(project: Project) -> psycopg.Connection:
    return pgsession.connect(project_dsn(project))


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
    """Take a week's snapshots, a day of readings apart, dated as scheduled."""
    for snapshot in Snapshot.objects.unfinished().filter(project=fleet):
        _take(snapshot.pk)
    while Snapshot.objects.filter(project=fleet).count() < DAYS_OF_BACKUPS:
        fleet.main_database.refresh_from_db()
        due = fleet.main_database.next_snapshot_at
        if due is None or due > now:
            return
        with _open(fleet) as connection:
            newest = connection.execute(
                "SELECT max(time) FROM variable WHERE time <= %s", [due]
            ).fetchone()
            if newest and newest[0]:
                # Include the reading of that very moment, which arrives before the backup begins.
                grow_fleet(connection, start=newest[0] + EVERY, end=due + ON_ITS_WAY)
        for snapshot_id in queue_due(due):
            with backdated_to(due + TAKING):
                _take(snapshot_id)


def _take(snapshot_id: uuid.UUID) -> None:
    take(snapshot_id)
    snapshot = Snapshot.objects.get(pk=snapshot_id)
    if snapshot.state != Snapshot.State.COMPLETED:
        raise DemoError(f"A backup of the seeded project failed: {snapshot.reason}")
    if snapshot.started_at and snapshot.taken_at and snapshot.finished_at:
        late = snapshot.started_at - snapshot.scheduled_for - TAKING
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
            wanted=NewProject(name=RESTORED, accepted_charges=True),
        )
    run_restore(restore.pk)
    restore.refresh_from_db()
    if restore.project is None:
        raise DemoError(f"The seeded restore failed: {restore.reason}")
    return restore.project


def _fill_greenhouse(greenhouse: Project, now: datetime) -> None:
    with _open(greenhouse) as connection:
        device_id, _ = devices.create_device(connection, keys=keyring(), name="Bed 1")
        date_back(connection, greenhouse.created_at)
        readings = [
            {
                "variable": "soil_moisture",
                "value": 31 + number % 7,
                "unit": "%",
                "time": now - timedelta(minutes=6 * number),
            }
            for number in range(48)
        ]
        store_past(connection, device_id, readings)
