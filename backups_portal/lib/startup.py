"""The start of a process: settings that cannot be used end it with their sentence alone."""

import sys

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

# Gunicorn's status of a worker that cannot start, which it does not try again.
WORKER_BOOT_ERROR = 3


def load_settings() -> None:
    """Read the settings; if one is wrong, name it and end the process."""
    try:
        settings.INSTALLED_APPS  # noqa: B018 - reading one reads them all
    except ImproperlyConfigured as error:
        sys.stderr.write(f"backups-portal: {error}\n")
        sys.exit(WORKER_BOOT_ERROR)
