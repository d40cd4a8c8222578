"""Store a snapshot's objects, unless storage already has them intact.

A snapshot that builds upon a base trusts the base's manifest. A full one trusts nothing: it reads
every object that it would reuse, and writes again those that storage has lost or damaged, which
also repairs all older backups that name them.
"""

import hashlib
from collections.abc import Callable, Collection, Iterable
from functools import partial

from backups_portal.lib.loggers import get_logger
from backups_portal.projectdb.catalogue import VARIABLE
from snapshots.engine.contents_index import CELLS
from snapshots.engine.digest import Digest
from snapshots.engine.errors import (
    DamagedSnapshotError,
    EngineError,
    MissingObjectError,
    UnkeptObjectError,
)
from snapshots.engine.fallback_storage import is_away
from snapshots.engine.manifest import Manifest, Segment
from snapshots.engine.segments import EncodedSegment, check_bytes
from snapshots.engine.storage import Storage

log = get_logger(__name__)


class SegmentStore:
    """A project's objects while a snapshot is taken, safe to share by threads.

    Args:
        base: The last stored snapshot. An incremental one trusts that it is stored; for a full one,
            any of its objects that storage lacks was lost.
        listed: For a full snapshot, the names of the objects in storage; None: it is incremental.
        on_healed: Called with the name of each object that was written again.

    Attributes:
        healed: Names of objects that were lost or damaged, and were written again.
    """

    def __init__(
        self,
        storage: Storage,
        base: Manifest | None,
        listed: Collection[str] | None = None,
        on_healed: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._storage = storage
        self._on_healed = on_healed
        self._base = frozenset(base.objects) if base else frozenset()
        self._trusted = self._base if listed is None else frozenset[str]()
        known = (*base.segments, *base.contents) if base and listed is None else ()
        whole = [item for item in known if item.table not in (VARIABLE.name, CELLS)]
        self._whole = {(item.table, item.digest, item.rows): item for item in whole}
        self._listed = listed or ()
        self.healed: set[str] = set()

    def find(self, table: str, digest: Digest, rows: int) -> Segment | None:
        """Find an equal object of the base, of a table not divided by time.

        A full snapshot trusts no segment, and finds none.
        """
        return self._whole.get((table, str(digest), rows))

    def put(self, encoded: EncodedSegment) -> Segment:
        """Store an object unless storage has it, and read it back.

        Raises:
            StorageError: the storage is away, or does not keep what it was given.
        """
        segment = encoded.segment
        if segment.key in self._trusted:
            return segment
        if segment.key in self._listed and is_intact(self._storage, segment):
            return segment
        self._storage.put(segment.key, encoded.content)
        read_back(self._storage, segment.key, segment.sha256)
        if segment.key in self._listed or segment.key in self._base:
            log.error("storage had lost or damaged an object, written again", key=segment.key)
            self.healed.add(segment.key)
            self._on_healed(segment.key)
        return segment

    def new_keys(self, named: Iterable[str]) -> frozenset[str]:
        """Tell which objects the base lacks, or had lost."""
        return frozenset(named) - (self._base - self.healed)


def is_intact(storage: Storage, segment: Segment) -> bool:
    """Tell whether storage has an object as recorded; raise if it is away."""
    try:
        storage.read(segment.key, partial(check_bytes, segment))
    except EngineError as error:
        if is_away(error):
            raise
        log.warning("a stored object is damaged, writing it again: %s", error)
        return False
    return True


def read_back(storage: Storage, key: str, sha256: str) -> None:
    """Raise UnkeptObjectError if an object is not what was just written."""
    reason = f"The backup storage returned other bytes than were written to {key}."
    try:
        content = storage.get(key)
    except (MissingObjectError, DamagedSnapshotError) as error:
        raise UnkeptObjectError(reason) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise UnkeptObjectError(reason)
