"""A limit on the requests of each token, where an operator sets one; migrations need none."""

import logging
import time
from functools import cache
from http import HTTPStatus

from django.conf import settings
from redis import Redis
from redis.exceptions import RedisError

from backups_portal.api.envelope import ApiError

log = logging.getLogger(__name__)
SECONDS = 60
REDIS_SECONDS = 0.5


@cache
def _redis() -> Redis:
    return Redis.from_url(
        settings.REDIS_URL, socket_connect_timeout=REDIS_SECONDS, socket_timeout=REDIS_SECONDS
    )


def check_limit(token_id: str) -> None:
    """Count one request of a token; without Redis, nobody is held back.

    Raises:
        ApiError: it has had its requests of this minute.
    """
    most = settings.API_REQUESTS_PER_MINUTE
    if not most:
        return
    now = int(time.time())
    key = f"api:requests:{token_id}:{now // SECONDS}"
    try:
        with _redis().pipeline() as both:
            both.incr(key)
            both.expire(key, 2 * SECONDS)
            count = both.execute()[0]
    except RedisError:
        log.exception("requests cannot be counted")
        return
    if count > most:
        wait = SECONDS - now % SECONDS
        message = f"Too many requests (Retry-After: {wait})"
        raise ApiError(message, HTTPStatus.TOO_MANY_REQUESTS)
