"""Wrong passwords: so many in a while, and no more are tried."""

import hashlib
import logging
from http import HTTPStatus

import redis

from backups_portal.api.envelope import ApiError
from backups_portal.api.events import broker

log = logging.getLogger(__name__)

TRIES = 10
SECONDS = 300
TOO_MANY = "Too many wrong passwords. Try again in a few minutes."


def _key(who: str) -> str:
    return f"backups-portal:api:tries:{hashlib.sha256(who.encode()).hexdigest()}"


def check_tries(who: str) -> None:
    """Stop somebody who has been wrong too often; without Redis, nobody is stopped.

    Raises:
        ApiError: there were too many tries.
    """
    try:
        tries = int(broker().get(_key(who)) or 0)
    except redis.RedisError:
        log.exception("wrong passwords cannot be counted")
        return
    if tries >= TRIES:
        raise ApiError(TOO_MANY, HTTPStatus.TOO_MANY_REQUESTS)


def note_try(who: str) -> None:
    """Count one wrong password."""
    try:
        with broker().pipeline() as both:
            both.incr(_key(who))
            both.expire(_key(who), SECONDS)
            both.execute()
    except redis.RedisError:
        log.exception("wrong passwords cannot be counted")


def forget_tries(who: str) -> None:
    """The password was right."""
    try:
        broker().delete(_key(who))
    except redis.RedisError:
        log.exception("wrong passwords cannot be counted")
