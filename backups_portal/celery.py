"""The Celery application: workers and beat start from here."""

import os

from celery import Celery
from celery.signals import setup_logging

from backups_portal.lib.pulse import PulseStep

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backups_portal.settings")

app = Celery("backups_portal")


@setup_logging.connect
def _keep_logging(**_: object) -> None:
    """Django has set it up: that somebody listens keeps Celery from doing it again."""


app.config_from_object("django.conf:settings", namespace="CELERY")
app.steps["worker"].add(PulseStep)
app.autodiscover_tasks(
    [
        "backups_portal.accounts",
        "snapshots",
        "restores",
        "backups_portal.transfers",
        "backups_portal.notifications",
        "backups_portal.ops",
        "backups_portal.api",
    ]
)
