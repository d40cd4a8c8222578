"""Whether the backup storage works: it is the right one, and gives back what it is given."""

import logging
import secrets

from snapshots.engine.errors import EngineError
from snapshots.marker import check_storage
from snapshots.storages import snapshot_storage

log = logging.getLogger(__name__)

# Beside the folders of the projects, whose names are ids.
FOLDER = "probes"


def storage_works() -> bool:
    """Try it; what is wrong is in the log."""
    key, content = f"{FOLDER}/{secrets.token_hex(8)}", secrets.token_bytes(64)
    try:
        storage = snapshot_storage()
        check_storage(storage)
        storage.put(key, content)
        found = storage.get(key)
        storage.delete(key)
    except EngineError:
        log.exception("the backup storage does not work")
        return False
    if found != content:
        log.error("the backup storage gives back something else than it was given")
    return found == content
