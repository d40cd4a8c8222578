"""A circuit breaker: a host that timed out is asked by one caller at a time until it responds.

A thousand messages to one that does not answer would take ten seconds each from the workers that
take backups. (M. Nygard, Release It!)
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta

from celery.exceptions import SoftTimeLimitExceeded
from redis import Redis
from redis.exceptions import RedisError

from backups_portal.lib.loggers import get_logger
from backups_portal.lib.redis_client import redis_client
from backups_portal.lib.safe_http import OutgoingError

log = get_logger(__name__)

KEY = "backups-portal:silent"
# A failure that comes sooner holds nobody up.
PATIENCE_SECONDS = 3.0
# Over before a message that was not sent is tried for the first time again.
PAUSE = timedelta(minutes=1)
# After so long without a call, callers need not take turns any more. Longer than any pause.
FORGOTTEN_AFTER = timedelta(minutes=10)
# Of sockets, and of the libraries that use them; the time limit of a task may come first.
SILENCE = (OSError, OutgoingError, SoftTimeLimitExceeded)


class SilentError(OSError):
    """The host was silent a short while ago; fit for a page."""

    def __init__(self) -> None:
        super().__init__("Its server did not answer a short while ago.")


@contextmanager
def unless_silent(
    purpose: str,
    host: str,
    *,
    answers: tuple[type[Exception], ...] = (),
    pause: timedelta = PAUSE,
    longest: timedelta | None = None,
) -> Iterator[None]:
    """Ask a host inside, unless it was silent a short while ago.

    Args:
        purpose: What it is asked for, and by whom if others would suffer: only there it counts as
            silent.
        answers: Errors that say what the host has answered, however late.
        pause: Once in so long one caller tries whether it answers again.
        longest: Each try in vain doubles the pause, up to this one; None leaves it as it is.

    Raises:
        SilentError: it was, and this is not the caller who tries.
    """
    doubt = f"{KEY}:{purpose}:{host}"
    turn = f"{doubt}:turn"
    last = _ask(lambda redis: redis.get(doubt))
    is_doubted = last is not None
    if is_doubted and not _ask(lambda redis: redis.set(turn, 1, nx=True, ex=pause)):
        raise SilentError
    began, is_silent = time.monotonic(), False
    try:
        yield
    except answers:
        raise
    except SILENCE:
        is_silent = time.monotonic() - began > PATIENCE_SECONDS
        raise
    finally:
        if is_silent:
            pause = _next_pause(last, pause, longest)
            _ask(lambda redis: redis.set(doubt, int(pause.total_seconds()), ex=FORGOTTEN_AFTER))
            _ask(lambda redis: redis.set(turn, 1, ex=pause))
        elif is_doubted:
            _ask(lambda redis: redis.delete(doubt, turn))


def _next_pause(last: object, pause: timedelta, longest: timedelta | None) -> timedelta:
    """Return the pause after another try in vain; `last` is the one before it, in seconds."""
    if longest is None or not isinstance(last, bytes):
        return pause
    return min(max(pause, 2 * timedelta(seconds=int(last))), longest)


def _ask(question: Callable[[Redis], object]) -> object:
    """Ask Redis; None while it does not answer, as if nothing was known of the host."""
    try:
        return question(redis_client())
    except RedisError:
        log.warning("Redis does not answer", exc_info=True)
        return None
