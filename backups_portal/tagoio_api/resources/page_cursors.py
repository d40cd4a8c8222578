"""Remember where pages of data ended, so that the next begins there.

Clients page by `skip`, the number of records that they have received. Skipping rows costs more with
each page, and a record that is stored or deleted meanwhile moves all later ones by a place: one
would come twice, or never. So the position behind a page is kept for a while, by the number of
records that led to it, and the next request looks it up.
"""

import hashlib
from datetime import datetime

import orjson
from redis.exceptions import RedisError

from backups_portal.lib.redis_client import redis_client
from backups_portal.projectdb.record_filter import Position

SECONDS = 900


def name_of(*parts: str) -> str:
    """Name a reading: its client and what it reads, not how far it is."""
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
    """Note where a page ended; without Redis, the next page skips rows."""
    value = orjson.dumps([position.time.isoformat(), position.number])
    try:
        redis_client().set(_key(reading, skip), value, ex=SECONDS)
    except RedisError:
        return


def _key(reading: str, skip: int) -> str:
    return f"api:page:{reading}:{skip}"
