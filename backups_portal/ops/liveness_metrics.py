"""Collect figures of what gives signs of life, and of the sweep, which Redis keeps."""

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
    """Return the state of each storage by its name."""
    signs = {STORAGE: storage_sign()}
    if has_copies():
        signs[COPIES] = copies_sign()
    try:
        return {name: storage_state(sign) for name, sign in signs.items()}
    except RedisError:
        return dict.fromkeys(signs, health.UNKNOWN)


def signs_and_sweeps(now: datetime) -> Iterator[Metric]:
    """Yield what is known of the processes and of the sweep; NaN: Redis does not tell."""
    doubts: float = NONE
    try:
        ages = [_age(now, last) for last in liveness.last_signs(*SIGNS, liveness.SWEEP)]
        *ages, since_sweep = ages
        if (found := sweep_state.doubts()) or since_sweep != NEVER:
            doubts = found
    except RedisError:
        ages, since_sweep = [NONE] * len(SIGNS), NONE
    yield gauge(
        "projects_in_doubt",
        "Projects of which the sweep could not make sure that their backups are there; NaN: no "
        "sweep has looked at all of them yet, or Redis does not tell.",
        doubts,
    )
    yield gauge(
        "sweep_age_seconds",
        "Since when no sweep has come to its end; +Inf: none ever has; NaN: Redis does not tell.",
        since_sweep,
    )
    yield labelled(
        "sign_of_life_age_seconds",
        "Since when no worker, no worker of short tasks (system) and no beat has been seen, and no "
        "tick of the schedule has come to its end; +Inf: never; NaN: Redis does not tell.",
        ["of"],
        list(zip(SIGNS, ages, strict=True)),
    )


def _age(now: datetime, last: datetime | None) -> float:
    return (now - last).total_seconds() if last else NEVER
