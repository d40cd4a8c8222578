"""Find missed backups, which leave no trace unless something looks."""

from datetime import date, datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from backups_portal.audit.models import AuditEvent
from backups_portal.audit.recorder import record
from backups_portal.lib.loggers import get_logger
from backups_portal.projects.due_times import MAX_GAP, last_run, local_date, next_run
from backups_portal.projects.models import MainDatabase, Project
from backups_portal.ui.formats import day_and_time
from snapshots.models import Snapshot

log = get_logger(__name__)

BATCH = 500
# A run that starts this much later than planned counts as missed, even though it is taken.
LATE = timedelta(hours=2)
# A day and the delay above, as the alert BackupMissing counts. Runs of a schedule are never further
# apart unless its time was moved.
OLDEST = timedelta(days=1) + LATE
ACTION = "snapshot.missed"


def find_missed(now: datetime) -> int:
    """Record running projects without a recent backup; return how many.

    Each is recorded once per local date. A backup that is running or due now is not missing, and a
    failed one was reported already.
    """
    recorded = 0
    last = UUID(int=0)
    while ids := _next_ids(now, last):
        recorded += sum(_record_once(project_id, now) for project_id in ids)
        last = ids[-1]
    return recorded


def record_missed(project: Project, day: date, reason: str) -> None:
    """Record that a local date's backup was missed, with the reason."""
    log.warning("backup missed", project=project.pk, date=day)
    record(
        action=ACTION,
        actor=None,
        project=project,
        subject=f"Backup of {day}",
        details={"local_date": day.isoformat(), "reason": reason},
    )


def record_late(project: Project, day: date, planned: datetime) -> None:
    """Record a missed run that starts only now, as nothing ran when due."""
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
    # Due now, for example because the project has just been started again.
    due = Q(main_database__next_snapshot_at__range=(now - LATE, now))
    return rows.exclude(due).exclude(Exists(fresh)).exclude(Exists(known))


@transaction.atomic
def _record_once(project_id: UUID, now: datetime) -> bool:
    """Record it once per date; the lock makes two scans take turns."""
    rows = MainDatabase.objects.select_for_update(of=("self",), skip_locked=True)
    database = rows.select_related("project").filter(pk=project_id).first()
    if database is None or not _without_backup(now).filter(pk=project_id).exists():
        return False
    newest = Snapshot.objects.good().filter(project=project_id).order_by("-taken_at").first()
    if newest and _is_explained(newest, database, now):
        return False
    day = local_date(now, database.backup_time_zone)
    earlier = AuditEvent.objects.filter(
        project_id=project_id,
        action=ACTION,
        at__gt=now - 2 * OLDEST,
        details__local_date=day.isoformat(),
    )
    if earlier.exists():
        return False
    record_missed(database.project, day, _reason(database, newest, now))
    return True


def _is_explained(newest: Snapshot, database: MainDatabase, now: datetime) -> bool:
    """Tell whether a changed schedule explains the newest good backup's age.

    A day gets only one backup. But if a later one exists that is bad, nothing is explained.
    """
    if newest.taken_at is None or newest.taken_at <= now - MAX_GAP - LATE:
        return False
    later = Snapshot.objects.bad().filter(project=database.pk, local_date__gt=newest.local_date)
    return not later.exists() and _next_due(newest, database) > now - LATE


def _next_due(newest: Snapshot, database: MainDatabase) -> datetime:
    """Return the current schedule's first run on a later date than a backup's."""
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
