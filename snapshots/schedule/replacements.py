"""Replacement of a backup that turns out to be bad, once, on the same day.

Only once, because the cause may make the next one bad too: that one then keeps the date, and the
next day has its own backup.
"""

from collections.abc import Mapping
from datetime import date, datetime
from uuid import UUID

from backups_portal.lib.loggers import get_logger
from backups_portal.projects.due_times import last_run
from backups_portal.projects.models import MainDatabase, Project
from snapshots.models import Snapshot
from snapshots.schedule.backup_settings import plan_next

log = get_logger(__name__)


def lock_schedule(project_id: UUID) -> MainDatabase | None:
    """Lock a running project's schedule, in the caller's transaction.

    It must be locked before the backup's row, as the tick does, or the two would deadlock.
    """
    rows = MainDatabase.objects.select_for_update(of=("self",))
    return rows.filter(pk=project_id, project__state=Project.State.ACTIVE).first()


def plan_replacement(database: MainDatabase, snapshot: Snapshot, now: datetime) -> None:
    """Make a project due earlier to replace its current date's bad backup.

    Due now, or at the date's new time if the schedule has been moved to later. Not if a good backup
    was taken after it, as can happen when the time zone changes.
    """
    at_hand = last_run(now, database.backup_time, database.backup_time_zone).local_date
    is_replaceable = Snapshot.objects.replaceable().filter(pk=snapshot.pk).exists()
    if snapshot.local_date < at_hand or not is_replaceable:
        return
    good = Snapshot.objects.good().filter(project=database.pk)
    if good.filter(taken_at__gt=snapshot.taken_at).exists():
        return
    moment = now if snapshot.local_date == at_hand else plan_next(database, now)
    rows = MainDatabase.objects.filter(pk=database.pk, next_snapshot_at__gt=moment)
    if rows.update(next_snapshot_at=moment):
        log.info("bad backup will be replaced", project=database.pk, at=moment)


def release_dates(days: Mapping[UUID, date]) -> set[UUID]:
    """Mark bad backups as replaced, which frees their local dates.

    Args:
        days: By project, the date to free.

    Returns:
        The projects that had a bad backup on their date.
    """
    bad = Snapshot.objects.replaceable().filter(project__in=days, local_date__in=set(days.values()))
    # Locked, so that a proof that is just passing comes before or after all of this.
    rows = bad.select_for_update(of=("self",)).values_list("pk", "project_id", "local_date")
    found = {pk: project_id for pk, project_id, day in rows if days[project_id] == day}
    Snapshot.objects.filter(pk__in=found).update(is_replaced=True)
    return set(found.values())
