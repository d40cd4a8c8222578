"""Publish what happens in a project to the clients that listen.

They go through Redis, because a listener may be connected to another process than the one in
which something happens. An event has a number that grows; it is kept for a minute, for clients
that come back after a connection was cut, and for scripts that were not there when it was told.
"""

from collections.abc import Sequence
from enum import Enum
from functools import cache

from redis import RedisError
from redis.commands.core import Script

from backups_portal.lib.loggers import get_logger
from backups_portal.lib.redis_client import redis_client
from backups_portal.tagoio_api.envelope import as_json

log = get_logger(__name__)

KEPT_SECONDS = 60
# Of each channel, so that nobody fills the broker.
MAX_KEPT, MAX_KEPT_BYTES = 100, 32_000
NUMBER = "backups-portal:api:event-number"
# One step, so that a client that begins to listen hears an event or finds it among those kept.
# Returns how many processes heard it.
PUBLISH = """
local time = redis.call('TIME')
local number = time[1] * 1000000 + time[2]
local last = tonumber(redis.call('GET', KEYS[4]) or '0')
if number <= last then number = last + 1 end
local text = string.format('%.0f', number)
redis.call('SET', KEYS[4], text)
local event = text .. '\\n' .. ARGV[1]
local heard = redis.call('PUBLISH', KEYS[1], event)
if #ARGV[1] <= tonumber(ARGV[4]) then
  for i = 2, heard == 0 and 3 or 2 do
    redis.call('ZADD', KEYS[i], text, event)
    redis.call('ZREMRANGEBYSCORE', KEYS[i], '-inf', number - ARGV[2] * 1000000)
    redis.call('ZREMRANGEBYRANK', KEYS[i], 0, -1 - ARGV[3])
    redis.call('EXPIRE', KEYS[i], ARGV[2])
  end
end
return heard
"""


class Fate(Enum):
    """What became of an event."""

    HEARD = "heard"
    # Nobody listens; a client that does so within a minute is told.
    KEPT = "kept"
    LOST = "lost"


@cache
def _publish() -> Script:
    return redis_client().register_script(PUBLISH)


def heard(prefix: str, names: Sequence[str]) -> list[str]:
    """List the channels of a project with listeners; none without Redis."""
    try:
        found = redis_client().pubsub_numsub(*(topic(prefix, name) for name in names))
    except RedisError:
        log.exception("nobody knows who listens")
        return []
    return [name for name, (_, count) in zip(names, found, strict=True) if count]


def topic(prefix: str, name: str) -> str:
    """Name the topic of a project's channel; no two projects share one."""
    return f"backups-portal:api:{prefix}:{name}"


def brings_tokens(topic_: str) -> bool:
    """Tell whether the events of a topic hold the token of an analysis."""
    return ":analysis_trigger." in topic_


def kept_key(topic_: str) -> str:
    """Name the sorted set of the events of the last minute, by number."""
    return f"{topic_}:kept"


def unheard_key(topic_: str) -> str:
    """Name the sorted set of the events that no client has heard yet."""
    return f"{topic_}:unheard"


def publish(prefix: str, name: str, channel: str, payload: object) -> Fate:
    """Publish an event to a channel's listeners; without Redis it is lost.

    Args:
        name: The channel, with the id of what it is about.
        channel: What clients call it.
    """
    event = as_json({"channel": channel, "payload": payload})
    to = topic(prefix, name)
    try:
        count = _publish()(
            keys=[to, kept_key(to), unheard_key(to), NUMBER],
            args=[event, KEPT_SECONDS, MAX_KEPT, MAX_KEPT_BYTES],
        )
    except RedisError:
        log.exception("an event was lost", channel=channel)
        return Fate.LOST
    if count:
        return Fate.HEARD
    return Fate.KEPT if len(event) <= MAX_KEPT_BYTES else Fate.LOST
