"""Signs of life of the workers: each writes the time into Redis now and then, and pages look.

The schedule and the probes of the storages do the same, for monitoring.

Not by a task: the schedule's own would wait behind long restores, and workers would seem dead while
all of them work.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from celery import bootsteps
from django.conf import settings
from django.http import HttpRequest
from django.utils import timezone
from redis.exceptions import RedisError

from backups_portal.lib.loggers import get_logger
from backups_portal.lib.redis_client import redis_client

log = get_logger(__name__)

KEY = "backups-portal:pulse"
WORKER, SCHEDULE, STORAGE, COPIES = "worker", "schedule", "storage", "copies"
# A round of the sweep that has visited every project.
SWEEP = "sweep"
EVERY_SECONDS = 20.0
STARTED = time.monotonic()
NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass
class Seen:
    """The newest sign of a worker that a page of this process has read."""

    at: datetime = NEVER

    @property
    def is_fresh(self) -> bool:
        """Tell whether the next sign is still to come, so that Redis has no news."""
        return timedelta(0) <= timezone.now() - self.at < timedelta(seconds=EVERY_SECONDS)


seen = Seen()


class PulseStep(bootsteps.StartStopStep):
    """A part of each worker: it writes the time, also while all its processes are at work."""

    requires = {"celery.worker.components:Timer"}

    def include_if(self, parent: Any) -> bool:
        """Leave out workers of short tasks only, for which no backup can wait."""
        return parent.app.conf.task_default_queue in parent.app.amqp.queues.consume_from

    def start(self, parent: Any) -> None:
        note_life()
        self.repeating = parent.timer.call_repeatedly(EVERY_SECONDS, note_life)

    def stop(self, parent: Any) -> None:
        self.repeating.cancel()


def note_life() -> None:
    """Write down that a worker lives now."""
    note(WORKER)


def note(sign: str) -> None:
    """Record that something works: WORKER, SCHEDULE, STORAGE, COPIES, SWEEP."""
    try:
        redis_client().set(_key(sign), timezone.now().isoformat())
    except RedisError:
        log.warning("could not note that the %s works", sign, exc_info=True)


def last_sign(sign: str) -> datetime | None:
    """Return when something last worked, or None if never.

    Raises:
        RedisError: Redis does not answer.
    """
    found = redis_client().get(_key(sign))
    return datetime.fromisoformat(found.decode()) if isinstance(found, bytes) else None


def is_silent(sign: str, patience: timedelta) -> bool:
    """Tell whether something has not worked for longer than `patience`.

    A process that has just begun waits as long.

    Raises:
        RedisError: Redis does not answer.
    """
    return _is_over(last_sign(sign), patience)


def _is_over(last: datetime | None, patience: timedelta) -> bool:
    if last is None:
        # Everything may have been started just now.
        return time.monotonic() - STARTED > patience.total_seconds()
    return timezone.now() - last > patience


def note_trouble(sign: str, lasting: timedelta) -> None:
    """Record that something does not work, so that it is left alone meanwhile."""
    try:
        redis_client().set(f"{_key(sign)}:trouble", 1, ex=lasting)
    except RedisError:
        log.warning("could not note that the %s do not work", sign, exc_info=True)


def is_in_trouble(sign: str) -> bool:
    """Tell whether trouble was recorded, and its time is not over."""
    try:
        return bool(redis_client().exists(f"{_key(sign)}:trouble"))
    except RedisError:
        log.warning("Redis does not answer", exc_info=True)
        return False


def workers(request: HttpRequest) -> dict[str, object]:
    """Give templates `workers_trouble`, which asks only if it is read."""
    return {"workers_trouble": trouble}


def trouble() -> str:
    """Return what is wrong: "silent" workers, a "queue" that is away, or "".

    Every page asks, Redis only once in as long as a worker's next sign takes to come.
    """
    patience: timedelta = settings.WORKERS_SILENT_AFTER
    if seen.is_fresh:
        return ""
    try:
        last = last_sign(WORKER)
    except RedisError:
        log.warning("Redis does not answer", exc_info=True)
        return "queue"
    seen.at = last or NEVER
    return "silent" if _is_over(last, patience) else ""


def _key(sign: str) -> str:
    return KEY if sign == WORKER else f"{KEY}:{sign}"
