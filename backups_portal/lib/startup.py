"""The start of a process: settings that cannot be used end it with their sentence alone."""

import gc
import sys

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

# Gunicorn's status of a worker that cannot start, which it does not try again.
WORKER_BOOT_ERROR = 3
# Tag of Django's checks that are about settings, which operators write.
SETTINGS = "settings"


def load_settings() -> None:
    """Read the settings; if one is wrong, name it and end the process."""
    relax_garbage_collection()
    try:
        settings.INSTALLED_APPS  # noqa: B018 - reading one reads them all
    except ImproperlyConfigured as error:
        sys.stderr.write(f"backups-portal: {error}\n")
        sys.exit(WORKER_BOOT_ERROR)


def relax_garbage_collection() -> None:
    """Look for cycles seldom, since what a process loads stays.

    Looking every 700 objects took a sixth of each start, and made one page in twenty a quarter
    slower.
    """
    gc.set_threshold(50_000, 20, 50)
