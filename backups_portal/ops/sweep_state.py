"""The state of the sweep in Redis: where its round is, and which projects it failed on."""

import secrets
from datetime import timedelta
from uuid import UUID

from redis import Redis

from backups_portal.lib.redis_client import TASK_SECONDS, redis_client

KEY = "backups-portal:sweep"
# A message may wait behind backups for hours; after this long it counts as lost.
SILENT_AFTER = timedelta(hours=12)


def begin() -> str | None:
    """Begin a round; return the first message's mark, or None if one is on.

    Raises:
        RedisError: Redis does not answer.
    """
    mark = secrets.token_hex(8)
    return mark if _redis().set(_round(), mark, nx=True, ex=SILENT_AFTER) else None


def is_current(mark: str) -> bool:
    """Tell whether a message with this mark is the round's latest.

    One of a round that was lost is not.

    Raises:
        RedisError: Redis does not answer.
    """
    return _redis().get(_round()) in (mark.encode(), None)


def go_on() -> str:
    """Return a new mark, so that a second delivery of the last message ends.

    Raises:
        RedisError: Redis does not answer.
    """
    mark = secrets.token_hex(8)
    _redis().set(_round(), mark, ex=SILENT_AFTER)
    return mark


def end() -> None:
    """End the round, which has visited every project.

    Raises:
        RedisError: Redis does not answer.
    """
    _redis().delete(_round())


def note_doubt(project_id: UUID, *, is_doubtful: bool) -> None:
    """Remember whether something is wrong with a project's stored backups.

    Raises:
        RedisError: Redis does not answer.
    """
    if is_doubtful:
        _redis().sadd(_doubts(), str(project_id))
    else:
        _redis().srem(_doubts(), str(project_id))


def doubts() -> int:
    """Count the projects in doubt.

    Raises:
        RedisError: Redis does not answer.
    """
    return int(_redis().scard(_doubts()))


def _round() -> str:
    return f"{KEY}:round"


def _doubts() -> str:
    return f"{KEY}:doubts"


def _redis() -> Redis:
    return redis_client(TASK_SECONDS)
