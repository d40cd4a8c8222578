"""The Celery application for beat only: `celery -A backups_portal.beat beat`.

Beat sends tasks by name. Without Django's models, the tasks and their imports it needs half the
memory of an idle worker.
"""

import os

from celery import Celery
from celery.signals import setup_logging
from django.conf import settings
from django.utils.log import configure_logging

from backups_portal.lib.startup import load_settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backups_portal.settings")
load_settings()

# Without Celery's Django fixup, which loads all apps.
app = Celery("backups_portal", fixups=[])
app.config_from_object("django.conf:settings", namespace="CELERY")


@setup_logging.connect
def _set_up_logging(**_: object) -> None:
    """Set up logging as Django does when it loads its apps."""
    configure_logging(settings.LOGGING_CONFIG, settings.LOGGING)
