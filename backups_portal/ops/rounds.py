"""What the rounds of the sweep remember in Redis: where one is, and which projects it failed on."""

import secrets
from datetime import timedelta
from functools import cache
from uuid import UUID

from django.conf import settings
from redis import Redis

KEY = "backups-portal:sweep"
# A message may wait behind backups for hours; after so long it is thought lost.
SILENT_AFTER = timedelta(hours=12)
REDIS_SECONDS = 2.0


def begin() -> str | None:
    """Begin a round; its mark for the first message, or None while another goes around.

    Raises:
        RedisError: Redis does not answer.
    """
    mark = secrets.token_hex(8)
    return mark if _redis().set(_round(), mark, nx=True, ex=SILENT_AFTER) else None


def is_current(mark: str) -> bool:
    """Whether a message with this mark is the round's latest; one of a round that was lost is not.

    Raises:
        RedisError: Redis does not answer.
    """
    return _redis().get(_round()) in (mark, None)


def go_on() -> str:
    """A new mark, for the next message: a second delivery of the last one ends there.

    Raises:
        RedisError: Redis does not answer.
    """
    mark = secrets.token_hex(8)
    _redis().set(_round(), mark, ex=SILENT_AFTER)
    return mark


def end() -> None:
    """The round has visited everybody.

    Raises:
        RedisError: Redis does not answer.
    """
    _redis().delete(_round())


def note_doubt(project_id: UUID, *, is_doubtful: bool) -> None:
    """Remember whether something is wrong with a project's stored backups, or their sweep.

    Raises:
        RedisError: Redis does not answer.
    """
    if is_doubtful:
        _redis().sadd(_doubts(), str(project_id))
    else:
        _redis().srem(_doubts(), str(project_id))


def doubts() -> int:
    """Of how many projects that is so.

    Raises:
        RedisError: Redis does not answer.
    """
    return int(_redis().scard(_doubts()))


def _round() -> str:
    return f"{KEY}:round"


def _doubts() -> str:
    return f"{KEY}:doubts"


@cache
def _redis() -> "Redis":
    return Redis.from_url(
        settings.REDIS_URL,
        decode_responses=True,
        socket_connect_timeout=REDIS_SECONDS,
        socket_timeout=REDIS_SECONDS,
    )
