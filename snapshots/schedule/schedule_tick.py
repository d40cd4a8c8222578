"""Decisions of the minute tick: what is due, and what work was lost.

Nothing here sends a message. The caller enqueues the returned ids after the commit; `heal` finds
those that are lost in between.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet

from backups_portal.lib.leases import message_counts_for
from backups_portal.lib.loggers import get_logger
from backups_portal.projects.due_times import Run, last_run, next_run
from backups_portal.projects.models import MainDatabase, Project
from snapshots.models import Snapshot
from snapshots.schedule.backup_settings import plan_next
from snapshots.schedule.concurrency import full_servers
from snapshots.schedule.missed_backups import LATE, record_late
from snapshots.schedule.replacements import release_dates

log = get_logger(__name__)

BATCH = 500
# A day of 25 hours, and a bit. A plan further ahead follows a day that already has its snapshot or
# that the date line skips, or was made by a clock that ran ahead.
ONE_DAY_AHEAD = timedelta(hours=26)


@dataclass(frozen=True)
class Due:
    """A project whose run is due, and the run after it.

    Attributes:
        since: When it became due; later than its run if a change of the settings made it due.
    """

    project_id: UUID
    run: Run
    since: datetime
    following: datetime

    @property
    def turn(self) -> datetime:
        """Return when its snapshot starts."""
        return self.since + turn_offset(self.project_id)


def queue_due(now: datetime, *, batch: int = BATCH) -> list[UUID]:
    """Queue a snapshot for every active project whose run is due.

    Safe to run concurrently: only one caller claims a project. However many runs were missed, a
    project gets one snapshot, that of its latest run, and none if that run's local date already has
    one, unless that one failed or turned out to be bad.

    Returns:
        The new snapshots whose turn it is, for the caller to enqueue; if backups are spread, a
        later tick finds the others when their turn comes.
    """
    queued: list[UUID] = []
    while True:
        claimed, new = _queue_batch(now, batch)
        queued += new
        if claimed < batch:
            return queued


def heal(now: datetime, *, limit: int = 10_000) -> list[UUID]:
    """Find lost snapshots to enqueue again, and fix plans too far ahead.

    Returns:
        Snapshots whose message or worker was lost, for the caller to enqueue. Each is returned
        once in a while, not every minute, so that a long queue does not grow.
    """
    _replan(now)
    # Without room they need no message: the next snapshot that ends on the server enqueues one.
    crowded = Project.objects.filter(server__in=full_servers(now))
    found = (
        Snapshot.objects.unfinished()
        .exclude(state=Snapshot.State.QUEUED, project__in=crowded)
        .order_by("scheduled_for", "id")
        .send_again(now, limit=limit)
    )
    for snapshot_id in found:
        log.warning("snapshot overlooked, enqueued again", snapshot=snapshot_id)
    return found


def tidy_plan(project_id: UUID, now: datetime) -> None:
    """Give an active project a next run; clear that of one shut down.

    Neither should exist: the first would never be backed up, and every tick would look at the
    second in vain.
    """
    rows = MainDatabase.objects.filter(pk=project_id)
    shut_down = rows.filter(project__state=Project.State.SHUT_DOWN)
    shut_down.filter(next_snapshot_at__isnull=False).update(next_snapshot_at=None)
    forgotten = rows.filter(next_snapshot_at=None, project__state=Project.State.ACTIVE).first()
    if forgotten:
        log.warning("active project had no next run", project=project_id)
        rows.filter(next_snapshot_at=None).update(next_snapshot_at=_due(forgotten, now).following)


def due_rows(now: datetime, batch: int = BATCH) -> QuerySet[MainDatabase]:
    """Lock the settings of projects that are due, in the caller's transaction.

    Rows that another tick has locked are left to it.
    """
    rows = MainDatabase.objects.select_related("project")
    active = rows.filter(project__state=Project.State.ACTIVE)
    due = active.filter(next_snapshot_at__lte=now).order_by("next_snapshot_at")
    return due.select_for_update(skip_locked=True, of=("self",))[:batch]


@transaction.atomic
def _queue_batch(now: datetime, batch: int) -> tuple[int, list[UUID]]:
    rows = list(due_rows(now, batch))
    due = [_due(row, now) for row in rows]
    new = _insert(due, now)
    _note_late_runs(rows, new, now)
    _plan({item.project_id: item.following for item in due})
    begun = {item.project_id for item in due if item.turn <= now}
    return len(rows), [row.id for row in new if row.project_id in begun]


def _note_late_runs(rows: Sequence[MainDatabase], new: Sequence[Snapshot], now: datetime) -> None:
    """Record runs that start much later than planned: their day was missed."""
    dates = {snapshot.project_id: snapshot.local_date for snapshot in new}
    for row in rows:
        planned = row.next_snapshot_at
        if row.pk in dates and planned is not None and planned < now - LATE:
            record_late(row.project, dates[row.pk], planned)


def _due(row: MainDatabase, now: datetime) -> Due:
    at, zone = row.backup_time, row.backup_time_zone
    if not row.has_known_zone:
        log.warning("time zone unknown, UTC taken instead", project=row.pk, zone=zone)
    run = last_run(now, at, zone)
    since = max(run.at, row.next_snapshot_at or run.at)
    return Due(row.pk, run, since, next_run(now, at, zone))


def _insert(due: Sequence[Due], now: datetime) -> list[Snapshot]:
    """Insert snapshots; return those whose project and date had none yet."""
    rows = [_queued(item, now) for item in due]
    Snapshot.objects.bulk_create(rows, ignore_conflicts=True)
    ids = [row.id for row in rows]
    new = set(Snapshot.objects.filter(id__in=ids).values_list("id", flat=True))
    for row in rows:
        if row.id in new:
            log.info("snapshot queued", project=row.project_id, snapshot=row.id)
        else:
            log.info("local date has a snapshot %s", row.local_date, project=row.project_id)
    kept = {row.project_id for row in rows if row.id in new}
    others = [item for item in due if item.project_id not in kept]
    again = [*_queue_failed(others, now), *_replace_bad(others, now)]
    return [*(row for row in rows if row.id in new), *again]


def _queued(item: Due, now: datetime) -> Snapshot:
    return Snapshot(
        project_id=item.project_id,
        local_date=item.run.local_date,
        scheduled_for=item.since,
        lease_until=_waits_until(item, now),
    )


def _replace_bad(due: Sequence[Due], now: datetime) -> list[Snapshot]:
    """Queue snapshots for local dates whose stored one turned out to be bad."""
    released = release_dates({item.project_id: item.run.local_date for item in due})
    rows = [_queued(item, now) for item in due if item.project_id in released]
    return Snapshot.objects.bulk_create(rows)


def _queue_failed(due: Sequence[Due], now: datetime) -> list[Snapshot]:
    """Queue failed snapshots again if their date's run was moved to later."""
    queued = []
    never_stored = Snapshot.objects.never_stored()
    # One query shows that most projects have none.
    found = never_stored.filter(project__in=[item.project_id for item in due])
    dates = set(found.values_list("project_id", "local_date"))
    for item in due:
        if (item.project_id, item.run.local_date) not in dates:
            continue
        failed = never_stored.filter(
            project=item.project_id, local_date=item.run.local_date, scheduled_for__lt=item.since
        )
        if failed.queue_again(scheduled_for=item.since, lease_until=_waits_until(item, now)):
            log.info("failed snapshot queued again", project=item.project_id)
            queued.append(
                Snapshot.objects.get(
                    project=item.project_id, local_date=item.run.local_date, is_replaced=False
                )
            )
    return queued


