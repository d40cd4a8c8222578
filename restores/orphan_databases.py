"""Unused databases: leftovers of a run, and strays that no row names.

A leftover is one that its run could not drop; its row still names it. A stray was made by a worker
that was killed before it wrote the row: a project's database is made before its row, and a worker
that lost its lease may wake up and make another one. Until a database is settled, its role says
which installation began it, and when.
"""

from datetime import datetime, timedelta
from functools import partial

import psycopg
from django.conf import settings
from django.db.models import Q, QuerySet

from backups_portal.audit.models import AuditEvent
from backups_portal.audit.recorder import record
from backups_portal.lib.loggers import get_logger
from backups_portal.projectdb.provisioning import database_name, drop_database, unsettled
from backups_portal.projects.database_dsn import answering_url
from backups_portal.projects.models import DatabaseServer, Project
from backups_portal.projects.project_creation import Instance, installation, settle_instance
from backups_portal.projects.servers import away_servers
from restores.database_build import drop_build
from restores.models import Build, Proof, Restore
from restores.warm_restores import unwanted

log = get_logger(__name__)

DAY = timedelta(days=1)
AT_A_TIME = 20
DROPPED = "database.stray_dropped"


def drop_leftovers(now: datetime) -> list[str]:
    """Drop databases left over by finished runs; return their names."""
    unwanted().update(is_kept=False)
    return [name for rows in _leftovers(now) for name in _drop_left(rows)]


def has_leftovers(now: datetime) -> bool:
    """Tell whether a finished run left over a database."""
    return any(rows.exists() for rows in [unwanted(), *_leftovers(now)])


def _leftovers(now: datetime) -> list[QuerySet[Build]]:
    # A row whose lease still lasts is left alone: a worker may use its database.
    idle = Q(lease_until=None) | Q(lease_until__lt=now)
    proofs = Proof.objects.exclude(state__in=Proof.UNFINISHED).filter(is_kept=False)
    restores = Restore.objects.filter(state=Restore.State.FAILED)
    # Tried every minute, an unreachable server would keep workers waiting all the time.
    reachable = ~Q(server__in=away_servers(now))
    return [rows.filter(idle, reachable).exclude(prefix="") for rows in (proofs, restores)]


def _drop_left(rows: QuerySet[Build]) -> list[str]:
    dropped = []
    for row in rows.select_related("server")[:AT_A_TIME]:
        if drop_build(row.server, row.prefix):
            # Check the prefix again: a retry of the restore may have begun meanwhile.
            same = type(row)._default_manager.filter(pk=row.pk, prefix=row.prefix)
            same.update(prefix="", database="", server=None)
            log.warning("cleared the leftover of a run", database=row.database)
            dropped.append(row.database)
    return dropped


def drop_strays() -> list[str]:
    """Drop old databases that no row names; return their names.

    Databases that another installation began, or of unknown origin, are left alone.
    """
    return [name for server in DatabaseServer.objects.order_by("id") for name in _drop(server)]


def _drop(server: DatabaseServer) -> list[str]:
    # No task runs longer than its limit.
    older_than = DAY + settings.TASK_LIMIT
    try:
        url = answering_url(server)
        begun = unsettled(url, made_by=installation(), older_than=older_than)
    except psycopg.Error:
        log.warning("could not look for strays", server=server.name, exc_info=True)
        return []
    dropped = []
    for prefix in begun:
        try:
            if _drop_one(server, url, prefix):
                dropped.append(database_name(prefix))
        except psycopg.Error as error:
            log.warning("could not drop %s", database_name(prefix), exc_info=True)
            if error.sqlstate is None:
                # The server no longer answers, and every further drop would wait for it.
                break
    return dropped


def _drop_one(server: DatabaseServer, url: str, prefix: str) -> bool:
    if Project.objects.filter(prefix=prefix).exists():
        settle_instance(Instance(server, prefix, ""))
        return False
    if any(rows.filter(prefix=prefix).exists() for rows in (Restore.objects, Proof.objects)):
        # Its row names it; drop_leftovers drops it.
        return False
    name = database_name(prefix)
    drop_database(url, prefix=prefix, on_dropped=partial(_record_drop, server, name))
    log.warning("dropped a database that no row names", database=name, server=server.name)
    return True


def _record_drop(server: DatabaseServer, name: str) -> None:
    """Record a drop once, even if a killed sweep left the role to the next."""
    if not AuditEvent.objects.filter(project_id=None, action=DROPPED, subject=name).exists():
        record(action=DROPPED, actor=None, subject=name, details={"server": server.name})
