"""Rebuild the block-range indexes of restored projects, behind their publication.

A restore builds them with one range for each block range, which is quick and good enough for rows
in the order of their chunks; what is added and deleted later needs several (block_ranges.py). A
server that is away, a session that holds it up, a project that is shut down: all of that is normal,
and the next try comes.
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

# When the next try comes after one that has not said that it succeeded.
AGAIN = timedelta(hours=1)
# The others have their turn in the next minute.
AT_A_TIME = 100


def is_wanted(restore_id: uuid.UUID) -> bool:
    """Tell whether the restored project's indexes are still to be rebuilt."""
    return Restore.objects.filter(pk=restore_id, indexes_due_at__isnull=False).exists()


def take_due(now: datetime) -> list[uuid.UUID]:
    """Return restores whose indexes are due, and let each have an hour until the next try."""
    due = Restore.objects.filter(indexes_due_at__lte=now, project__state=Project.State.ACTIVE)
    found = list(due.order_by("indexes_due_at").values_list("pk", flat=True)[:AT_A_TIME])
    Restore.objects.filter(pk__in=found, indexes_due_at__lte=now).update(indexes_due_at=now + AGAIN)
    return found


def rebuild_indexes(restore_id: uuid.UUID) -> bool:
    """Rebuild the indexes of a restored project; tell whether nothing is left to do.

    Safe to repeat, to race, and to be killed at any moment.
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
