"""Databases that no row names, because whoever made them was killed before it could say so.

A project's database is made before its row, and a worker that was overtaken may wake up and make
one that nobody waits for. Each carries on its role who began it and when, until it is settled.
"""

import logging
from datetime import timedelta

import psycopg
from django.conf import settings

from backups_portal.audit.services import record
from backups_portal.projectdb.provisioning import database_name, drop_database, unsettled
from backups_portal.projects.connections import server_url
from backups_portal.projects.models import DatabaseServer, Project
from backups_portal.projects.services import Instance, installation, settle_instance
from restores.models import Proof, Restore

log = logging.getLogger(__name__)

DAY = timedelta(days=1)


def drop_strays() -> list[str]:
    """Drop what was begun long ago and never written down; the names of what is gone.

    What another installation began is left to it, and so is what says nothing of its beginning.
    """
    return [name for server in DatabaseServer.objects.order_by("id") for name in _drop(server)]


def _drop(server: DatabaseServer) -> list[str]:
    # No task is at work for longer than its limit.
    older_than = DAY + settings.TASK_LIMIT
    url = server_url(server)
    try:
        begun = unsettled(url, made_by=installation(), older_than=older_than)
        return [database_name(prefix) for prefix in begun if _drop_one(server, url, prefix)]
    except psycopg.Error:
        log.warning("could not look for strays server=%s", server.name, exc_info=True)
        return []


def _drop_one(server: DatabaseServer, url: str, prefix: str) -> bool:
    if Project.objects.filter(prefix=prefix).exists():
        settle_instance(Instance(server, prefix, ""))
        return False
    if any(rows.filter(prefix=prefix).exists() for rows in (Restore.objects, Proof.objects)):
        # Its row knows; see leftovers.py.
        return False
    drop_database(url, prefix=prefix)
    name = database_name(prefix)
    log.warning("dropped a database that no row names database=%s server=%s", name, server.name)
    record(
        action="database.stray_dropped",
        actor=None,
        subject=name,
        details={"server": server.name},
    )
    return True
