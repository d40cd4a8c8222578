"""Limit how many snapshots read one server at the same time, and one project: one."""

from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Count, F

from backups_portal.lib.db_time import database_now
from backups_portal.lib.leases import message_counts_for
from backups_portal.lib.loggers import get_logger
from backups_portal.projects.models import DatabaseServer, Project
from snapshots.models import Snapshot

log = get_logger(__name__)

# The next snapshot that ends enqueues one that waits for room; this is the fallback.
WAIT = timedelta(minutes=1)


@transaction.atomic
def claim(snapshot_id: UUID) -> UUID | None:
    """Claim a snapshot if its server has room.

    No other snapshot of its project may be under way.

    Returns:
        The ticket, or None if the snapshot is done, claimed by another worker, early, or must wait.
    """
    now = database_now()
    # The lock serialises claims, so that each is counted; a server without a limit needs none.
    limited = DatabaseServer.objects.filter(max_snapshots__isnull=False)
    server = limited.select_for_update(no_key=True).filter(projects__snapshots=snapshot_id).first()
    if server and server.pk in full_servers(now, asking=snapshot_id):
        _wait(snapshot_id, now)
        log.info("no room on the server", server=server.name, snapshot=snapshot_id)
        return None
    if _has_other_under_way(snapshot_id):
        _wait(snapshot_id, now)
        log.info("another snapshot of its project is being taken", snapshot=snapshot_id)
        return None
    unfinished = Snapshot.objects.all().without_early(now)
    fresh = {"started_at": now, "rows_done": 0, "rows_total": None, "bytes_done": 0}
    return unfinished.claim(snapshot_id, lease=settings.LEASE, **fresh)


def _has_other_under_way(snapshot_id: UUID) -> bool:
    """Tell whether another snapshot of the project runs; lock the project.

    One that is made up for may still be read when the next one is due. Both would forget the same
    marks of changes, and the later one would fail.
    """
    rows = Project.objects.select_for_update(no_key=True, of=("self",))
    project = rows.filter(snapshots=snapshot_id).first()
    running = Snapshot.objects.filter(project=project, state=Snapshot.State.RUNNING)
    others = running.exclude(pk=snapshot_id)
    return others.exclude(pk__in=others.unleased()).exists()


def _wait(snapshot_id: UUID, now: datetime) -> None:
    # A snapshot with a retry time already has its next turn.
    waiting = Snapshot.objects.filter(pk=snapshot_id, state=Snapshot.State.QUEUED)
    waiting.exclude(retry_at__gt=now).update(lease_until=now + WAIT)


def full_servers(now: datetime, *, asking: UUID | None = None) -> set[int]:
    """Return the database servers that have no room for another snapshot now.

    Args:
        asking: The snapshot that asks for room, which is not counted.
    """
    running = Snapshot.objects.filter(
        state=Snapshot.State.RUNNING,
        lease_until__gt=now,
        project__server__max_snapshots__isnull=False,
    ).exclude(pk=asking)
    counted = running.values("project__server").annotate(taken=Count("pk"))
    full = counted.filter(taken__gte=F("project__server__max_snapshots"))
    return set(full.values_list("project__server", flat=True))


@transaction.atomic
def next_in_line(snapshot_id: UUID) -> list[UUID]:
    """Return a waiting snapshot to enqueue after one that has ended.

    If two end at the same time, each enqueues another one.
    """
    now = database_now()
    server = DatabaseServer.objects.filter(
        projects__snapshots=snapshot_id, max_snapshots__isnull=False
    ).first()
    if server is None:
        return []
    # A snapshot whose turn or retry comes later, or whose message is in flight, has a later
    # lease_until.
    waiting = Snapshot.objects.filter(
        project__server=server, state=Snapshot.State.QUEUED, lease_until__lte=now + WAIT
    ).exclude(retry_at__gt=now)
    first = waiting.exclude(pk=snapshot_id).order_by("scheduled_for", "id")
    called = list(
        first.select_for_update(skip_locked=True, of=("self",)).values_list("id", flat=True)[:1]
    )
    Snapshot.objects.filter(pk__in=called).update(lease_until=now + message_counts_for())
    return called
