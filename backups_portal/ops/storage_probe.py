"""Probe whether a storage is the right one and returns what it stores."""

import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

from backups_portal.lib.loggers import get_logger
from snapshots.engine.errors import EngineError
from snapshots.engine.layout import PROBES, is_data_key
from snapshots.engine.storage import Storage
from snapshots.storages.storage_marker import right_copy_storage, right_storage

log = get_logger(__name__)

# No probe takes this long, so an older object was left by a killed process.
MAX_PROBE_TIME = timedelta(hours=1)


def storage_works() -> bool:
    """Return whether the first storage works; log the fault if not."""
    return _works(right_storage)


def copies_work() -> bool:
    """Return whether the second storage works; log the fault if not."""
    return _works(right_copy_storage)


def _works(opened: Callable[[], Storage]) -> bool:
    key, content = f"{PROBES}/{secrets.token_hex(8)}", secrets.token_bytes(64)
    try:
        storage = opened()
        storage.put(key, content)
        found = storage.get(key)
        storage.delete(key)
    except EngineError as error:
        # Once a minute: the reason is enough.
        log.error("a backup storage does not work", error=error)
        return False
    if found != content:
        log.error("a backup storage did not return the content that was stored")
    return found == content


def forget_probes(storage: Storage, now: datetime) -> int:
    """Delete the probe objects of killed processes; return their number.

    Raises:
        StorageError: the storage does not answer.
    """
    old = [
        item.key
        for item in storage.list(f"{PROBES}/")
        if item.modified < now - MAX_PROBE_TIME and not is_data_key(item.key)
    ]
    for key in old:
        storage.delete(key)
    return len(old)
