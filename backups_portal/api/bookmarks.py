"""Where the pages of a reading ended, so that the next one goes on exactly there.

Clients page by `skip`, the number of records they have received. Counted off anew for every page,
that costs more with each one, and a record that somebody else stores or deletes meanwhile moves
all later ones by a place: a record would come twice, or never. So the position behind a page is
remembered for a while under how many records led to it, and asked for by whoever reads on.
"""

import hashlib
from datetime import datetime
from functools import cache

import orjson
from django.conf import settings
from redis import Redis
from redis.exceptions import RedisError

from backups_portal.projectdb.selection import Position

SECONDS = 900
REDIS_SECONDS = 0.5


@cache
def _redis() -> Redis:
    return Redis.from_url(
        settings.REDIS_URL, socket_connect_timeout=REDIS_SECONDS, socket_timeout=REDIS_SECONDS
    )


def name_of(*parts: str) -> str:
    """The name of a reading: of who reads what, without how far it is."""
    return hashlib.sha256(orjson.dumps(parts)).hexdigest()[:32]


def recall(reading: str, skip: int) -> Position | None:
    """Where the page ended behind which `skip` records have been read; None where nobody knows."""
    try:
        found = _redis().get(_key(reading, skip))
    except RedisError:
        return None
    if not isinstance(found, bytes):
        return None
    moment, number = orjson.loads(found)
    return Position(datetime.fromisoformat(moment), number)


def remember(reading: str, skip: int, position: Position) -> None:
    """Note where a page ended; without Redis, the next page is counted off."""
    value = orjson.dumps([position.time.isoformat(), position.number])
    try:
        _redis().set(_key(reading, skip), value, ex=SECONDS)
    except RedisError:
        return


def _key(reading: str, skip: int) -> str:
    return f"api:page:{reading}:{skip}"
