"""The state of a storage as its probes found it, kept in Redis.

It is down if its probes have failed, or hung, for some minutes. Without recent probes (beat or the
worker that makes them is lost) nothing is known of it, so that it is not blamed for them.
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


def probe(sign: str, works: Callable[[], bool]) -> None:
    """Try a storage, and record what came of it.

    The beginning is recorded as well: a probe that hangs is killed, and records no end. So is the
    moment at which it works again, for the backups that failed meanwhile (`recovered_outages`).

    Args:
        sign: Of `storage_signs`.
    """
    tried, failing = _tried(sign), _failing(sign)
    since = None
    try:
        last, since = liveness.last_signs(tried, failing)
        if since is None or last is None or _is_old(last):
            liveness.note(failing)
    except RedisError:
        log.warning("Redis does not answer", exc_info=True)
    liveness.note(tried)
    if works():
        liveness.forget(failing)
        if since is not None:
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
