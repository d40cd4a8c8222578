"""The Celery application of the soak's beat: its periods are compressed as the days are."""

import os
from datetime import timedelta
from typing import Any

from backups_portal.celery import app

__all__ = ["app"]

VARIABLE = "SOAK_DAY_SECONDS"
# A minute of a compressed day is shorter than what is to be done each minute.
SHORTEST = 5.0


def compressed(period: float | timedelta, day: float) -> float:
    """How many seconds a period lasts where a day lasts `day` seconds."""
    seconds = period.total_seconds() if isinstance(period, timedelta) else period
    return max(SHORTEST, seconds * day / timedelta(days=1).total_seconds())


def _compress(entry: dict[str, Any], day: float) -> dict[str, Any]:
    return {**entry, "schedule": compressed(entry["schedule"], day)}


if VARIABLE in os.environ:
    app.conf.beat_schedule = {
        name: _compress(entry, float(os.environ[VARIABLE]))
        for name, entry in app.conf.beat_schedule.items()
    }
