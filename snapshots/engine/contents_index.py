"""The contents index of a snapshot, read without opening its segments.

It has three kinds of objects: cells of the variables (day_device_counts.py), the devices, and what
was left out. The objects of cells cover all of time without gaps, and grow and split as segments
do; an object is reused unopened if nothing in its range was read again. Like segments, they are
named after their content, so that unchanged content is stored once.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import pyarrow as pa
import pyarrow.compute as pc

from snapshots.engine.day_device_counts import (
    CELL_SCHEMA,
    add_cells,
    cells_by_chunk,
    outside,
    within,
)
from snapshots.engine.digest import table_digest
from snapshots.engine.errors import DamagedSnapshotError
from snapshots.engine.manifest import ExcludedTotal, Segment
from snapshots.engine.pg_timestamps import DAY, FIRST_CHUNK, LAST_CHUNK
from snapshots.engine.segment_plan import ChunkRange, split
from snapshots.engine.segments import Coverage, EncodedSegment, encode, read_segment
from snapshots.engine.storage import Storage

CELLS = "contents.variable"
DEVICES = "contents.device"
EXCLUDED = "contents.excluded"
# Cells of consecutive chunks share an object up to this number: a day's change then writes a few
# KiB, and twenty years of a quiet project fit into one object.
TARGET_CELLS = 4_096
# Objects read in parallel; they are small, and a bucket takes long to answer each request.
READERS = 8

DEVICE_SCHEMA = pa.schema(
    [
        ("device_id", pa.string()),
        ("number", pa.int32()),
        ("name", pa.string()),
        ("variables", pa.int64()),
        ("first", pa.timestamp("us", "UTC")),
        ("last", pa.timestamp("us", "UTC")),
    ]
)
EXCLUDED_SCHEMA = pa.schema(
    [("kind", pa.string()), ("name", pa.string()), ("count", pa.int64()), ("size", pa.int64())]
)
# Columns that may be null, for a device without series or records.
OPTIONAL = {"number", "first", "last"}
DEVICE_ID = re.compile("[0-9a-f]{24}")
SCHEMAS = {CELLS: CELL_SCHEMA, DEVICES: DEVICE_SCHEMA, EXCLUDED: EXCLUDED_SCHEMA}


@dataclass(frozen=True)
class Device:
    """A device as a snapshot found it.

    Attributes:
        number: Its number in cells; None if it has no series.
        variables: The number of distinct variable names.
    """

    device_id: str
    number: int | None
    name: str
    variables: int
    first: datetime | None
    last: datetime | None


@dataclass(frozen=True)
class Excluded:
    """Something that the project has and its snapshots leave out.

    Attributes:
        kind: "script", "console", "file", "attachment", "orphan", "large_object" or "relation".
        name: The path of a file; the analysis of a script or a console; the schema and name of a
            relation, which is a table that the catalogue does not have.
        count: Versions of a script, lines of a console.
        size: Bytes in total; 0 for rows and large objects, which are only counted.
    """

    kind: str
    name: str
    count: int
    size: int


@dataclass(frozen=True)
class KeptCells:
    """What a snapshot reuses of the cells of its base.

    Attributes:
        objects: Objects reused as they are.
        ranges: The ranges of all other objects, with the cells of the chunks not read again.
        devices: The base's devices, unless they are reused.
        same: The reused objects about devices.
    """

    objects: list[Segment]
    ranges: list[tuple[ChunkRange, pa.Table]]
    devices: list[Device] = field(default_factory=list)
    same: list[Segment] = field(default_factory=list)

    def with_new(self, new: pa.Table) -> Iterator[tuple[ChunkRange, pa.Table]]:
        """Yield the objects to write, once the new cells are known."""
        for whole, kept in self.ranges:
            cells = add_cells([kept, within(new, whole)])
            for part in split(whole, cells_by_chunk(cells), TARGET_CELLS):
                yield part, within(cells, part)


def keep_nothing() -> KeptCells:
    """Return what a snapshot that reads everything reuses: nothing."""
    return KeptCells([], [(ChunkRange(None, None), CELL_SCHEMA.empty_table())])


def keep_cells(
    storage: Storage,
    base: Sequence[Segment],
    read: list[ChunkRange],
    *,
    same_devices: bool = False,
) -> KeptCells:
    """Find what a snapshot that reads some ranges again reuses of its base.

    Args:
        base: The contents of the base.
        same_devices: The devices, their names and their times have not changed.

    Raises:
        EngineError: an object that must be opened is missing or damaged.
    """
    same = [item for item in base if item.table == DEVICES] if same_devices else []
    kept = KeptCells([], [], [] if same else read_devices(storage, base), same)
    for item in base:
        whole = ChunkRange(item.first_chunk, item.end_chunk)
        if item.table != CELLS:
            continue
        if any(part.meets(whole) for part in read):
            kept.ranges.append((whole, outside(read_contents(storage, item), read)))
        else:
            kept.objects.append(item)
    return kept


def encode_cells(project_id: UUID, chunks: ChunkRange, cells: pa.Table) -> EncodedSegment:
    """Encode an object of cells."""
    return _encode(project_id, CELLS, cells, Coverage(chunks))


def encode_rows(
    project_id: UUID, name: str, rows: "Iterable[Device] | Iterable[Excluded]"
) -> EncodedSegment:
    """Encode the object that lists the devices, or what was left out."""
    return _encode(project_id, name, rows_table(name, rows))


def rows_table(name: str, rows: "Iterable[Device] | Iterable[Excluded]") -> pa.Table:
    """Make the rows of an object that lists devices, or what was left out."""
    return pa.Table.from_pylist([vars(row) for row in rows], SCHEMAS[name])


def _encode(
    project_id: UUID, name: str, table: pa.Table, covers: Coverage | None = None
) -> EncodedSegment:
    digest = table_digest(table, tuple(table.column_names))
    return encode(table, project_id=project_id, name=name, digest=digest, covers=covers)


def read_contents(storage: Storage, item: Segment) -> pa.Table:
    """Read an object of a snapshot's contents.

    Raises:
        DamagedSnapshotError: it is not what was recorded, or has the columns of another kind.
        EngineError: the storage does not return it.
    """
    table = read_segment(storage, item)
    if item.table in SCHEMAS and not _is_sound(item.table, table):
        raise DamagedSnapshotError(
            f"A part of this backup ({item.table}, {item.key}) holds something else."
        )
    return table


def _is_sound(name: str, table: pa.Table) -> bool:
    """Tell whether rows have the form in which snapshots write them.

    An old snapshot may lack the digest of its manifest: then anybody who can write to its
    storage can plant rows here, and neither a page nor the next snapshot may fail because of it.
    """
    if not table.schema.equals(SCHEMAS[name]):
        return False
    try:
        # Find texts that are not UTF-8.
        table.validate(full=True)
    except pa.ArrowInvalid:
        return False
    lacking = {column for column in table.column_names if table[column].null_count}
    moments = (table[field.name] for field in table.schema if pa.types.is_timestamp(field.type))
    return (
        lacking <= OPTIONAL
        and all(map(_are_moments, moments))
        and (name != DEVICES or _are_ids(table["device_id"]))
    )


def _are_moments(column: pa.ChunkedArray) -> bool:
    """Tell whether all values are times that a variable may have."""
    bounds = pc.min_max(column.cast(pa.int64())).as_py()
    first, last = bounds["min"], bounds["max"]
    return first is None or (first >= FIRST_CHUNK * DAY and last < (LAST_CHUNK + 1) * DAY)


def _are_ids(column: pa.ChunkedArray) -> bool:
    ids = column.to_pylist()
    return len({*ids}) == len(ids) and all(map(DEVICE_ID.fullmatch, ids))


def read_cells(storage: Storage, objects: Iterable[Segment]) -> pa.Table:
    """Read the cells among a snapshot's objects.

    Raises:
        EngineError: an object is missing or damaged.
    """
    wanted = [item for item in objects if item.table == CELLS]
    with ThreadPoolExecutor(READERS) as pool:
        return pa.concat_tables(
            [CELL_SCHEMA.empty_table(), *pool.map(partial(read_contents, storage), wanted)]
        )


class DeviceCells:
    """Cells of single devices, out of objects that are read once each."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._known: dict[tuple[str, int | None], pa.Table] = {}

    def within(
        self, contents: Iterable[Segment], number: int | None, part: ChunkRange
    ) -> Iterator[pa.Table]:
        """Yield a device's cells in a range of chunks, object by object.

        Raises:
            EngineError: an object is missing or damaged.
        """
        for item in contents:
            if item.table == CELLS and part.meets(ChunkRange(item.first_chunk, item.end_chunk)):
                known = (item.key, number)
                # Two threads may read the same object, with the same result.
                if known not in self._known:
                    cells = read_contents(self._storage, item)
                    self._known[known] = cells.filter(pc.equal(cells["device"], number))
                yield within(self._known[known], part)


def read_devices(storage: Storage, contents: Iterable[Segment]) -> list[Device]:
    """Read a snapshot's devices, sorted by name; raises as `read_cells` does."""
    devices = [Device(**row) for row in _rows_of(storage, contents, DEVICES)]
    return sorted(devices, key=lambda device: (device.name, device.device_id))


def excluded_totals(excluded: Iterable[Excluded]) -> dict[str, ExcludedTotal]:
    """Add up how much of each kind there is."""
    totals: dict[str, ExcludedTotal] = {}
    for item in excluded:
        known = totals.get(item.kind, ExcludedTotal(0, 0))
        totals[item.kind] = ExcludedTotal(known.count + item.count, known.size + item.size)
    return totals


def read_excluded(storage: Storage, contents: Iterable[Segment]) -> list[Excluded]:
    """Read what a snapshot left out; raises as `read_cells` does."""
    return [Excluded(**row) for row in _rows_of(storage, contents, EXCLUDED)]


def _rows_of(storage: Storage, contents: Iterable[Segment], name: str) -> Iterator[dict[str, Any]]:
    for item in contents:
        if item.table == name:
            yield from read_contents(storage, item).to_pylist()
