"""Compare a snapshot's manifest with what was recorded about it.

In a storage without encryption, anybody with write access can put another manifest under a
snapshot's name: yesterday's, another project's, or one from which segments were cut out.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from backups_portal.ui.formats import count, day_and_time
from snapshots.engine.errors import DamagedSnapshotError, UnsupportedFormatError
from snapshots.engine.manifest import CHANGED, Manifest
from snapshots.engine.storage import Storage


@dataclass(frozen=True)
class ManifestRecord:
    """What is known about a manifest without reading it.

    Attributes:
        key: The name of its object.
        sha256: SHA-256 of its bytes before encryption; "" if that was not recorded yet.
        taken_at, rows, logical_bytes, stored_bytes: As in the manifest; None if not recorded.
        table_rows: Rows by table, ordered by name; empty if not recorded.
    """

    key: str
    project_id: UUID
    snapshot_id: UUID
    sha256: str = ""
    taken_at: datetime | None = None
    rows: int | None = None
    logical_bytes: int | None = None
    stored_bytes: int | None = None
    table_rows: tuple[tuple[str, int], ...] = ()

    def load(self, storage: Storage) -> Manifest:
        """Read the manifest, and refuse any other than the recorded one.

        Raises:
            MissingObjectError: the storage lacks it.
            DamagedSnapshotError: it is another manifest, or none; the message says what differs.
            UnsupportedFormatError: another version of this software wrote it.
            EngineError: the storage does not return it.
        """
        return storage.read(self.key, self.check)

    def check(self, content: bytes) -> Manifest:
        """Parse a manifest's bytes; raises as `load` if they are not the record's."""
        try:
            manifest = Manifest.from_json(content)
        except UnsupportedFormatError as error:
            # A forged manifest may claim another version.
            if self.sha256 and self.sha256 != hashlib.sha256(content).hexdigest():
                raise DamagedSnapshotError(CHANGED) from error
            raise
        if manifest.project_id != self.project_id:
            raise DamagedSnapshotError(
                "The manifest in storage is not the one that was recorded: it belongs to another "
                "project."
            )
        if manifest.snapshot_id != self.snapshot_id:
            raise DamagedSnapshotError(
                "The manifest in storage is not the one that was recorded: it belongs to the "
                f"backup that was taken on {day_and_time(manifest.taken_at)} UTC."
            )
        if self.sha256 == manifest.sha256:
            return manifest
        for difference in self._differences(manifest):
            raise DamagedSnapshotError(
                f"The manifest in storage is not the one that was recorded: {difference}."
            )
        if self.sha256:
            raise DamagedSnapshotError(CHANGED)
        return manifest

    def _differences(self, manifest: Manifest) -> Iterator[str]:
        found = manifest.table_rows
        for table, rows in self.table_rows:
            if found.pop(table, 0) != rows:
                has = manifest.table_rows.get(table, 0)
                yield f"it has {count(has, 'row')} of {table} instead of {rows:,}"
        if self.table_rows and found:
            yield f"it has rows of {min(found)}, of which none were recorded"
        for name, recorded, has in (
            ("rows", self.rows, manifest.rows),
            ("bytes before encoding", self.logical_bytes, manifest.logical_bytes),
            ("bytes in storage", self.stored_bytes, manifest.stored_bytes),
        ):
            if recorded is not None and recorded != has:
                yield f"it has {has:,} {name}, but {recorded:,} were recorded"
        if self.taken_at is not None and self.taken_at != manifest.taken_at:
            yield f"it was taken on {day_and_time(manifest.taken_at)} UTC"
