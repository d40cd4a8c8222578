"""Whether a backup storage works: it is the right one, and gives back what it is given."""

import logging
import secrets
from collections.abc import Callable
from datetime import datetime, timedelta

from snapshots.engine.encryption import keys_folder
from snapshots.engine.errors import EngineError
from snapshots.engine.storage import Storage
from snapshots.marker import check_storage
from snapshots.storages import copy_storage, snapshot_storage

log = logging.getLogger(__name__)

# Beside the folders of the projects, whose names are ids.
FOLDER = "probes"
# No try takes so long: who made an older object was killed.
LONGEST_TRY = timedelta(hours=1)


def storage_works() -> bool:
    """Try it; what is wrong is in the log."""
    return _works(_right_storage)


def copies_work() -> bool:
    """The same for the second storage."""
    return _works(copy_storage)


def _right_storage() -> Storage:
    storage = snapshot_storage()
    check_storage(storage)
    return storage


def _works(opened: Callable[[], Storage | None]) -> bool:
    key, content = f"{FOLDER}/{secrets.token_hex(8)}", secrets.token_bytes(64)
    try:
        storage = opened()
        if storage is None:
            return False
        storage.put(key, content)
        found = storage.get(key)
        storage.delete(key)
    except EngineError:
        log.exception("a backup storage does not work")
        return False
    if found != content:
        log.error("a backup storage gives back something else than it was given")
    return found == content


def forget_probes(now: datetime) -> int:
    """Delete what tries have left whose process was killed; how many objects.

    Raises:
        StorageError: the storage does not answer.
    """
    storage, keys = snapshot_storage(), keys_folder(FOLDER)
    old = [
        item.key
        for item in storage.list(f"{FOLDER}/")
        if item.modified < now - LONGEST_TRY and not item.key.startswith(keys)
    ]
    for key in old:
        storage.delete(key)
    return len(old)
