"""The Redis clients of a process: one for each timeout that callers need."""

from collections.abc import Callable
from functools import cache

from django.conf import settings
from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.exceptions import RedisError

from backups_portal.lib.loggers import get_logger

log = get_logger(__name__)

# Pages and API requests wait no longer than this.
REQUEST_SECONDS = 0.5
# Tasks and monitoring probes can wait longer.
TASK_SECONDS = 2.0


def redis_client(max_seconds: float = REQUEST_SECONDS) -> Redis:
    """Return this process's Redis client, which threads share.

    Args:
        max_seconds: The timeout of connecting and of each answer.
    """
    return _client(settings.REDIS_URL, max_seconds)


def ask_redis(question: Callable[[Redis], object]) -> object:
    """Ask Redis; return None, as for a missing key, if it does not answer."""
    try:
        return question(redis_client())
    except RedisError as error:
        log.warning("Redis does not answer", error=error)
        return None


def async_redis_client(max_seconds: float) -> AsyncRedis:
    """Make a Redis client for the running event loop."""
    return AsyncRedis.from_url(
        settings.REDIS_URL,
        socket_connect_timeout=max_seconds,
        socket_timeout=max_seconds,
        health_check_interval=10,
    )


@cache
def _client(url: str, max_seconds: float) -> Redis:
    return Redis.from_url(url, socket_connect_timeout=max_seconds, socket_timeout=max_seconds)
