"""Signs of life: workers and beat write the time now and then, and pages and monitoring look.

Not by a task: the schedule's own would wait behind long restores, and workers would seem dead while
all of them work. Each process also touches a file of its own, so that the health check of a
container costs nothing and asks nobody.
"""

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
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
# Workers that take backups and restores, those that take short tasks, and beat.
WORKER, SYSTEM, BEAT = "worker", "system", "beat"
PROCESSES = (WORKER, SYSTEM, BEAT)
# A tick, which beat sends and a system worker does, has come to its end.
SCHEDULE = "schedule"
# A round of the sweep that has visited every project.
SWEEP = "sweep"
EVERY_SECONDS = 20.0
STARTED = time.monotonic()
NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass
class Seen:
    """The oldest of the newest signs of all processes that a page of this process has read."""

    at: datetime = NEVER

    @property
    def is_fresh(self) -> bool:
        """Tell whether the next sign is still to come, so that Redis has no news."""
        return timedelta(0) <= timezone.now() - self.at < timedelta(seconds=EVERY_SECONDS)


seen = Seen()


class PulseStep(bootsteps.StartStopStep):
    """A part of each worker: it writes the time, also while all its processes are at work.

    A worker that takes from both queues gives both signs.
    """

    requires = {"celery.worker.components:Timer"}

    def start(self, parent: Any) -> None:
        taken = parent.app.amqp.queues.consume_from
        of_queue = {
            parent.app.conf.task_default_queue: WORKER,
            settings.SYSTEM_QUEUE: SYSTEM,
        }
        signs = [sign for queue, sign in of_queue.items() if queue in taken]
        note_process(*signs)
        self.repeating = parent.timer.call_repeatedly(EVERY_SECONDS, note_process, signs)

    def stop(self, parent: Any) -> None:
        self.repeating.cancel()


def note_process(*signs: str) -> None:
    """Record that this process lives, as what it is: WORKER, SYSTEM, BEAT."""
    if settings.LIVENESS_PATH:
        Path(settings.LIVENESS_PATH).touch()
    for sign in signs:
        note(sign)


def note(sign: str) -> None:
    """Record that something works: a process, SCHEDULE, SWEEP."""
    try:
        redis_client().set(_key(sign), timezone.now().isoformat())
    except RedisError:
        log.warning("could not note that the %s works", sign, exc_info=True)


def forget(sign: str) -> None:
    """Take back what was recorded."""
    try:
        redis_client().delete(_key(sign))
    except RedisError:
        log.warning("could not forget the %s", sign, exc_info=True)


def last_sign(sign: str) -> datetime | None:
    """Return when something last worked, or None if never.

    Raises:
        RedisError: Redis does not answer.
    """
    return last_signs(sign)[0]


def last_signs(*signs: str) -> list[datetime | None]:
    """Return the same of several, in one question.

    Raises:
        RedisError: Redis does not answer.
    """
    found: Any = redis_client().mget([_key(sign) for sign in signs])
    return [datetime.fromisoformat(one.decode()) if one else None for one in found]


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
    """Return what is wrong: "silent" workers, no "schedule", a "queue" that is away, or "".

    Every page asks, Redis only once in as long as a worker's next sign takes to come.
    """
    patience: timedelta = settings.WORKERS_SILENT_AFTER
    if seen.is_fresh:
        return ""
    try:
        signs = dict(zip(PROCESSES, last_signs(*PROCESSES), strict=True))
    except RedisError:
        log.warning("Redis does not answer", exc_info=True)
        return "queue"
    seen.at = min(at or NEVER for at in signs.values())
    if _is_over(signs[WORKER], patience):
        return "silent"
    return "schedule" if any(_is_over(signs[sign], patience) for sign in (SYSTEM, BEAT)) else ""


def _key(sign: str) -> str:
    return KEY if sign == WORKER else f"{KEY}:{sign}"
