"""The state of a storage by its latest probes, kept in Redis.

A storage is down if its probes have failed or hung for some minutes. Without recent probes its
state is unknown rather than down, because then beat or the worker that probes it has failed.
"""

from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone
from redis.exceptions import RedisError

from backups_portal.lib import liveness
from backups_portal.lib.health import OK, UNAVAILABLE, UNKNOWN
from backups_portal.lib.loggers import get_logger
from snapshots.storages.storage_signs import back_sign

log = get_logger(__name__)


# A hanging probe is killed before this time, and beat sends the next one after it.
PROBE_COUNTS_FOR = timedelta(seconds=55)


def probe(sign: str, works: Callable[[], bool]) -> None:
    """Probe a storage, unless another process does, and record the result.

    With two beats, each would take the other's unfinished probe for an outage.

    Args:
        sign: One of `storage_signs`.
        works: Performs the probe.
    """
    under_way = f"{sign}:under way"
    if not liveness.claim(under_way, PROBE_COUNTS_FOR):
        log.info("another probe is under way", sign=sign)
        return
    try:
        _probe(sign, works)
    finally:
        liveness.forget(under_way)


def _probe(sign: str, works: Callable[[], bool]) -> None:
    """Probe a storage, and record its beginning and result.

    A hanging probe is killed, and records no end. If the storage works but was not known to, this
    moment is recorded, too, for the backups that failed before it (`recovered_outages`): if Redis
    was emptied or beat was down, nothing recorded the beginning of an outage.
    """
    tried, failing = _tried(sign), _failing(sign)
    was_working = False
    try:
        last, since = liveness.last_signs(tried, failing)
        is_known = last is not None and not _is_old(last)
        was_working = is_known and since is None
        if since is None or not is_known:
            liveness.note(failing)
    except RedisError as error:
        log.warning("Redis does not answer", error=error)
    liveness.note(tried)
    if works():
        liveness.forget(failing)
        if not was_working:
            liveness.note(back_sign(sign))


def storage_state(sign: str) -> str:
    """Return OK, UNAVAILABLE, or UNKNOWN.

    Raises:
        RedisError: Redis does not answer.
    """
    last, since = liveness.last_signs(_tried(sign), _failing(sign))
    if last is None or _is_old(last):
        return UNKNOWN
    return UNAVAILABLE if since and _is_old(since) else OK


def _is_old(moment: datetime) -> bool:
    patience: timedelta = settings.SIGNS_SILENT_AFTER
    return timezone.now() - moment > patience


def _tried(sign: str) -> str:
    return f"{sign}:tried"


def _failing(sign: str) -> str:
    return f"{sign}:failing"
