"""Signs of life: workers and beat record the time regularly, for pages and monitoring.

Not by a task: it would queue after long restores, and workers would seem dead while they are all
busy. Each process also touches a file, so that a container's health check costs nothing and needs
no other server.
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
from backups_portal.lib.redis_client import ask_redis, redis_client

log = get_logger(__name__)

KEY = "backups-portal:pulse"
# Workers for backups and restores, workers for short tasks, and beat.
WORKER, SYSTEM, BEAT = "worker", "system", "beat"
PROCESSES = (WORKER, SYSTEM, BEAT)
# A tick, which beat sends and a system worker runs, has completed.
SCHEDULE = "schedule"
# A round of the sweep that has visited every project.
SWEEP = "sweep"
EVERY_SECONDS = 20.0
STARTED = time.monotonic()
NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass
class Seen:
    """The oldest of the processes' latest signs, as last read by this web process."""

    at: datetime = NEVER

    @property
    def is_fresh(self) -> bool:
        """Tell whether the next sign is not due yet, so that Redis has no news."""
        return timedelta(0) <= timezone.now() - self.at < timedelta(seconds=EVERY_SECONDS)


seen = Seen()


class PulseStep(bootsteps.StartStopStep):
    """A worker component that records the time, even while all its processes are busy.

    A worker that consumes both queues gives both signs.
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
    """Record that this process is alive, as WORKER, SYSTEM or BEAT."""
    if settings.LIVENESS_PATH:
        touch(Path(settings.LIVENESS_PATH))
    for sign in signs:
        note(sign)


def touch(path: Path) -> None:
    """Touch a file that monitors watch; log a failing disk and go on."""
    try:
        path.touch()
    except OSError as error:
        log.error(f"{path} cannot be touched: {error.strerror}")


def note(sign: str) -> None:
    """Record that a process, SCHEDULE or SWEEP works."""
    ask_redis(lambda redis: redis.set(_key(sign), timezone.now().isoformat()))


def forget(sign: str) -> None:
    """Delete a recorded sign."""
    ask_redis(lambda redis: redis.delete(_key(sign)))


def last_sign(sign: str) -> datetime | None:
    """Return when something last worked, or None if never.

    Raises:
        RedisError: Redis does not answer.
    """
    return last_signs(sign)[0]


def last_signs(*signs: str) -> list[datetime | None]:
    """Return `last_sign` of several, in one round trip.

    Raises:
        RedisError: Redis does not answer.
    """
    found: Any = redis_client().mget([_key(sign) for sign in signs])
    return [datetime.fromisoformat(one.decode()) if one else None for one in found]


def is_stale(last: datetime | None, patience: timedelta) -> bool:
    """Tell whether the last sign is older than `patience`.

    If there has never been one, count from the start of this process: the whole installation may
    have just started.
    """
    if last is None:
        return time.monotonic() - STARTED > patience.total_seconds()
    return timezone.now() - last > patience


def claim(sign: str, lasting: timedelta) -> bool:
    """Claim a sign until it is forgotten; True also if Redis is down.

    Args:
        lasting: How long the claim of a killed process remains.

    Returns:
        Whether no other process had claimed it.
    """
    try:
        return bool(redis_client().set(_key(sign), 1, ex=lasting, nx=True))
    except RedisError as error:
        log.warning("could not claim the %s", sign, error=error)
        return True


def note_trouble(sign: str, lasting: timedelta) -> None:
    """Record for `lasting` that something fails, so that it is not tried."""
    ask_redis(lambda redis: redis.set(f"{_key(sign)}:trouble", 1, ex=lasting))


def is_in_trouble(sign: str) -> bool:
    """Tell whether trouble was recorded and has not expired."""
    return bool(ask_redis(lambda redis: redis.exists(f"{_key(sign)}:trouble")))


def workers(request: HttpRequest) -> dict[str, object]:
    """Provide `workers_trouble` to templates, evaluated only if it is used."""
    return {"workers_trouble": trouble}


def trouble() -> str:
    """Return "silent" (workers), "schedule", "queue" (Redis is down), or "".

    Every page calls this, but Redis is read only once the next sign is due.
    """
    patience: timedelta = settings.WORKERS_SILENT_AFTER
    if seen.is_fresh:
        return ""
    try:
        signs = dict(zip(PROCESSES, last_signs(*PROCESSES), strict=True))
    except RedisError as error:
        log.warning("Redis does not answer", error=error)
        return "queue"
    seen.at = min(at or NEVER for at in signs.values())
    if is_stale(signs[WORKER], patience):
        return "silent"
    return "schedule" if any(is_stale(signs[sign], patience) for sign in (SYSTEM, BEAT)) else ""


def _key(sign: str) -> str:
    return KEY if sign == WORKER else f"{KEY}:{sign}"
