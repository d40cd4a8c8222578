"""What a snapshot holds, kept beside its segments, which stay closed.

Three kinds of objects: cells of the variables (day_device_counts.py), the devices, and what was
left out. The objects of cells tile all of time as segments do, and grow and split as those do; an
object in whose range nothing was read again is taken over without being opened. Like segments they
are named by what they hold: what has not changed is stored once.
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
# Cells of consecutive chunks share an object while they are no more than this: a day's change then
# writes a few KiB, and twenty years of a quiet project are one object.
TARGET_CELLS = 4_096
# Objects read at a time; they are small, and a bucket answers each of them slowly.
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
# What a device without series or records lacks.
OPTIONAL = {"number", "first", "last"}
DEVICE_ID = re.compile("[0-9a-f]{24}")
SCHEMAS = {CELLS: CELL_SCHEMA, DEVICES: DEVICE_SCHEMA, EXCLUDED: EXCLUDED_SCHEMA}


@dataclass(frozen=True)
class Device:
    """A device as a snapshot found it.

    Attributes:
        number: What it goes by in cells; None if it has no series.
        variables: The different names of its records.
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
        name: The path of a file; of a script and a console, the analysis that they belong to; of a
            relation, which no table of the catalogue is, its schema and name.
        count: Versions of a script, lines of a console.
        size: In bytes, of all of them; 0 of rows and large objects, which are counted only.
    """

    kind: str
    name: str
    count: int
    size: int


@dataclass(frozen=True)
class KeptCells:
    """What a snapshot takes over of the cells of the one it is built upon.

    Attributes:
        objects: Taken over as they are.
        ranges: The ranges of all other objects, with the cells of the chunks not read again.
        devices: Its devices, unless they are taken over.
        same: The objects that are taken over and tell of devices.
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
    """Return what a snapshot takes over that reads everything."""
    return KeptCells([], [(ChunkRange(None, None), CELL_SCHEMA.empty_table())])


def keep_cells(
    storage: Storage,
    base: Sequence[Segment],
    read: list[ChunkRange],
    *,
    same_devices: bool = False,
) -> KeptCells:
    """Find what a snapshot takes over that reads some ranges again.

    Args:
        base: The contents of the snapshot that it is built upon.
        same_devices: It will find the devices, their names and their moments as they were.

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
    """Encode the object that names the devices, or what was left out."""
    return _encode(project_id, name, rows_table(name, rows))


def rows_table(name: str, rows: "Iterable[Device] | Iterable[Excluded]") -> pa.Table:
    """Make the rows of an object of devices, or of what was left out."""
    return pa.Table.from_pylist([vars(row) for row in rows], SCHEMAS[name])


def _encode(
    project_id: UUID, name: str, table: pa.Table, covers: Coverage | None = None
) -> EncodedSegment:
    digest = table_digest(table, tuple(table.column_names))
    return encode(table, project_id=project_id, name=name, digest=digest, covers=covers)


def read_contents(storage: Storage, item: Segment) -> pa.Table:
    """Read an object of a snapshot's contents.

    Raises:
        DamagedSnapshotError: it is not what was recorded, or has other columns than its kind.
        EngineError: storage does not give it.
    """
    table = read_segment(storage, item)
    if item.table in SCHEMAS and not _is_sound(item.table, table):
        raise DamagedSnapshotError(
            f"A part of this backup ({item.table}, {item.key}) holds something else."
        )
    return table


def _is_sound(name: str, table: pa.Table) -> bool:
    """Tell whether rows are such as snapshots note.

    The digest of an old snapshot's manifest may be unknown: then anybody who can write into its
    storage can put rows here, which no page and no next snapshot shall stumble over.
    """
    if not table.schema.equals(SCHEMAS[name]):
        return False
    try:
        # Texts that are not UTF-8.
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
    """Tell whether all are times that a variable may have."""
    bounds = pc.min_max(column.cast(pa.int64())).as_py()
    first, last = bounds["min"], bounds["max"]
    return first is None or (first >= FIRST_CHUNK * DAY and last < (LAST_CHUNK + 1) * DAY)


def _are_ids(column: pa.ChunkedArray) -> bool:
    ids = column.to_pylist()
    return len({*ids}) == len(ids) and all(map(DEVICE_ID.fullmatch, ids))


def read_cells(storage: Storage, objects: Iterable[Segment]) -> pa.Table:
    """Read the cells of some of a snapshot's objects.

    Raises:
        EngineError: an object is missing or damaged.
    """
    wanted = [item for item in objects if item.table == CELLS]
    with ThreadPoolExecutor(READERS) as pool:
        return pa.concat_tables(
            [CELL_SCHEMA.empty_table(), *pool.map(partial(read_contents, storage), wanted)]
        )


def read_devices(storage: Storage, contents: Iterable[Segment]) -> list[Device]:
    """Read the devices of a snapshot by name; raises as `read_cells` does."""
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