def _waits_until(due: Due, now: datetime) -> datetime:
    return due.turn if due.turn > now else now + message_counts_for()


def turn_offset(project_id: UUID) -> timedelta:
    """Return a project's fixed delay from the due time to the start."""
    spread = int(settings.SNAPSHOT_SPREAD.total_seconds())
    return timedelta(seconds=project_id.int % spread if spread else 0)


def _plan(following: dict[UUID, datetime]) -> None:
    # One statement for the batch: bulk_update would write a CASE with a branch per row.
    with connection.cursor() as cursor:
        cursor.execute(
            """UPDATE projects_maindatabase SET next_snapshot_at = planned.at
               FROM unnest(%s::uuid[], %s::timestamptz[]) AS planned (project_id, at)
               WHERE projects_maindatabase.project_id = planned.project_id""",
            [list(following), list(following.values())],
        )


@transaction.atomic
def _replan(now: datetime) -> None:
    rows = MainDatabase.objects.filter(next_snapshot_at__gt=now + ONE_DAY_AHEAD)
    # Furthest first, because plans that turn out to be right are the nearest ones.
    rows = rows.select_related("project").order_by("-next_snapshot_at")
    following = {}
    for row in rows.select_for_update(skip_locked=True, of=("self",))[:BATCH]:
        first = plan_next(row, now)
        if first and row.next_snapshot_at and first < row.next_snapshot_at:
            following[row.pk] = first
            log.warning("planned too far ahead", project=row.pk, at=row.next_snapshot_at)
    if following:
        _plan(following)
