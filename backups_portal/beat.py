"""The Celery application of beat alone: `celery -A backups_portal.beat beat`.

Beat sends tasks by name. Without Django's models, the tasks and what these load, it takes half of
the memory that a worker does before it works.
"""

import os

from celery import Celery
from celery.signals import setup_logging
from django.conf import settings
from django.utils.log import configure_logging

from backups_portal.lib.startup import load_settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "backups_portal.settings")
load_settings()

# Without the fixup that loads all apps of Django.
app = Celery("backups_portal", fixups=[])
app.config_from_object("django.conf:settings", namespace="CELERY")


@setup_logging.connect
def _set_up_logging(**_: object) -> None:
    """Set up logging as Django does where its apps are loaded."""
    configure_logging(settings.LOGGING_CONFIG, settings.LOGGING)
