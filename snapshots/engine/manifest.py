"""The manifest: the object that makes a snapshot; it is complete in itself."""

import json
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from snapshots.engine.errors import DamagedSnapshotError, UnsupportedFormatError
from snapshots.engine.storage import Storage

FORMAT = 2


@dataclass(frozen=True)
class Segment:
    """What a manifest records of a segment.

    Attributes:
        bytes: Size of the object. `logical_bytes` is that of the rows in memory before encoding.
        digest: 32 hex digits, see digest.py.
        first_chunk: Of variables: the rows are those of the chunks (days since 1970-01-01 UTC)
            from `first_chunk` up to but not including `end_chunk`; None means no bound.
        chunk_rows: Of variables: rows by chunk.
    """

    table: str
    key: str
    sha256: str
    rows: int
    bytes: int
    logical_bytes: int
    digest: str
    first_chunk: int | None = None
    end_chunk: int | None = None
    chunk_rows: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ExcludedTotal:
    """How much of a kind the project has and this snapshot leaves out; the size is in bytes."""

    count: int
    size: int


@dataclass(frozen=True)
class UntrackedChange:
    """Chunks of variables that a full re-read found other than tracking foretold.

    Attributes:
        first_chunk, end_chunk: As of a segment.
        rows_expected: Equal to `rows_found` where only the content is another one.
    """

    first_chunk: int | None
    end_chunk: int | None
    rows_expected: int
    rows_found: int


@dataclass(frozen=True)
class Manifest:
    """One snapshot.

    Attributes:
        prefix: The hex digits that begin the source's variable ids.
        columns: By table, the columns that a restore must reproduce exactly.
        contents: Objects that tell what the segments hold (contents.py).
        new_keys: The objects that were not part of the snapshot it was built upon.
        excluded: What was left out, by kind; the contents name each of it.
        untracked: What this full re-read found that tracking had not told of.
        labels: What the portal called it (`project`, `local_date`, `time_zone`): by these the
            catalogue is made anew where it was lost.
    """

    snapshot_id: UUID
    project_id: UUID
    prefix: str
    taken_at: datetime
    is_full: bool
    postgresql_version: str
    schema_version: int
    columns: dict[str, tuple[str, ...]]
    segments: tuple[Segment, ...]
    contents: tuple[Segment, ...]
    new_keys: frozenset[str]
    excluded: dict[str, ExcludedTotal] = field(default_factory=dict)
    untracked: tuple[UntrackedChange, ...] = ()
    labels: dict[str, str] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """The name of the manifest's object."""
        return f"{manifest_folder(self.project_id)}{self.snapshot_id}.json"

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
        """Every object that the snapshot names, by its key."""
        return {item.key: item for item in (*self.segments, *self.contents)}

    @property
    def stored_bytes(self) -> int:
        """Bytes of all objects that the snapshot names, each counted once."""
        return sum(item.bytes for item in self.objects.values())

    @property
    def new_bytes(self) -> int:
        """Bytes of the objects that this snapshot added."""
        return sum(item.bytes for key, item in self.objects.items() if key in self.new_keys)

    def of(self, table: str) -> list[Segment]:
        """The segments of a table, in the order in which a restore numbers their rows."""
        return [segment for segment in self.segments if segment.table == table]

    def to_json(self) -> bytes:
        """The object's bytes."""
        document = {
            "format": FORMAT,
            "snapshot_id": str(self.snapshot_id),
            "project_id": str(self.project_id),
            "prefix": self.prefix,
            "taken_at": self.taken_at.isoformat(),
            "is_full": self.is_full,
            "postgresql_version": self.postgresql_version,
            "schema_version": self.schema_version,
            "columns": self.columns,
            "segments": [asdict(segment) for segment in self.segments],
            "contents": [asdict(item) for item in self.contents],
            "new_keys": sorted(self.new_keys),
            "excluded": {kind: asdict(total) for kind, total in self.excluded.items()},
            "untracked": [asdict(item) for item in self.untracked],
            "labels": self.labels,
        }
        return json.dumps(document, separators=(",", ":")).encode()

    @classmethod
    def from_json(cls, content: bytes) -> "Manifest":
        """The snapshot that a manifest describes.

        Raises:
            UnsupportedFormatError: a newer version wrote it, or one from before the first release.
            DamagedSnapshotError: it is no manifest.
        """
        try:
            document = json.loads(content)
            _check_format(document["format"])
            return cls(
                snapshot_id=UUID(document["snapshot_id"]),
                project_id=UUID(document["project_id"]),
                prefix=document["prefix"],
                taken_at=datetime.fromisoformat(document["taken_at"]),
                is_full=document["is_full"],
                postgresql_version=document["postgresql_version"],
                schema_version=document["schema_version"],
                columns={table: tuple(names) for table, names in document["columns"].items()},
                segments=tuple(_segment(item) for item in document["segments"]),
                contents=tuple(_segment(item) for item in document["contents"]),
                new_keys=frozenset(document["new_keys"]),
                excluded={
                    kind: ExcludedTotal(**total) for kind, total in document["excluded"].items()
                },
                untracked=tuple(UntrackedChange(**item) for item in document.get("untracked", ())),
                labels=dict(document.get("labels", {})),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise DamagedSnapshotError(
                "The manifest of this backup was changed in storage after it was written."
            ) from error

    @classmethod
    def load(cls, storage: Storage, key: str) -> "Manifest":
        """Read a manifest from storage; raises what `Storage.get` and `from_json` raise."""
        return storage.read(key, cls.from_json)


def _check_format(number: int) -> None:
    if number > FORMAT:
        raise UnsupportedFormatError(
            f"This backup has format {number}; this version reads up to format {FORMAT}. "
            "Upgrade Backups Portal to restore it."
        )
    if number < FORMAT:
        raise UnsupportedFormatError(
            f"This backup has format {number}, which was never released and is not read any more."
        )


def _segment(item: dict[str, Any]) -> Segment:
    # JSON has text for keys.
    chunk_rows = {int(chunk): rows for chunk, rows in item["chunk_rows"].items()}
    return Segment(**{**item, "chunk_rows": chunk_rows})


def manifest_folder(project_id: UUID | str) -> str:
    """Below this are the manifests of a project."""
    return f"{project_id}/manifests/"
