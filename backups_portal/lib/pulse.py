"""Whether a worker lives: each writes the time into Redis now and then, and pages look.

The schedule and whoever looks at the storage do the same, for monitoring.

Not by a task: the schedule's own would wait behind long restores, and workers would seem dead while
all of them work.
"""

import logging
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
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
WORKER, SCHEDULE, STORAGE, COPIES = "worker", "schedule", "storage", "copies"
EVERY_SECONDS = 20.0
# A page does not wait long to learn it.
REDIS_SECONDS = 0.5
STARTED = time.monotonic()
NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass
class Seen:
    """The newest sign of a worker that a page of this process has read."""

    at: datetime = NEVER

    @property
    def is_fresh(self) -> bool:
        """Whether the next one is still to come, so that Redis has nothing to add."""
        return timedelta(0) <= timezone.now() - self.at < timedelta(seconds=EVERY_SECONDS)


seen = Seen()


class PulseStep(bootsteps.StartStopStep):
    """A part of each worker: it writes the time, also while all its processes are at work."""

    requires = {"celery.worker.components:Timer"}

    def include_if(self, parent: Any) -> bool:
        """A worker that takes short tasks only is none that backups can wait for."""
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
    """Write down that something works now: WORKER, SCHEDULE, STORAGE or COPIES."""
    try:
        _redis().set(_key(sign), timezone.now().isoformat())
    except RedisError:
        log.warning("could not note that the %s works", sign, exc_info=True)


def last_sign(sign: str) -> datetime | None:
    """When something last worked; None where it never did.

    Raises:
        RedisError: Redis does not answer.
    """
    found = _redis().get(_key(sign))
    return datetime.fromisoformat(found) if isinstance(found, str) else None


def is_silent(sign: str, patience: timedelta) -> bool:
    """Whether something has not worked for longer than that; who has just begun waits as long.

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
    """Write down that something does not work, for others to leave it alone for a while."""
    try:
        _redis().set(f"{_key(sign)}:trouble", 1, ex=lasting)
    except RedisError:
        log.warning("could not note that the %s do not work", sign, exc_info=True)


def is_in_trouble(sign: str) -> bool:
    """Whether somebody has written so, and the while is not over."""
    try:
        return bool(_redis().exists(f"{_key(sign)}:trouble"))
    except RedisError:
        log.warning("Redis does not answer", exc_info=True)
        return False


def workers(request: HttpRequest) -> dict[str, Any]:
    """For templates: `workers_trouble`, as `trouble` says it; asked only where it is read."""
    return {"workers_trouble": trouble}


def trouble() -> str:
    """What is wrong: "silent" workers, a "queue" that does not answer, or nothing.

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


@cache
def _redis() -> "Redis":
    return Redis.from_url(
        settings.REDIS_URL,
        decode_responses=True,
        socket_connect_timeout=REDIS_SECONDS,
        socket_timeout=REDIS_SECONDS,
    )
