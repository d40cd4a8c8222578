"""How many snapshots read one database server at a time: a claim that finds no room waits."""

import logging
from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db import transaction
from django.db.models import Count, F, Q
from django.utils import timezone

from backups_portal.lib.leases import message_counts_for
from backups_portal.projects.models import DatabaseServer
from snapshots.models import Snapshot

log = logging.getLogger(__name__)

# Who finds no room is called by the next that ends; this is for the case that nobody does.
WAIT = timedelta(minutes=1)


@transaction.atomic
def claim(snapshot_id: UUID) -> UUID | None:
    """Take a snapshot that waits or whose worker was lost, if its server has room for one more.

    Returns:
        The lease, or None where it is done, somebody else's, too early, or has to wait.
    """
    now = timezone.now()
    # The lock makes those who count one after the other; a server without a limit has none.
    limited = DatabaseServer.objects.filter(max_snapshots__isnull=False)
    server = limited.select_for_update(no_key=True).filter(projects__snapshots=snapshot_id).first()
    if server and server.pk in full_servers(now, but=snapshot_id):
        # What is tried again later has its time already.
        waiting = Snapshot.objects.filter(pk=snapshot_id, state=Snapshot.State.QUEUED)
        waiting.exclude(retry_at__gt=now).update(lease_until=now + WAIT)
        log.info("no room on the server server=%s snapshot=%s", server.name, snapshot_id)
        return None
    too_early = Q(state=Snapshot.State.QUEUED, retry_at__gt=now)
    return Snapshot.objects.exclude(too_early).claim(
        snapshot_id,
        states=list(Snapshot.UNFINISHED),
        to=Snapshot.State.RUNNING,
        lease=settings.LEASE,
    )


def full_servers(now: datetime, *, but: UUID | None = None) -> set[int]:
    """The database servers from which as many snapshots are being taken as they allow.

    Args:
        but: A snapshot that takes no room, because it is the one that asks for it.
    """
    running = Snapshot.objects.filter(
        state=Snapshot.State.RUNNING,
        lease_until__gt=now,
        project__server__max_snapshots__isnull=False,
    ).exclude(pk=but)
    counted = running.values("project__server").annotate(taken=Count("pk"))
    full = counted.filter(taken__gte=F("project__server__max_snapshots"))
    return set(full.values_list("project__server", flat=True))


@transaction.atomic
def next_in_line(snapshot_id: UUID) -> list[UUID]:
    """Who may wait for the room that this snapshot had, one at most; the caller enqueues it now.

    Of two that end at once, each gets another.
    """
    now = timezone.now()
    server = DatabaseServer.objects.filter(
        projects__snapshots=snapshot_id, max_snapshots__isnull=False
    ).first()
    if server is None:
        return []
    # Those whose turn is later, who are tried again later, or whose message is on its way, have a
    # later lease_until.
    waiting = Snapshot.objects.filter(
        project__server=server, state=Snapshot.State.QUEUED, lease_until__lte=now + WAIT
    ).exclude(retry_at__gt=now)
    first = waiting.exclude(pk=snapshot_id).order_by("scheduled_for", "id")
    called = list(
        first.select_for_update(skip_locked=True, of=("self",)).values_list("id", flat=True)[:1]
    )
    Snapshot.objects.filter(pk__in=called).update(lease_until=now + message_counts_for())
    return called
