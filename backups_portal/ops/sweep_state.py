"""The state of the sweep in Redis: its round, and projects in doubt.

Every function raises RedisError if Redis does not answer.
"""

import secrets
from datetime import timedelta
from uuid import UUID

from redis import Redis

from backups_portal.lib.redis_client import TASK_SECONDS, redis_client

KEY = "backups-portal:sweep"
# A message may queue for hours behind backups; after this long it counts as lost.
SILENT_AFTER = timedelta(hours=12)


def begin() -> str | None:
    """Begin a round; return its first mark, or None if one is under way."""
    mark = secrets.token_hex(8)
    return mark if _redis().set(_round(), mark, nx=True, ex=SILENT_AFTER) else None


def is_current(mark: str) -> bool:
    """Tell whether a message with this mark may continue.

    It may not if a later message, or another round, has replaced it.
    """
    return _redis().get(_round()) in (mark.encode(), None)


def go_on() -> str:
    """Return a new mark, so that a redelivery of the last message is dropped."""
    mark = secrets.token_hex(8)
    _redis().set(_round(), mark, ex=SILENT_AFTER)
    return mark


def end() -> None:
    """End the round, once it has visited every project."""
    _redis().delete(_round())


def note_doubt(project_id: UUID, *, is_doubtful: bool) -> None:
    """Record whether a project's stored backups are in doubt."""
    if is_doubtful:
        _redis().sadd(_doubts(), str(project_id))
    else:
        _redis().srem(_doubts(), str(project_id))


def doubts() -> int:
    """Count the projects in doubt."""
    return int(_redis().scard(_doubts()))


def _round() -> str:
    return f"{KEY}:round"


def _doubts() -> str:
    return f"{KEY}:doubts"


def _redis() -> Redis:
    return redis_client(TASK_SECONDS)
