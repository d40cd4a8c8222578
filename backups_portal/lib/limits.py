"""Rate limits, counted before each try so that a burst counts in full.

Tries are counted in Redis for all processes together, or per process while Redis does not answer.
"""

import hashlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TypeVar

from limits import RateLimitItemPerSecond
from limits.storage import MemoryStorage, RedisStorage
from limits.strategies import MovingWindowRateLimiter
from redis import Redis
from redis.exceptions import RedisError

from backups_portal.lib.loggers import get_logger
from backups_portal.lib.redis_client import redis_client

log = get_logger(__name__)

PREFIX = "backups-portal:throttle"
Result = TypeVar("Result")


@dataclass(frozen=True)
class Limit:
    """At most `tries` in any `seconds`, for each caller."""

    name: str
    tries: int
    seconds: int

    def take(self, who: str) -> int:
        """Count a try; return 0 if it is allowed, else the seconds to wait.

        A refused try does not count: a caller who waits that long succeeds.
        """
        key = _key(who)
        if _ask(lambda limiter: limiter.hit(self._item, self.name, key)):
            return 0
        return self.wait(who)

    def wait(self, who: str) -> int:
        """Return the seconds until a try is allowed, or 0, without counting one."""
        key = _key(who)
        found = _ask(lambda limiter: limiter.get_window_stats(self._item, self.name, key))
        return 0 if found.remaining else max(1, math.ceil(found.reset_time - time.time()))

    def forget(self, who: str) -> None:
        """Forget the tries so far."""
        key = _key(who)
        _ask(lambda limiter: limiter.clear(self._item, self.name, key))

    @property
    def _item(self) -> RateLimitItemPerSecond:
        return RateLimitItemPerSecond(self.tries, self.seconds, namespace=PREFIX)


def _key(who: str) -> str:
    """Return a key of fixed length, whatever a visitor has typed."""
    return hashlib.sha256(who.encode("utf-8", "surrogatepass")).hexdigest()


def _ask(question: Callable[[MovingWindowRateLimiter], Result]) -> Result:
    try:
        return question(_shared(redis_client()))
    except RedisError:
        log.exception("Redis does not answer, so this process counts tries alone")
        return question(_own())


@cache
def _shared(client: Redis) -> MovingWindowRateLimiter:
    # The pool's address is used instead of this one.
    storage = RedisStorage("redis://", connection_pool=client.connection_pool)
    return MovingWindowRateLimiter(storage)


@cache
def _own() -> MovingWindowRateLimiter:
    return MovingWindowRateLimiter(MemoryStorage())
