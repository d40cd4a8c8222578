"""Readiness for load balancers: the state of everything that backups need."""

from datetime import timedelta

from django.conf import settings
from redis.exceptions import RedisError

from backups_portal.lib import health, liveness
from backups_portal.lib.health import OK, UNAVAILABLE, UNKNOWN
from backups_portal.ops.liveness_metrics import SIGNS
from backups_portal.ops.storage_state import storage_state
from snapshots.storages.storage_signs import STORAGE, storage_sign


def parts() -> dict[str, str]:
    """Return the state of servers, processes and the storage."""
    return health.servers() | _from_redis()


def _from_redis() -> dict[str, str]:
    """Return the states that Redis holds: of processes and the storage."""
    try:
        found = dict(zip(SIGNS, liveness.last_signs(*SIGNS), strict=True))
        storage = storage_state(storage_sign())
    except RedisError:
        return dict.fromkeys((*SIGNS, STORAGE), UNKNOWN)
    states = {
        sign: UNAVAILABLE if liveness.is_stale(last, _patience(sign)) else OK
        for sign, last in found.items()
    }
    if UNAVAILABLE in (states[liveness.BEAT], states[liveness.SYSTEM]):
        # Ticks cannot finish without these two, so the schedule itself is not to blame.
        states[liveness.SCHEDULE] = UNKNOWN
    return {**states, STORAGE: storage}


def _patience(sign: str) -> timedelta:
    is_tick = sign == liveness.SCHEDULE
    patience: timedelta = settings.SIGNS_SILENT_AFTER if is_tick else settings.WORKERS_SILENT_AFTER
    return patience
