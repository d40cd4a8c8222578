"""Retry of backups whose server or storage was away, once it is back.

A snapshot is retried for an hour (`SNAPSHOT_RETRY_MINUTES`) and then fails. After a longer outage
its day would have no backup, although there is still time for one until the next run is due.
"""

from collections import defaultdict
from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from django.db.models import Q
from redis.exceptions import RedisError

from backups_portal.audit.models import AuditEvent
from backups_portal.lib import liveness
from backups_portal.lib.failure_causes import Cause
from backups_portal.lib.leases import message_counts_for
from backups_portal.lib.loggers import get_logger
from backups_portal.projects.due_times import last_run
from backups_portal.projects.models import Project
from snapshots.models import Snapshot, SnapshotQuerySet
from snapshots.schedule.schedule_tick import turn_offset
from snapshots.storages.storage_signs import back_sign, storage_sign

log = get_logger(__name__)

DAY = timedelta(days=1)
SERVER_BACK = "server.back"
SCHEDULE = [f"project__main_database__{name}" for name in ("backup_time", "backup_time_zone")]


def queue_after_outages(now: datetime) -> list[UUID]:
    """Queue the latest run's snapshots that failed in an outage that is over.

    They keep the local date of their run, also after midnight: what began late does the same.

    One that fails again afterwards is not queued until there has been another outage.

    Returns:
        The snapshots whose turn it is, for the caller to enqueue; a later tick finds the others if
        backups are spread.
    """
    if not _failed(now).exists():
        return []
    rows = _failed(now).filter(_is_over(now)).values_list("pk", "local_date", *SCHEDULE)
    ids = [pk for pk, day, at, zone in rows if day >= last_run(now, at, zone).local_date]
    return _queue(ids, now) if ids else []


def _failed(now: datetime) -> SnapshotQuerySet:
    return Snapshot.objects.never_stored().filter(
        cause__in=(Cause.DATABASE_UNREACHABLE, Cause.STORAGE),
        finished_at__gt=now - DAY,
        project__state=Project.State.ACTIVE,
    )


def _is_over(now: datetime) -> Q:
    """Select snapshots last tried before the server or storage came back.

    Compares when a try began, because a call to something that is away can hang for minutes.
    """
    over = Q(pk__in=[])
    for name, back in _servers_back(now).items():
        over |= Q(cause=Cause.DATABASE_UNREACHABLE, project__server__name=name, started_at__lt=back)
    if storage := _storage_back():
        over |= Q(cause=Cause.STORAGE, started_at__lt=storage)
    return over


@transaction.atomic
def _queue(ids: list[UUID], now: datetime) -> list[UUID]:
    """Queue snapshots that are still failed and that no other tick is queuing."""
    failed = _failed(now).filter(pk__in=ids).select_for_update(skip_locked=True, of=("self",))
    turns: dict[timedelta, list[UUID]] = defaultdict(list)
    for pk, project_id in failed.values_list("pk", "project"):
        log.info("failed snapshot queued again", snapshot=pk)
        turns[turn_offset(project_id)].append(pk)
    for offset, group in turns.items():
        Snapshot.objects.filter(pk__in=group).queue_again(
            lease_until=now + (offset or message_counts_for()), retry_at=now + offset
        )
    return turns[timedelta(0)]


def _servers_back(now: datetime) -> dict[str, datetime]:
    """Return when database servers came back in the last day, by name."""
    events = AuditEvent.objects.filter(project_id=None, action=SERVER_BACK, at__gt=now - DAY)
    return dict(events.order_by("at").values_list("subject", "at"))


def _storage_back() -> datetime | None:
    try:
        return liveness.last_sign(back_sign(storage_sign()))
    except RedisError as error:
        log.warning("Redis does not answer", error=error)
        return None
