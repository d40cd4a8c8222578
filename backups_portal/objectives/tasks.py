"""The task that beat sends once a minute."""

from django.utils import timezone

from backups_portal.celery import app
from backups_portal.objectives.breach_scan import find_breaches


@app.task
def check_objectives() -> None:
    """Find objectives that are no longer met, and those that are met again."""
    find_breaches(timezone.now())
