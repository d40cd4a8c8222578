"""Whether a worker lives: each writes the time into Redis now and then, and pages look.

Not by a task: the schedule's own would wait behind long restores, and workers would seem dead while
all of them work.
"""

import logging
import time
from datetime import datetime, timedelta
from functools import cache
from typing import Any

from celery import bootsteps
from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from redis import Redis
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

KEY = "backups-portal:pulse"
EVERY_SECONDS = 20.0
# A page does not wait long to learn it.
REDIS_SECONDS = 0.5
STARTED = time.monotonic()


class PulseStep(bootsteps.StartStopStep):
    """A part of each worker: it writes the time, also while all its processes are at work."""

    requires = {"celery.worker.components:Timer"}

    def start(self, parent: Any) -> None:
        note_life()
        self.repeating = parent.timer.call_repeatedly(EVERY_SECONDS, note_life)

    def stop(self, parent: Any) -> None:
        self.repeating.cancel()


def note_life() -> None:
    """Write down that a worker lives now."""
    try:
        _redis().set(KEY, timezone.now().isoformat())
    except RedisError:
        log.warning("could not note that this worker lives", exc_info=True)


def last_sign_of_life() -> datetime | None:
    """When a worker last lived; None where none ever did.

    Raises:
        RedisError: Redis does not answer.
    """
    found = _redis().get(KEY)
    return datetime.fromisoformat(found) if isinstance(found, str) else None


def workers(request: HttpRequest) -> dict[str, Any]:
    """For templates: `workers_trouble`, as `trouble` says it; asked only where it is read."""
    return {"workers_trouble": trouble}


def trouble() -> str:
    """What is wrong: "silent" workers, a "queue" that does not answer, or nothing."""
    patience: timedelta = settings.WORKERS_SILENT_AFTER
    try:
        last = last_sign_of_life()
    except RedisError:
        log.warning("Redis does not answer", exc_info=True)
        return "queue"
    if last is None:
        # Everything may have been started just now.
        return "silent" if time.monotonic() - STARTED > patience.total_seconds() else ""
    return "silent" if timezone.now() - last > patience else ""


@cache
def _redis() -> "Redis":
    return Redis.from_url(
        settings.REDIS_URL,
        decode_responses=True,
        socket_connect_timeout=REDIS_SECONDS,
        socket_timeout=REDIS_SECONDS,
    )
