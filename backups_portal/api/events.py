"""Events: what happens in a project, told to whoever listens.

They go through Redis, because a listener may be connected to another process than the one in
which something happens. Nothing is kept: who does not listen misses it.
"""

import logging
from collections.abc import Sequence
from functools import cache
from typing import Any

import redis
from django.conf import settings

from backups_portal.api.envelope import as_json

log = logging.getLogger(__name__)

SECONDS = 5
# What is only told is not waited for.
TELLING_SECONDS = 0.5


@cache
def broker() -> "redis.Redis":
    """The connections of this process."""
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=SECONDS, socket_connect_timeout=SECONDS
    )


@cache
def _teller() -> "redis.Redis":
    return redis.Redis.from_url(
        settings.REDIS_URL, socket_timeout=TELLING_SECONDS, socket_connect_timeout=TELLING_SECONDS
    )


def heard(prefix: str, names: Sequence[str]) -> list[str]:
    """Those of a project's channels that somebody listens to; without Redis, none."""
    try:
        found = _teller().pubsub_numsub(*(topic(prefix, name) for name in names))
    except redis.RedisError:
        log.exception("nobody knows who listens")
        return []
    return [name for name, (_, count) in zip(names, found, strict=True) if count]


def topic(prefix: str, name: str) -> str:
    """Where the events of a project's channel go; no other project's can have this name."""
    return f"backups-portal:api:{prefix}:{name}"


def publish(prefix: str, name: str, channel: str, payload: Any) -> None:
    """Tell an event to the listeners of a channel; without Redis, nobody hears it.

    Args:
        name: The channel, with the id of what it is about.
        channel: What clients call it.
    """
    event = as_json({"channel": channel, "payload": payload})
    try:
        _teller().publish(topic(prefix, name), event)
    except redis.RedisError:
        log.exception("an event was lost channel=%s", channel)
