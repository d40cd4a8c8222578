"""What a snapshot holds, kept beside its segments so that nobody opens those.

Three kinds of objects: cells of the variables (cells.py), the devices, and what was left out. The
objects of cells tile all of time as segments do, and grow and split as those do; an object in whose
range nothing was read anew is taken over without being opened. Like segments they are named by
what they hold: what has not changed is stored once.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import pyarrow as pa

from snapshots.engine.cells import (
    CELL_SCHEMA,
    add_cells,
    cells_by_chunk,
    outside,
    within,
)
from snapshots.engine.chunks import ChunkRange, split
from snapshots.engine.manifest import ExcludedTotal, Segment
from snapshots.engine.segments import EncodedSegment, encode, read_segment
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


@dataclass(frozen=True)
class Device:
    """A device as a snapshot found it.

    Attributes:
        number: What it goes by in cells; None where it has no series.
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
        kind: "script", "console", "file" or "attachment".
        name: The path of a file; of a script and a console, the analysis that they belong to.
        count: Versions of a script, lines of a console.
        size: In bytes, of all of them.
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
        ranges: The ranges of all other objects, with the cells of the chunks not read anew.
        devices: Its devices.
    """

    objects: list[Segment]
    ranges: list[tuple[ChunkRange, pa.Table]]
    devices: list[Device] = field(default_factory=list)

    def with_new(self, new: pa.Table) -> Iterator[tuple[ChunkRange, pa.Table]]:
        """The objects to write, once the cells of what was read anew are known."""
        for whole, kept in self.ranges:
            cells = add_cells([kept, within(new, whole)])
            for part in split(whole, cells_by_chunk(cells), TARGET_CELLS):
                yield part, within(cells, part)


def keep_nothing() -> KeptCells:
    """For a snapshot that reads everything."""
    return KeptCells([], [(ChunkRange(None, None), CELL_SCHEMA.empty_table())])


def keep_cells(storage: Storage, base: Sequence[Segment], read: list[ChunkRange]) -> KeptCells:
    """What a snapshot takes over that reads some ranges anew.

    Args:
        base: The contents of the snapshot that it is built upon.

    Raises:
        EngineError: an object that must be opened is missing or damaged.
    """
    kept = KeptCells([], [], read_devices(storage, base))
    for item in base:
        whole = ChunkRange(item.first_chunk, item.end_chunk)
        if item.table != CELLS:
            continue
        if any(part.meets(whole) for part in read):
            kept.ranges.append((whole, outside(read_segment(storage, item), read)))
        else:
            kept.objects.append(item)
    return kept


def encode_cells(project_id: UUID, chunks: ChunkRange, cells: pa.Table) -> EncodedSegment:
    """An object of cells."""
    return encode(
        cells,
        project_id=project_id,
        name=CELLS,
        digest_columns=tuple(CELL_SCHEMA.names),
        first_chunk=chunks.first,
        end_chunk=chunks.end,
    )


def encode_devices(project_id: UUID, devices: Iterable[Device]) -> EncodedSegment:
    """The object that names the devices."""
    return _encode_rows(project_id, DEVICES, DEVICE_SCHEMA, devices)


def encode_excluded(project_id: UUID, excluded: Iterable[Excluded]) -> EncodedSegment:
    """The object that names what was left out."""
    return _encode_rows(project_id, EXCLUDED, EXCLUDED_SCHEMA, excluded)


def _encode_rows(
    project_id: UUID, name: str, schema: pa.Schema, rows: Iterable[object]
) -> EncodedSegment:
    table = pa.Table.from_pylist([vars(row) for row in rows], schema)
    return encode(table, project_id=project_id, name=name, digest_columns=tuple(schema.names))


def read_cells(storage: Storage, objects: Iterable[Segment]) -> pa.Table:
    """The cells of some of a snapshot's objects.

    Raises:
        EngineError: an object is missing or damaged.
    """
    wanted = [item for item in objects if item.table == CELLS]
    with ThreadPoolExecutor(READERS) as pool:
        return pa.concat_tables(
            [CELL_SCHEMA.empty_table(), *pool.map(partial(read_segment, storage), wanted)]
        )


def read_devices(storage: Storage, contents: Iterable[Segment]) -> list[Device]:
    """The devices of a snapshot, ordered by name; raises as read_cells does."""
    devices = [Device(**row) for row in _rows_of(storage, contents, DEVICES)]
    return sorted(devices, key=lambda device: (device.name, device.device_id))


def excluded_totals(excluded: Iterable[Excluded]) -> dict[str, ExcludedTotal]:
    """How much of each kind there is."""
    totals: dict[str, ExcludedTotal] = {}
    for item in excluded:
        known = totals.get(item.kind, ExcludedTotal(0, 0))
        totals[item.kind] = ExcludedTotal(known.count + item.count, known.size + item.size)
    return totals


def read_excluded(storage: Storage, contents: Iterable[Segment]) -> list[Excluded]:
    """What a snapshot left out, by kind and name; raises as read_cells does."""
    return [Excluded(**row) for row in _rows_of(storage, contents, EXCLUDED)]


def _rows_of(storage: Storage, contents: Iterable[Segment], name: str) -> Iterator[dict[str, Any]]:
    for item in contents:
        if item.table == name:
            yield from read_segment(storage, item).to_pylist()
