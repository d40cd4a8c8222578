"""Backups that are not there: nothing happens when none is taken, so somebody has to look."""

from datetime import date, datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from backups_portal.audit.models import AuditEvent
from backups_portal.audit.recorder import record
from backups_portal.lib.loggers import get_logger
from backups_portal.projects.due_times import LONGEST_GAP, last_run, local_date, next_run
from backups_portal.projects.models import MainDatabase, Project
from backups_portal.ui.formats import day_and_time
from snapshots.models import Snapshot

log = get_logger(__name__)

BATCH = 500
# A run that begins so much later than planned was missed: whoever waited for it waits no longer.
LATE = timedelta(hours=2)
# A day, and that: the alert BackupMissing counts the same. No two runs of a schedule are further
# apart, unless its time was moved.
OLDEST = timedelta(days=1) + LATE
ACTION = "snapshot.missed"


def find_missed(now: datetime) -> int:
    """Record every running project without a backup of the last day, once a local date; how many.

    One whose backup is under way or due now is not missing, and one that failed was told of
    already.
    """
    told = 0
    last = UUID(int=0)
    while ids := _next_ids(now, last):
        told += sum(_tell(project_id, now) for project_id in ids)
        last = ids[-1]
    return told


def record_missed(project: Project, day: date, reason: str) -> None:
    """Write down that the backup of a local date was missed, and why, in a sentence."""
    log.warning("backup missed", project=project.pk, date=day)
    record(
        action=ACTION,
        actor=None,
        project=project,
        subject=f"Backup of {day}",
        details={"local_date": day.isoformat(), "reason": reason},
    )


def record_late(project: Project, day: date, planned: datetime) -> None:
    """Write down that a run was missed that begins now, because nothing ran when it was due."""
    record_missed(
        project,
        day,
        f"No backup was taken when it was due, on {day_and_time(planned)} UTC: the schedule or "
        "the workers were down. One is being taken now.",
    )


def _next_ids(now: datetime, after: UUID) -> list[UUID]:
    rows = _without_backup(now).filter(pk__gt=after).order_by("pk")
    return list(rows.values_list("pk", flat=True)[:BATCH])


def _without_backup(now: datetime) -> QuerySet[Project]:
    since = now - OLDEST
    of_project = Snapshot.objects.filter(project=OuterRef("pk"))
    known = of_project.filter(
        Q(state__in=Snapshot.UNFINISHED) | Q(state=Snapshot.State.FAILED, scheduled_for__gte=since)
    )
    fresh = Snapshot.objects.good().filter(project=OuterRef("pk"), taken_at__gte=since)
    rows = Project.objects.active().filter(created_at__lt=since, main_database__isnull=False)
    # Due now: a project that has just been started again, say.
    due = Q(main_database__next_snapshot_at__range=(now - LATE, now))
    return rows.exclude(due).exclude(Exists(fresh)).exclude(Exists(known))


@transaction.atomic
def _tell(project_id: UUID, now: datetime) -> bool:
    """Record it unless that was done for this date; the lock makes two scans take turns."""
    rows = MainDatabase.objects.select_for_update(of=("self",), skip_locked=True)
    database = rows.select_related("project").filter(pk=project_id).first()
    if database is None or not _without_backup(now).filter(pk=project_id).exists():
        return False
    newest = Snapshot.objects.good().filter(project=project_id).order_by("-taken_at").first()
    if newest and _is_explained(newest, database, now):
        return False
    day = local_date(now, database.backup_time_zone)
    told = AuditEvent.objects.filter(
        project_id=project_id,
        action=ACTION,
        at__gt=now - 2 * OLDEST,
        details__local_date=day.isoformat(),
    )
    if told.exists():
        return False
    record_missed(database.project, day, _reason(database, newest, now))
    return True


def _is_explained(newest: Snapshot, database: MainDatabase, now: datetime) -> bool:
    """Tell whether a change of the schedule explains how old the newest good backup is.

    Its day has no second one. But where there was a later one that is bad, nothing is explained.
    """
    if newest.taken_at is None or newest.taken_at <= now - LONGEST_GAP - LATE:
        return False
    later = Snapshot.objects.bad().filter(project=database.pk, local_date__gt=newest.local_date)
    return not later.exists() and _next_due(newest, database) > now - LATE


def _next_due(newest: Snapshot, database: MainDatabase) -> datetime:
    """Return the first run of today's schedule that is of a later date than a backup."""
    at, zone = database.backup_time, database.backup_time_zone
    moment = next_run(newest.taken_at or newest.scheduled_for, at, zone)
    while last_run(moment, at, zone).local_date <= newest.local_date:
        moment = next_run(moment, at, zone)
    return moment


def _reason(database: MainDatabase, newest: Snapshot | None, now: datetime) -> str:
    has = (
        f"The newest good backup is of {day_and_time(newest.taken_at)} UTC"
        if newest and newest.taken_at
        else "There is no good backup"
    )
    planned = database.next_snapshot_at
    following = (
        f"the next one is planned for {day_and_time(planned)} UTC"
        if planned and planned > now
        else "the next one is not planned yet"
    )
    return f"{has}, and none is under way; {following}."
