"""Tell the storage that holds the backups from an empty folder.

A folder that is not mounted is empty, and what is written to it is lost to the right
one.
"""

from backups_portal.lib.loggers import get_logger
from snapshots.engine.errors import MissingObjectError, StorageError
from snapshots.engine.layout import MARKER
from snapshots.engine.storage import Storage
from snapshots.models import Snapshot

log = get_logger(__name__)

CONTENT = b'{"holds": "backups"}'
# If there is no marker yet, one of so many backups must be there.
LOOKED_FOR = 20


def check_storage(storage: Storage) -> None:
    """Check that it is the catalogue's storage; mark it at its first use.

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
            "the right one; if they are lost for good, an object %s there starts over",
            MARKER,
        )
        raise StorageError(
            "The backup storage has none of the earlier backups, so nothing was written to it. An "
            "operator needs to check that it is the right one."
        )
    storage.put_stored(MARKER, CONTENT)


def _has(storage: Storage, key: str) -> bool:
    try:
        storage.get_stored(key)
    except MissingObjectError:
        return False
    return True
