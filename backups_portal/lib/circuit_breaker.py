"""A circuit breaker: only one caller at a time tries a host that timed out, until it responds.

Otherwise a thousand messages to an unresponsive host would each take ten seconds from the workers
that make backups. (M. Nygard, Release It!)
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from celery.exceptions import SoftTimeLimitExceeded

from backups_portal.lib.redis_client import ask_redis
from backups_portal.lib.safe_http import OutgoingError

KEY = "backups-portal:silent"
# A faster failure holds nobody up.
PATIENCE_SECONDS = 3.0
# Over before the first retry of an unsent message.
PAUSE = timedelta(minutes=1)
# After this long without another failure the circuit closes by itself. Longer than any pause.
FORGOTTEN_AFTER = timedelta(minutes=10)
# Errors of sockets and of libraries that use them; a task's time limit may come first.
SILENCE = (OSError, OutgoingError, SoftTimeLimitExceeded)


class SilentError(OSError):
    """The host did not respond recently; the message is fit for a page."""

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
    """Call a host in the block, unless it timed out recently.

    Args:
        purpose: Keeps separate circuits for one host, by the kind of call and, if one caller must
            not affect others, by caller.
        answers: Errors that carry the host's answer, however late; they do not open the circuit.
        pause: How often one caller may try whether the host answers again.
        longest: Each failed try doubles the pause, up to this one; None keeps it constant.

    Raises:
        SilentError: the circuit is open, and it is not this caller's turn to try.
    """
    doubt = f"{KEY}:{purpose}:{host}"
    turn = f"{doubt}:turn"
    last = ask_redis(lambda redis: redis.get(doubt))
    is_doubted = last is not None
    if is_doubted and not ask_redis(lambda redis: redis.set(turn, 1, nx=True, ex=pause)):
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
            ask_redis(
                lambda redis: redis.set(doubt, int(pause.total_seconds()), ex=FORGOTTEN_AFTER)
            )
            ask_redis(lambda redis: redis.set(turn, 1, ex=pause))
        elif is_doubted:
            ask_redis(lambda redis: redis.delete(doubt, turn))


def _next_pause(last: object, pause: timedelta, longest: timedelta | None) -> timedelta:
    """Return the pause after another failed try.

    Args:
        last: The previous pause in seconds; None: there was none.
    """
    if longest is None or not isinstance(last, bytes):
        return pause
    return min(max(pause, 2 * timedelta(seconds=int(last))), longest)
