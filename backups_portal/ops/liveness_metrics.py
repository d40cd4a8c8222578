"""Collect metrics of process heartbeats and of the sweep from Redis."""

from collections.abc import Iterator
from datetime import datetime

from prometheus_client.core import Metric
from redis.exceptions import RedisError

from backups_portal.lib import health, liveness
from backups_portal.lib.metric_families import NEVER, NONE, gauge, labelled
from backups_portal.ops import sweep_state
from backups_portal.ops.storage_state import storage_state
from snapshots.storages.configured_storages import has_copies
from snapshots.storages.storage_signs import COPIES, STORAGE, copies_sign, storage_sign

SIGNS = (*liveness.PROCESSES, liveness.SCHEDULE)


def storages() -> dict[str, str]:
    """Return the state of each storage by name."""
    signs = {STORAGE: storage_sign()}
    if has_copies():
        signs[COPIES] = copies_sign()
    try:
        return {name: storage_state(sign) for name, sign in signs.items()}
    except RedisError:
        return dict.fromkeys(signs, health.UNKNOWN)


def signs_and_sweeps(now: datetime) -> Iterator[Metric]:
    """Yield metrics of processes and the sweep; NaN without Redis."""
    doubts: float = NONE
    try:
        last_signs = liveness.last_signs(*SIGNS, liveness.SWEEP)
        *ages, since_sweep = (_age(now, last) for last in last_signs)
        if (found := sweep_state.doubts()) or since_sweep != NEVER:
            doubts = found
    except RedisError:
        ages, since_sweep = [NONE] * len(SIGNS), NONE
    yield gauge(
        "projects_in_doubt",
        "Projects whose backups the sweep could not confirm in storage; NaN: no sweep has finished "
        "yet, or Redis does not respond.",
        doubts,
    )
    yield gauge(
        "sweep_age_seconds",
        "Time since a sweep last finished; +Inf: never; NaN: Redis does not respond.",
        since_sweep,
    )
    yield labelled(
        "sign_of_life_age_seconds",
        "Time since a worker, a worker for short tasks (system) and beat were last seen, and since "
        "a tick of the schedule last finished; +Inf: never; NaN: Redis does not respond.",
        ["of"],
        list(zip(SIGNS, ages, strict=True)),
    )


def _age(now: datetime, last: datetime | None) -> float:
    return (now - last).total_seconds() if last else NEVER
