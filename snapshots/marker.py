"""Telling the storage that holds the backups from an empty folder in its place.

A folder that is not mounted is empty, and everything that is written to it is lost to whoever looks
for it in the right one.
"""

import logging

from snapshots.engine.errors import MissingObjectError, StorageError
from snapshots.engine.storage import Storage
from snapshots.models import Snapshot

log = logging.getLogger(__name__)

MARKER = "backups-portal.json"
CONTENT = b'{"holds": "backups"}'
# Where there is no marker yet, one of so many backups must be there.
LOOKED_FOR = 20


def check_storage(storage: Storage) -> None:
    """Make sure that it is the storage that the catalogue tells of; mark it at its first use.

    Raises:
        StorageError: it is not, or cannot be read.
    """
    if _has(storage, MARKER):
        return
    stored = Snapshot.objects.completed().order_by("pk").values_list("manifest", flat=True)
    wanted = list(stored[:LOOKED_FOR])
    if wanted and not any(_has(storage, key) for key in wanted):
        log.error(
            "the storage holds none of the recorded backups: it may be an empty folder in place of "
            "the right one; where they are lost for good, an object %s there begins anew",
            MARKER,
        )
        raise StorageError(
            "The backup storage holds none of the earlier backups, so nothing was written to it. "
            "The operators have to look whether it is the right one."
        )
    storage.put_stored(MARKER, CONTENT)


def _has(storage: Storage, key: str) -> bool:
    try:
        storage.get_stored(key)
    except MissingObjectError:
        return False
    return True
