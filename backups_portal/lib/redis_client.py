"""The clients of Redis that a process has: one for each time that its caller can wait."""

from functools import cache

from django.conf import settings
from redis import Redis
from redis.asyncio import Redis as AsyncRedis

# A page, or a request to the API, does not wait longer to learn something.
REQUEST_SECONDS = 0.5
# A task and a probe of monitoring can.
TASK_SECONDS = 2.0


def redis_client(max_seconds: float = REQUEST_SECONDS) -> Redis:
    """Return this process's client of Redis, which threads share.

    Args:
        max_seconds: For a connection, and for each answer.
    """
    return _client(settings.REDIS_URL, max_seconds)


def async_redis_client(max_seconds: float) -> AsyncRedis:
    """Make a client of Redis for the loop that runs."""
    return AsyncRedis.from_url(
        settings.REDIS_URL,
        socket_connect_timeout=max_seconds,
        socket_timeout=max_seconds,
        health_check_interval=10,
    )


@cache
def _client(url: str, max_seconds: float) -> Redis:
    return Redis.from_url(url, socket_connect_timeout=max_seconds, socket_timeout=max_seconds)
