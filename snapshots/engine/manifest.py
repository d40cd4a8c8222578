"""The manifest: the object that makes a snapshot; it is complete in itself.

That of a snapshot which the portal knows is read by its `ManifestRecord`, which holds it against
what was recorded.
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
# Of a manifest with nothing in line: versions of this software that know no more read it.
OLDEST_FORMAT = 2
CHANGED = "The manifest of this backup was changed in storage after it was written."

# In a class that calls an attribute so, `bytes` is that one.
Bytes = bytes
# As much as a bigint of the control database holds.
Count = Annotated[int, Field(ge=0, lt=2**63)]
# The last one is that behind all others, at which a range ends.
Chunk = Annotated[int, Field(ge=FIRST_CHUNK, le=LAST_CHUNK + 1)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
# Characters of what is in line, which every further manifest repeats.
MAX_INLINE = 8_192
# PostgreSQL knows texts without the character 0 only.
Text = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$", max_length=10_000)]


@dataclass(frozen=True)
class Segment:
    """What a manifest records of a segment.

    Attributes:
        bytes: Size of the object. `logical_bytes` is that of the rows in memory before encoding.
        digest: 32 hex digits, see digest.py.
        first_chunk: Of variables: the rows are those of the chunks (days since 1970-01-01 UTC)
            from `first_chunk` up to but not including `end_chunk`; None means no bound.
        chunk_rows: Of variables: rows by chunk.
        orphans: Of variables: by chunk, rows of the range that were left out, since their series
            is gone. Written if there are some only.
        inline: Of contents: the bytes themselves in base64, if they are few; then no object in
            storage has them, whatever `key` says. Written if there are some only.
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
        """The bytes that are in line; ValueError if they are no base64."""
        return b64decode(self.inline, validate=True) if self.inline else None


@dataclass(frozen=True)
class ExcludedTotal:
    """How much of a kind the project has and this snapshot leaves out; the size is in bytes."""

    count: Count
    size: Count


@dataclass(frozen=True)
class UntrackedChange:
    """Chunks of variables that a full re-read found other than tracking foretold.

    Attributes:
        first_chunk, end_chunk: As of a segment.
        rows_expected: Equal to `rows_found` if only the content is another one.
    """

    first_chunk: Chunk | None
    end_chunk: Chunk | None
    # What tracking foretells may be less than nothing.
    rows_expected: Annotated[int, Field(gt=-(2**63), lt=2**63)]
    rows_found: Count


@dataclass(frozen=True)
class Manifest:
    """One snapshot.

    Attributes:
        prefix: The hex digits that begin the source's variable ids.
        columns: By table, the columns that a restore must reproduce exactly.
        contents: Objects that tell what the segments hold (contents_index.py).
        new_keys: The objects that were not part of the snapshot it was built upon, or had to be
            written again.
        excluded: What was left out, by kind; the contents name each of it.
        untracked: What this full re-read found that tracking had not told of.
        healed: Objects that storage had lost or damaged, and that this full re-read wrote again.
        labels: What the portal called it (`project`, `local_date`, `time_zone`): by these the
            catalogue is rebuilt if it was lost.
        sha256: Of the bytes that it was read from, before encryption.
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
        """The name of the manifest's object."""
        return manifest_key(self.project_id, self.snapshot_id)

    @property
    def table_rows(self) -> dict[str, int]:
        """Rows by table."""
        rows: dict[str, int] = {}
        for segment in self.segments:
            rows[segment.table] = rows.get(segment.table, 0) + segment.rows
        return rows

    @property
    def rows(self) -> int:
        """Rows of all tables."""
        return sum(segment.rows for segment in self.segments)

    @property
    def logical_bytes(self) -> int:
        """Bytes of all rows before encoding."""
        return sum(segment.logical_bytes for segment in self.segments)

    @property
    def objects(self) -> dict[str, Segment]:
        """Every object that the snapshot names in storage, by its key."""
        named = (*self.segments, *self.contents)
        return {item.key: item for item in named if not item.inline}

    @property
    def stored_bytes(self) -> int:
        """Bytes of all objects that the snapshot names, each counted once."""
        return sum(item.bytes for item in self.objects.values())

    @property
    def new_bytes(self) -> int:
        """Bytes of the objects that this snapshot added."""
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
        """Read the snapshot that a manifest describes.

        Raises:
            UnsupportedFormatError: a newer version wrote it, or one from before the first release.
            DamagedSnapshotError: it is no manifest.
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
        """Read a manifest that has nothing to be held against but its own name.

        Raises:
            DamagedSnapshotError: it is no manifest, or that of another snapshot.
            EngineError: what `Storage.get` and `from_json` raise.
        """

        def parse(content: bytes) -> "Manifest":
            manifest = cls.from_json(content)
            if manifest.key != key:
                raise DamagedSnapshotError("It is the manifest of another backup.")
            return manifest

        return storage.read(key, parse)


_PARSER = TypeAdapter(Manifest)


def _check_version(document: Mapping[str, object]) -> None:
    """Refuse what another version wrote, before its unknown parts are taken for damage."""
    form = _number(document["format"])
    _check_known("format", form, FORMAT)
    if form < OLDEST_FORMAT:
        raise UnsupportedFormatError(
            f"This backup has format {form}, which was never released and is no longer supported."
        )
    # Only now: another format may have other names.
    _check_known("schema", _number(document["schema_version"]), SCHEMA_VERSION)


def _number(value: object) -> int:
    # True is an int, too, to Python.
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
    # Of plain values: copying each of them deeply took a tenth of a small snapshot.
    item = dict(vars(segment))
    for name in ("orphans", "inline"):
        if not item[name]:
            del item[name]
    return item
