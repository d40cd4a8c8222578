"""The Celery application of the soak's beat, with periods compressed like the days."""

import os
from datetime import timedelta

from backups_portal.celery import app

__all__ = ["app"]

VARIABLE = "SOAK_DAY_SECONDS"
# A minute of a compressed day is too short for each minute's work.
SHORTEST = 5.0


def compressed(period: float | timedelta, day: float) -> float:
    """Return a period's seconds if a day lasts `day` seconds."""
    seconds = period.total_seconds() if isinstance(period, timedelta) else period
    return max(SHORTEST, seconds * day / timedelta(days=1).total_seconds())


if VARIABLE in os.environ:
    for entry in app.conf.beat_schedule.values():
        entry["schedule"] = compressed(entry["schedule"], float(os.environ[VARIABLE]))
