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
        return 0 if self._ask(MovingWindowRateLimiter.hit, who) else self.wait(who)

    def wait(self, who: str) -> int:
        """Return the seconds until a try is allowed, or 0, without counting one."""
        found = self._ask(MovingWindowRateLimiter.get_window_stats, who)
        return 0 if found.remaining else max(1, math.ceil(found.reset_time - time.time()))

    def forget(self, who: str) -> None:
        """Forget the tries so far."""
        self._ask(MovingWindowRateLimiter.clear, who)

    def _ask(self, question: Callable[..., Result], who: str) -> Result:
        item = RateLimitItemPerSecond(self.tries, self.seconds, namespace=PREFIX)
        # A digest has a fixed length, whatever a visitor has typed.
        key = hashlib.sha256(who.encode("utf-8", "surrogatepass")).hexdigest()
        try:
            return question(_shared(redis_client()), item, self.name, key)
        except RedisError as error:
            log.error("Redis does not answer, so this process counts tries alone", error=error)
            return question(_own(), item, self.name, key)


@cache
def _shared(client: Redis) -> MovingWindowRateLimiter:
    # The pool's address is used instead of this one.
    storage = RedisStorage("redis://", connection_pool=client.connection_pool)
    return MovingWindowRateLimiter(storage)


@cache
def _own() -> MovingWindowRateLimiter:
    return MovingWindowRateLimiter(MemoryStorage())
