"""Publish a project's events to the clients that listen.

Events go through Redis, because a listener may be connected to another process than the one that
publishes. Event numbers increase. An event is kept for a minute, for clients that reconnect and for
scripts that were not yet listening when it was published.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache

from redis import RedisError
from redis.commands.core import Script

from backups_portal.lib.json_types import JsonObject
from backups_portal.lib.loggers import get_logger
from backups_portal.lib.redis_client import redis_client
from backups_portal.projectdb.ids import new_resource_id
from backups_portal.tagoio_api.envelope import as_json

log = get_logger(__name__)

KEPT_SECONDS = 60
# Limits per channel, so that no client can fill Redis.
MAX_KEPT, MAX_KEPT_BYTES = 100, 32_000
# The inspector shows this many characters of a payload.
MAX_INSPECTED = 10_000
NUMBER = "backups-portal:api:event-number"
# Atomic, so that a client that begins to listen either receives an event or finds it among those
# kept. Returns how many processes received it.
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


@cache
def _publish() -> Script:
    return redis_client().register_script(PUBLISH)


def heard(prefix: str, names: Sequence[str]) -> list[str]:
    """List a project's channels that have listeners; none without Redis."""
    try:
        found = redis_client().pubsub_numsub(*(topic(prefix, name) for name in names))
    except RedisError as error:
        log.error("the listeners of events could not be counted", error=error)
        return []
    return [name for name, (_, count) in zip(names, found, strict=True) if count]


def topic(prefix: str, name: str) -> str:
    """Name the Redis topic of a channel, which no other project shares."""
    return f"backups-portal:api:{prefix}:{name}"


def brings_tokens(topic_: str) -> bool:
    """Tell whether the events of a topic contain the token of an analysis."""
    return ":analysis_trigger." in topic_


def kept_key(topic_: str) -> str:
    """Name the sorted set of the last minute's events, by number."""
    return f"{topic_}:kept"


def unheard_key(topic_: str) -> str:
    """Name the sorted set of the events that no client has received yet."""
    return f"{topic_}:unheard"


def publish(prefix: str, name: str, channel: str, payload: object) -> bool:
    """Publish an event to a channel's listeners; without Redis it is lost.

    Args:
        name: The channel, with the id of its subject.
        channel: The name that clients see.

    Returns:
        Whether a client listens, or one that begins to within a minute will receive the event.
    """
    event = as_json({"channel": channel, "payload": payload})
    to = topic(prefix, name)
    try:
        count = _publish()(
            keys=[to, kept_key(to), unheard_key(to), NUMBER],
            args=[event, KEPT_SECONDS, MAX_KEPT, MAX_KEPT_BYTES],
        )
    except RedisError as error:
        log.error("an event was lost", channel=channel, error=error)
        return False
    return bool(count) or len(event) <= MAX_KEPT_BYTES


def publish_data(prefix: str, device_id: str, items: Sequence[object]) -> None:
    """Publish stored records if a client listens; else just ask Redis."""
    data, inspector = f"device_data.{device_id}", f"device_inspector.{device_id}"
    for name in heard(prefix, [data, inspector]):
        payload = items if name == data else _inspected(device_id, items)
        publish(prefix, name, name, payload)


def _inspected(device_id: str, items: Sequence[object]) -> JsonObject:
    return {
        "connection_id": new_resource_id(),
        "device_id": device_id,
        "title": f"{len(items)} Data Added",
        "content": as_json(items).decode()[:MAX_INSPECTED],
        "timestamp": datetime.now(UTC),
    }
