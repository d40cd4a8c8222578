"""Rebuild the block-range indexes of restored projects after publication.

A restore builds them with one range for each block range, which is quick and good enough for rows
in chunk order; later inserts and deletes need several (block_ranges.py). An unreachable server, a
session that blocks the rebuild, and a project that is shut down are all normal, and retried.
"""

import uuid
from datetime import datetime, timedelta

import psycopg

from backups_portal.lib import pgsession
from backups_portal.lib.loggers import get_logger
from backups_portal.projectdb.block_ranges import BusyError, rebuild_block_ranges
from backups_portal.projects.database_dsn import admin_dsn
from backups_portal.projects.models import Project
from restores.models import Restore
from snapshots.schedule.task_limit import limit_seconds

log = get_logger(__name__)

# The delay before the retry of an attempt that did not report success.
AGAIN = timedelta(hours=1)
# The rest wait for the next minute's tick.
AT_A_TIME = 100


def is_wanted(restore_id: uuid.UUID) -> bool:
    """Tell whether the restored project's indexes are still to be rebuilt."""
    return Restore.objects.filter(pk=restore_id, indexes_due_at__isnull=False).exists()


def take_due(now: datetime) -> list[uuid.UUID]:
    """Return restores with due indexes, and put off their next try."""
    due = Restore.objects.filter(indexes_due_at__lte=now, project__state=Project.State.ACTIVE)
    found = list(due.order_by("indexes_due_at").values_list("pk", flat=True)[:AT_A_TIME])
    Restore.objects.filter(pk__in=found, indexes_due_at__lte=now).update(indexes_due_at=now + AGAIN)
    return found


def rebuild_indexes(restore_id: uuid.UUID) -> bool:
    """Rebuild a restored project's indexes; False if work is left to do.

    Idempotent; safe to run concurrently and to kill at any moment.
    """
    restore = (
        Restore.objects.filter(pk=restore_id, indexes_due_at__isnull=False)
        .select_related("project__server")
        .first()
    )
    if restore is None or restore.project is None:
        return True
    project = restore.project
    if project.state != Project.State.ACTIVE:
        return False
    try:
        dsn = admin_dsn(project, statement_seconds=limit_seconds())
        with pgsession.connect(dsn, autocommit=True) as inside:
            rebuilt = rebuild_block_ranges(inside)
    except (psycopg.Error, BusyError) as error:
        log.info("indexes are rebuilt later", project=project.pk, reason=str(error).strip())
        return False
    Restore.objects.filter(pk=restore_id).update(indexes_due_at=None)
    log.info("rebuilt indexes", project=project.pk, indexes=rebuilt)
    return True
