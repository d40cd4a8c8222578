"""The manifest: the object that makes a snapshot, complete in itself.

The manifest of a snapshot that the portal knows is read through its `ManifestRecord`, which
compares it with what was recorded.
"""

import hashlib
import json
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC
from typing import Annotated
from uuid import UUID

from pydantic import AwareDatetime, Field, StringConstraints, TypeAdapter

from backups_portal.projectdb.schema_version import SCHEMA_VERSION
from snapshots.engine.errors import DamagedSnapshotError, UnsupportedFormatError
from snapshots.engine.layout import manifest_key
from snapshots.engine.manifest_consistency import check_consistency, load_unambiguous
from snapshots.engine.pg_timestamps import FIRST_CHUNK, LAST_CHUNK
from snapshots.engine.storage import Storage

FORMAT = 3
# The format of a manifest without inline objects: older versions of this software can read it.
OLDEST_FORMAT = 2
CHANGED = "The manifest of this backup was changed in storage after it was written."

# In a class with an attribute `bytes`, that name means the attribute.
Bytes = bytes
# The largest bigint of the control database.
Count = Annotated[int, Field(ge=0, lt=2**63)]
# The upper bound is past all chunks: a range may end there.
Chunk = Annotated[int, Field(ge=FIRST_CHUNK, le=LAST_CHUNK + 1)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
# Characters of an inline object, which every further manifest repeats.
MAX_INLINE = 8_192
# PostgreSQL's texts cannot contain the character 0.
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$", max_length=10_000)]


@dataclass(frozen=True)
class Segment:
    """A segment as a manifest records it.

    Attributes:
        bytes: Size of the object; `logical_bytes` is that of its rows in memory before encoding.
        digest: 32 hex digits, see digest.py.
        first_chunk: For variables: the rows are those of the chunks (days since 1970-01-01 UTC)
            from `first_chunk` up to but not including `end_chunk`; None means no bound.
        chunk_rows: For variables: rows by chunk.
        orphans: For variables: rows of the range that were left out because their series is gone,
            by chunk. Written only if there are any.
        inline: For contents: the bytes themselves in base64, if they are few; then no object in
            storage has them, whatever `key` says. Written only if not empty.
    """

    table: Text
    key: Text
    sha256: Sha256
    rows: Count
    bytes: Count
    logical_bytes: Count
    digest: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
    first_chunk: Chunk | None = None
    end_chunk: Chunk | None = None
    chunk_rows: dict[Chunk, Count] = field(default_factory=dict)
    orphans: dict[Chunk, Count] = field(default_factory=dict)
    inline: Annotated[str, StringConstraints(max_length=MAX_INLINE)] = ""

    @property
    def content(self) -> Bytes | None:
        """Return the inline bytes; ValueError if they are not base64."""
        return b64decode(self.inline, validate=True) if self.inline else None


@dataclass(frozen=True)
class ExcludedTotal:
    """How much of a kind the project has and this snapshot leaves out."""

    count: Count
    size: Count


@dataclass(frozen=True)
class UntrackedChange:
    """Chunks of variables whose rows are not those that tracking predicts.

    Attributes:
        first_chunk, end_chunk: As in a segment.
        rows_expected: Equal to `rows_found` if only the content differs.
    """

    first_chunk: Chunk | None
    end_chunk: Chunk | None
    # The number that tracking predicts may be negative.
    rows_expected: Annotated[int, Field(gt=-(2**63), lt=2**63)]
    rows_found: Count


@dataclass(frozen=True)
class Manifest:
    """The record of one snapshot.

    Attributes:
        prefix: The hex digits with which the source's variable ids begin.
        columns: By table, the columns that a restore must reproduce exactly.
        contents: Objects that describe the segments' rows (contents_index.py).
        new_keys: The objects that the base did not have, or that had to be written again.
        excluded: Totals of what was left out, by kind; the contents list each item.
        untracked: Changes that this full re-read found and tracking had missed.
        healed: Objects that storage had lost or damaged, and that this full re-read wrote again.
        labels: The portal's names for it (`project`, `local_date`, `time_zone`), from which a lost
            catalogue is rebuilt.
        sha256: The SHA-256 of the bytes that it was read from, before encryption.
    """

    snapshot_id: UUID
    project_id: UUID
    prefix: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}$")]
    taken_at: AwareDatetime
    is_full: bool
    postgresql_version: Annotated[Text, StringConstraints(max_length=40)]
    schema_version: Annotated[int, Field(ge=0, lt=2**31)]
    columns: dict[Text, tuple[Text, ...]]
    segments: tuple[Segment, ...]
    contents: tuple[Segment, ...]
    new_keys: frozenset[str]
    excluded: dict[str, ExcludedTotal] = field(default_factory=dict)
    untracked: tuple[UntrackedChange, ...] = ()
    healed: tuple[str, ...] = ()
    labels: dict[Text, Text] = field(default_factory=dict)
    sha256: str = field(default="", compare=False)

    @property
    def key(self) -> str:
        """Return the name of the manifest's object in storage."""
        return manifest_key(self.project_id, self.snapshot_id)

    @property
    def mark(self) -> UUID:
        """Return the name by which a main database knows it (`marks_since`).

        Derived from the content, because attempts at a snapshot share its id: a server that lost
        its last transactions may have the marks of an earlier one.
        """
        return UUID(self.sha256[:32])

    @property
    def table_rows(self) -> dict[str, int]:
        """Return the number of rows by table."""
        rows: dict[str, int] = {}
        for segment in self.segments:
            rows[segment.table] = rows.get(segment.table, 0) + segment.rows
        return rows

    @property
    def rows(self) -> int:
        """Return the number of rows of all tables."""
        return sum(segment.rows for segment in self.segments)

    @property
    def logical_bytes(self) -> int:
        """Return the size of all rows before encoding, in bytes."""
        return sum(segment.logical_bytes for segment in self.segments)

    @property
    def objects(self) -> dict[str, Segment]:
        """Every stored object of the snapshot, by its key."""
        named = (*self.segments, *self.contents)
        return {item.key: item for item in named if not item.inline}

    @property
    def stored_bytes(self) -> int:
        """Return the size of all stored objects, each counted once."""
        return sum(item.bytes for item in self.objects.values())

    @property
    def new_bytes(self) -> int:
        """Return the size of the objects that this snapshot added."""
        return sum(item.bytes for key, item in self.objects.items() if key in self.new_keys)

    def of(self, table: str) -> list[Segment]:
        """List the segments of a table, in the order of a restore."""
        return [segment for segment in self.segments if segment.table == table]

    def to_json(self) -> bytes:
        """Write the object's bytes."""
        document = {
            "format": FORMAT if any(item.inline for item in self.contents) else OLDEST_FORMAT,
            "snapshot_id": str(self.snapshot_id),
            "project_id": str(self.project_id),
            "prefix": self.prefix,
            "taken_at": self.taken_at.isoformat(),
            "is_full": self.is_full,
            "postgresql_version": self.postgresql_version,
            "schema_version": self.schema_version,
            "columns": self.columns,
            "segments": [_as_item(segment) for segment in self.segments],
            "contents": [_as_item(item) for item in self.contents],
            "new_keys": sorted(self.new_keys),
            "excluded": {kind: asdict(total) for kind, total in self.excluded.items()},
            "untracked": [asdict(item) for item in self.untracked],
            "healed": self.healed,
            "labels": self.labels,
        }
        return json.dumps(document, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, content: bytes) -> "Manifest":
        """Read a manifest from its bytes.

        Raises:
            UnsupportedFormatError: it was written by a newer version, or before the first release.
            DamagedSnapshotError: it is not a manifest.
        """
        try:
            _check_version(load_unambiguous(content))
            manifest = _PARSER.validate_json(content, strict=True)
            check_consistency(manifest)
            taken_at = manifest.taken_at.astimezone(UTC)
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise DamagedSnapshotError(CHANGED) from error
        return replace(manifest, taken_at=taken_at, sha256=hashlib.sha256(content).hexdigest())

    @classmethod
    def load(cls, storage: Storage, key: str) -> "Manifest":
        """Read a manifest that can only be checked against its own name.

        Raises:
            DamagedSnapshotError: it is not a manifest, or belongs to another snapshot.
            EngineError: as `Storage.get` and `from_json` raise.
        """

        def parse(content: bytes) -> "Manifest":
            manifest = cls.from_json(content)
            if manifest.key != key:
                raise DamagedSnapshotError("It is the manifest of another backup.")
            return manifest

        return storage.read(key, parse)


_PARSER = TypeAdapter(Manifest)


def _check_version(document: Mapping[str, object]) -> None:
    """Refuse other versions before their unknown parts count as damage."""
    form = _number(document["format"])
    _check_known("format", form, FORMAT)
    if form < OLDEST_FORMAT:
        raise UnsupportedFormatError(
            f"This backup has format {form}, which was never released and is no longer supported."
        )
    # Checked last, because another format may have other names.
    _check_known("schema", _number(document["schema_version"]), SCHEMA_VERSION)


def _number(value: object) -> int:
    # In Python, True is an int too.
    if type(value) is not int:
        raise TypeError("its version is not a number")
    return value


def _check_known(name: str, number: int, newest: int) -> None:
    if number > newest:
        raise UnsupportedFormatError(
            f"This backup was made by a newer version of Backups Portal: it has {name} {number}, "
            f"and this version knows up to {newest}. Backups Portal must be updated to read it."
        )


def _as_item(segment: Segment) -> dict[str, object]:
    # A shallow copy: copying each segment deeply took a tenth of a small snapshot's time.
    item = dict(vars(segment))
    for name in ("orphans", "inline"):
        if not item[name]:
            del item[name]
    return item
