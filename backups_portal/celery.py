"""The Celery application: workers and beat start from here."""

import os

from celery import Celery

from backups_portal.lib.pulse import PulseStep

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backups_portal.settings")

app = Celery("backups_portal")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.steps["worker"].add(PulseStep)
app.autodiscover_tasks(
    [
        "snapshots",
        "restores",
        "backups_portal.transfers",
        "backups_portal.ops",
        "backups_portal.api",
    ]
)
