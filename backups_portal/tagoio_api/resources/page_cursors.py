"""Remember where pages of data ended, so that the next one begins there.

Clients page by `skip`, the number of records that they have received. Skipping rows costs more with
each page, and a record that is stored or deleted meanwhile shifts all later ones, so that a client
would get one twice or miss one. Therefore the position after a page is kept for a while under the
number of records up to it, and the next request looks it up.
"""

import hashlib
from datetime import datetime

import orjson
from redis.exceptions import RedisError

from backups_portal.lib.redis_client import redis_client
from backups_portal.projectdb.record_filter import Position

SECONDS = 900


def name_of(*parts: str) -> str:
    """Name a reading by its client and query, whatever page it is at."""
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()[:32]


def recall(reading: str, skip: int) -> Position | None:
    """Look up where a reading ended after `skip` records; None if unknown."""
    try:
        found = redis_client().get(_key(reading, skip))
    except RedisError:
        return None
    if not isinstance(found, bytes):
        return None
    moment, number = orjson.loads(found)
    return Position(datetime.fromisoformat(moment), number)


def remember(reading: str, skip: int, position: Position) -> None:
    """Store where a page ended; without Redis, the next page skips rows."""
    value = orjson.dumps([position.time.isoformat(), position.number])
    try:
        redis_client().set(_key(reading, skip), value, ex=SECONDS)
    except RedisError:
        return


def _key(reading: str, skip: int) -> str:
    return f"api:page:{reading}:{skip}"
