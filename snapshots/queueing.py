"""What the minute tick decides: which projects are due, and which work was overlooked.

Nothing here sends a message. The caller enqueues the ids it gets, after the commit; what is lost
between the two is found again by `heal`.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import connection, transaction
from django.db.models import QuerySet

from backups_portal.projects.models import MainDatabase, Project
from snapshots.models import Snapshot
from snapshots.schedule import Run, last_run, next_run

log = logging.getLogger(__name__)

BATCH = 500
# No schedule lies further ahead: a day, a day skipped because it has its snapshot, a day lost at
# the date line. What does was planned by a clock that ran ahead.
FURTHEST_RUN = timedelta(days=4)


@dataclass(frozen=True)
class Due:
    """A project whose run has come, and the run after it."""

    project_id: UUID
    run: Run
    following: datetime


def message_counts_for() -> timedelta:
    """How long a message may wait in the broker before it is thought lost."""
    return 5 * settings.LEASE


def queue_due(now: datetime, *, batch: int = BATCH) -> list[UUID]:
    """Queue a snapshot for every active project whose run has come.

    Several may run at once: each project is claimed by one of them. However many runs were
    missed, a project gets one snapshot, that of its latest run, and none where that run's local
    date has one already.

    Returns:
        The new snapshots whose turn it is, for the caller to enqueue; where backups are spread, a
        later tick finds the others when theirs has come.
    """
    queued: list[UUID] = []
    while True:
        claimed, new = _queue_batch(now, batch)
        queued += new
        if claimed < batch:
            return queued


def heal(now: datetime, *, limit: int = 10_000) -> list[UUID]:
    """Find snapshots whose message or worker was lost, and plans made by a clock that ran ahead.

    Returns:
        Snapshots for the caller to enqueue again; their turn comes once in a while, not every
        minute, so that a long queue is not made longer.
    """
    _replan(now)
    found = (
        Snapshot.objects.unfinished()
        .order_by("scheduled_for", "id")
        .send_again(now, counts_for=message_counts_for(), limit=limit)
    )
    for snapshot_id in found:
        log.warning("snapshot overlooked, enqueued again snapshot=%s", snapshot_id)
    return found


def tidy_plan(project_id: UUID, now: datetime) -> None:
    """Plan an active project that has no next run, and take the plan of one that is shut down.

    Neither should be found: the first would never be backed up, the second is looked at by every
    tick in vain.
    """
    rows = MainDatabase.objects.filter(pk=project_id)
    shut_down = rows.filter(project__state=Project.State.SHUT_DOWN)
    shut_down.filter(next_snapshot_at__isnull=False).update(next_snapshot_at=None)
    forgotten = rows.filter(next_snapshot_at=None, project__state=Project.State.ACTIVE).first()
    if forgotten:
        log.warning("active project had no next run project=%s", project_id)
        rows.filter(next_snapshot_at=None).update(next_snapshot_at=_due(forgotten, now).following)


def due_rows(now: datetime, batch: int = BATCH) -> QuerySet[MainDatabase]:
    """The settings of projects whose run has come, locked for the caller's transaction.

    Those that another tick has locked are left to it.
    """
    rows = MainDatabase.objects.select_related("project")
    active = rows.filter(project__state=Project.State.ACTIVE)
    due = active.filter(next_snapshot_at__lte=now).order_by("next_snapshot_at")
    return due.select_for_update(skip_locked=True, of=("self",))[:batch]


@transaction.atomic
def _queue_batch(now: datetime, batch: int) -> tuple[int, list[UUID]]:
    rows = list(due_rows(now, batch))
    due = [_due(row, now) for row in rows]
    ids = _insert(due, now)
    _plan({item.project_id: item.following for item in due})
    return len(rows), ids


def _due(row: MainDatabase, now: datetime) -> Due:
    at, zone = row.backup_time, row.backup_time_zone
    try:
        return Due(row.pk, last_run(now, at, zone), next_run(now, at, zone))
    except ValueError:
        # A zone that the database of zones gave up must not stop everybody else's backups.
        log.exception("time zone unknown, UTC taken instead project=%s zone=%s", row.pk, zone)
        return Due(row.pk, last_run(now, at, "UTC"), next_run(now, at, "UTC"))


def _insert(due: Sequence[Due], now: datetime) -> list[UUID]:
    """Insert the snapshots; those whose project and local date exist are left out."""
    rows = [
        Snapshot(
            project_id=item.project_id,
            local_date=item.run.local_date,
            scheduled_for=item.run.at,
            lease_until=_turn(item) if _turn(item) > now else now + message_counts_for(),
        )
        for item in due
    ]
    begun = {item.project_id for item in due if _turn(item) <= now}
    Snapshot.objects.bulk_create(rows, ignore_conflicts=True)
    ids = [row.id for row in rows]
    new = set(Snapshot.objects.filter(id__in=ids).values_list("id", flat=True))
    for row in rows:
        if row.id in new:
            log.info("snapshot queued project=%s snapshot=%s", row.project_id, row.id)
        else:
            log.info("local date has a snapshot project=%s %s", row.project_id, row.local_date)
    return [row.id for row in rows if row.id in new and row.project_id in begun]


def _turn(due: Due) -> datetime:
    """When a project's snapshot begins: always as long after its run, by its id."""
    spread = int(settings.SNAPSHOT_SPREAD.total_seconds())
    return due.run.at + timedelta(seconds=due.project_id.int % spread if spread else 0)


def _plan(following: dict[UUID, datetime]) -> None:
    # One statement for the batch: bulk_update writes a CASE of as many branches as rows.
    with connection.cursor() as cursor:
        cursor.execute(
            """UPDATE projects_maindatabase SET next_snapshot_at = planned.at
               FROM unnest(%s::uuid[], %s::timestamptz[]) AS planned (project_id, at)
               WHERE projects_maindatabase.project_id = planned.project_id""",
            [list(following), list(following.values())],
        )


@transaction.atomic
def _replan(now: datetime) -> None:
    rows = MainDatabase.objects.filter(next_snapshot_at__gt=now + FURTHEST_RUN)
    following = {}
    for row in rows.select_for_update(skip_locked=True)[:BATCH]:
        following[row.pk] = _due(row, now).following
        log.warning("planned too far ahead project=%s at=%s", row.pk, row.next_snapshot_at)
    if following:
        _plan(following)
