"""Backups that failed while a server or the storage was away, once that is back.

A snapshot is tried again for an hour (`SNAPSHOT_RETRY_MINUTES`) and then has failed. After a longer
outage its day would have no backup, though there is time for one.
"""

from datetime import datetime, timedelta
from uuid import UUID

from django.db import transaction
from redis.exceptions import RedisError

from backups_portal.audit.models import AuditEvent
from backups_portal.lib import liveness
from backups_portal.lib.failure_causes import Cause
from backups_portal.lib.leases import message_counts_for
from backups_portal.lib.loggers import get_logger
from backups_portal.projects.due_times import local_date
from backups_portal.projects.models import Project
from snapshots.models import Snapshot, SnapshotQuerySet
from snapshots.storages.storage_signs import back_sign, storage_sign

log = get_logger(__name__)

DAY = timedelta(days=1)
SERVER_BACK = "server.back"


def queue_failed(now: datetime) -> list[UUID]:
    """Queue the snapshots of this local day that failed before what they lacked came back.

    A snapshot that fails again afterwards is not queued until there was another outage.

    Returns:
        The snapshots, for the caller to enqueue.
    """
    if not _failed(now).exists():
        return []
    servers, storage = _servers_back(now), _storage_back()
    return _queue(now, servers, storage) if servers or storage else []


def _failed(now: datetime) -> SnapshotQuerySet:
    return Snapshot.objects.never_stored().filter(
        cause__in=(Cause.DATABASE_UNREACHABLE, Cause.STORAGE),
        finished_at__gt=now - DAY,
        project__state=Project.State.ACTIVE,
    )


@transaction.atomic
def _queue(now: datetime, servers: dict[str, datetime], storage: datetime | None) -> list[UUID]:
    rows = _failed(now).select_related("project__server", "project__main_database")
    ids = []
    for row in rows.select_for_update(skip_locked=True, of=("self",)):
        is_storage = row.cause == Cause.STORAGE
        back = storage if is_storage else servers.get(row.project.server.name)
        is_over = back is not None and row.finished_at is not None and row.finished_at < back
        zone = row.project.main_database.backup_time_zone
        if is_over and row.local_date == local_date(now, zone):
            log.info("failed snapshot queued again", project=row.project_id, snapshot=row.pk)
            ids.append(row.pk)
    Snapshot.objects.filter(pk__in=ids).queue_again(now, lease_until=now + message_counts_for())
    return ids


def _servers_back(now: datetime) -> dict[str, datetime]:
    """Return when database servers came back in the last day, by name."""
    events = AuditEvent.objects.filter(project_id=None, action=SERVER_BACK, at__gt=now - DAY)
    return dict(events.order_by("at").values_list("subject", "at"))


def _storage_back() -> datetime | None:
    try:
        return liveness.last_sign(back_sign(storage_sign()))
    except RedisError:
        log.warning("Redis does not answer", exc_info=True)
        return None
