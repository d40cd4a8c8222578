"""So many tries in a while, and no more: counted before they are made, so that a burst is too.

In Redis, for all processes together; while it does not answer, in each process for itself.
"""

import hashlib
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

from django.conf import settings
from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import MovingWindowRateLimiter
from redis.exceptions import RedisError

log = logging.getLogger(__name__)

REDIS_SECONDS = 0.5
PREFIX = "backups-portal:throttle"
Result = TypeVar("Result")


@dataclass(frozen=True)
class Limit:
    """At most `tries` in any `seconds`, of each who it is asked for."""

    name: str
    tries: int
    seconds: int

    def take(self, who: str) -> int:
        """Count a try; 0 where it may be made, else the seconds until one may.

        A try that may not be made does not count: who waits as told, may.
        """
        key = _key(who)
        if _ask(lambda limiter: limiter.hit(self._item, self.name, key)):
            return 0
        return self.wait(who)

    def wait(self, who: str) -> int:
        """Seconds until a try may be made; 0 where one may now. Counts nothing."""
        key = _key(who)
        found = _ask(lambda limiter: limiter.get_window_stats(self._item, self.name, key))
        return 0 if found.remaining else max(1, math.ceil(found.reset_time - time.time()))

    def forget(self, who: str) -> None:
        """The tries until now count no more."""
        key = _key(who)
        _ask(lambda limiter: limiter.clear(self._item, self.name, key))

    @property
    def _item(self) -> RateLimitItemPerSecond:
        return RateLimitItemPerSecond(self.tries, self.seconds, namespace=PREFIX)


def _key(who: str) -> str:
    """Of one length, whatever a visitor has typed."""
    return hashlib.sha256(who.encode("utf-8", "surrogatepass")).hexdigest()


def _ask(question: Callable[[MovingWindowRateLimiter], Result]) -> Result:
    try:
        return question(_shared(settings.REDIS_URL))
    except RedisError:
        log.exception("tries are counted in this process only, as Redis does not answer")
        return question(_own())


@cache
def _shared(url: str) -> MovingWindowRateLimiter:
    return MovingWindowRateLimiter(
        RedisStorage(url, socket_connect_timeout=REDIS_SECONDS, socket_timeout=REDIS_SECONDS)
    )


@cache
def _own() -> MovingWindowRateLimiter:
    return MovingWindowRateLimiter(MemoryStorage())
