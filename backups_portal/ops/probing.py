"""Whether the backup storage works: an object written, read back and deleted."""

import logging
import secrets
from datetime import datetime, timedelta

from snapshots.engine.encryption import keys_folder
from snapshots.engine.errors import EngineError
from snapshots.storages import snapshot_storage

log = logging.getLogger(__name__)

# Beside the folders of the projects, whose names are ids.
FOLDER = "probes"
# No try takes so long: who made an older object was killed.
LONGEST_TRY = timedelta(hours=1)


def storage_works() -> bool:
    """Try it; what is wrong is in the log."""
    key, content = f"{FOLDER}/{secrets.token_hex(8)}", secrets.token_bytes(64)
    try:
        storage = snapshot_storage()
        storage.put(key, content)
        found = storage.get(key)
        storage.delete(key)
    except EngineError:
        log.exception("the backup storage does not work")
        return False
    if found != content:
        log.error("the backup storage gives back something else than it was given")
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
