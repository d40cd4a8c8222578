"""The Celery application of workers and of code that sends tasks; see beat.py for beat's."""

import gc
import os

from celery import Celery, Task, states
from celery.signals import (
    setup_logging,
    task_postrun,
    task_prerun,
    worker_before_create_process,
)
from django.db import close_old_connections, connections

from backups_portal.lib.liveness import PulseStep
from backups_portal.lib.startup import load_settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backups_portal.settings")
load_settings()

app = Celery("backups_portal")


@setup_logging.connect
def _keep_logging(**_: object) -> None:
    """Keep Celery from setting up logging, as Django has done so."""


@worker_before_create_process.connect
def _share_memory(**_: object) -> None:
    """Exempt shared memory from collection, which would copy it."""
    gc.collect()
    gc.freeze()


@task_prerun.connect
@task_postrun.connect
def _keep_connections(sender: Task, state: str | None = states.SUCCESS, **_: object) -> None:
    """Keep connections for the next task, as Django does for the next request.

    Celery would open one per task (`CELERY_DB_REUSE_MAX` in the settings). Connections of a failed
    task are closed, since a time limit may interrupt a query and leave one that only looks usable.
    """
    if sender.request.is_eager:
        return
    if state == states.SUCCESS:
        close_old_connections()
    else:
        connections.close_all()


app.config_from_object("django.conf:settings", namespace="CELERY")
app.steps["worker"].add(PulseStep)
app.autodiscover_tasks(
    [
        "backups_portal.accounts",
        "snapshots",
        "restores",
        "backups_portal.objectives",
        "backups_portal.transfers",
        "backups_portal.notifications",
        "backups_portal.ops",
        "backups_portal.tagoio_api",
    ]
)
