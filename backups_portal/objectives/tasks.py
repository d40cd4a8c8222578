"""The task that beat enqueues once a minute."""

from django.utils import timezone

from backups_portal.celery import app
from backups_portal.objectives.breach_scan import find_breaches


@app.task
def check_objectives() -> None:
    """Record objectives that are no longer met, or met again."""
    find_breaches(timezone.now())
