"""The difference between two states of a project, by counts and digests.

Pure: states in, differences out. Rows are compared by day and device (day_device_counts.py); even
if those cannot locate a change, the 128-bit digests of whole ranges still show that something
differs.
"""

from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from snapshots.engine.day_device_counts import Numbers, cell_keys, split_keys
from snapshots.engine.digest import Digest
from snapshots.engine.manifest import Segment
from snapshots.engine.segment_plan import ChunkRange

CHANGED_CELL_SCHEMA = pa.schema(
    [
        ("chunk", pa.int32()),
        ("device_id", pa.string()),
        ("before", pa.int64()),
        ("after", pa.int64()),
    ]
)


class Change(StrEnum):
    """What happened to an object."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


class Effect(StrEnum):
    """What a change means to somebody who has lost data, worst first."""

    LOST = "lost"
    OTHER = "other"
    GAINED = "gained"


@dataclass(frozen=True)
class TableState:
    """The number of rows of a table, and the digest over `columns`."""

    rows: int
    digest: Digest
    columns: tuple[str, ...]


@dataclass(frozen=True)
class State:
    """A snapshot, or a database as it is now.

    Attributes:
        tables: All tables except the variables.
        devices: Names by id.
        numbers: Device ids by their numbers in cells.
        chunk_rows: Rows of variables by chunk.
        columns: The columns of variables that the digests cover.
        segments: Segments of variables; empty for a database.
        objects: Unopened objects of cells, by key.
        cells: The cells of the chunks that no object covers.
    """

    tables: dict[str, TableState]
    devices: dict[str, str]
    numbers: dict[int, str]
    chunk_rows: dict[int, int]
    columns: tuple[str, ...]
    segments: tuple[Segment, ...]
    objects: dict[str, Segment]
    cells: pa.Table


@dataclass(frozen=True)
class TableChange:
    """A table whose rows differ; `comparable` if both digest the same columns."""

    table: str
    before: int
    after: int
    comparable: bool = True

    @property
    def effect(self) -> Effect:
        """Tell whether rows were lost or gained."""
        return _effect(max(self.before - self.after, 0), max(self.after - self.before, 0))


@dataclass(frozen=True)
class DeviceChange:
    """A device that was added or removed, or whose name or rows differ.

    Attributes:
        old_name: "" if the name has not changed.
        gained, lost: Net rows, by day: a day that both lost and gained rows counts its difference.
        days: The number of chunks on which its rows differ.
    """

    device_id: str
    name: str
    change: Change
    old_name: str = ""
    gained: int = 0
    lost: int = 0
    days: int = 0

    @property
    def effect(self) -> Effect:
        """Tell whether it or any of its rows were lost or gained."""
        is_gone, is_new = self.change is Change.REMOVED, self.change is Change.ADDED
        return _effect(self.lost or is_gone, self.gained or is_new)


@dataclass(frozen=True)
class ChunkChange:
    """A day on which rows differ; `gained` and `lost` as in `DeviceChange`.

    Attributes:
        before, after: Rows of all devices.
        devices: The number of devices whose rows differ.
    """

    chunk: int
    change: Change
    before: int
    after: int
    gained: int
    lost: int
    devices: int

    @property
    def effect(self) -> Effect:
        """Tell whether rows of this day were lost or gained."""
        return _effect(self.lost, self.gained)


@dataclass(frozen=True)
class CellChange:
    """Rows of a device on a day; equal counts mean changed values."""

    chunk: int
    device_id: str
    before: int
    after: int

    @property
    def lost(self) -> int:
        """Return the number of rows lost."""
        return max(self.before - self.after, 0)

    @property
    def gained(self) -> int:
        """Return the number of rows gained."""
        return max(self.after - self.before, 0)

    @property
    def effect(self) -> Effect:
        """Tell whether rows were lost or gained."""
        return _effect(self.lost, self.gained)


@dataclass(frozen=True)
class Difference:
    """Everything that differs; devices by name, days newest first.

    Attributes:
        cells: A table of CHANGED_CELL_SCHEMA.
        unlocated: Ranges of chunks that differ although all of their cells look the same.
        same_devices: Names of the devices that both have, with equal rows.
        same_tables: Names of the tables with equal rows.
        remade: Ids of devices that were deleted and made again, so that no digest is equal.
    """

    tables: list[TableChange]
    devices: list[DeviceChange]
    chunks: list[ChunkChange]
    cells: pa.Table = field(repr=False)
    unlocated: list[ChunkRange]
    same_devices: list[str] = field(default_factory=list, repr=False)
    same_tables: list[str] = field(default_factory=list)
    remade: frozenset[str] = frozenset()

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing differs."""
        return not (self.tables or self.devices or self.chunks or self.unlocated)

    @property
    def gained(self) -> int:
        """Return the number of rows gained, by day and device."""
        return sum(change.gained for change in self.chunks)

    @property
    def lost(self) -> int:
        """Return the number of rows lost, by day and device."""
        return sum(change.lost for change in self.chunks)

    def of_device(self, device_id: str) -> list[CellChange]:
        """List the days on which the device's rows differ, newest first."""
        return sorted(self._where("device_id", device_id), key=lambda change: -change.chunk)

    def of_chunk(self, chunk: int) -> list[CellChange]:
        """List the devices whose rows differ on a day."""
        return self._where("chunk", chunk)

    def _where(self, column: str, value: object) -> list[CellChange]:
        found = self.cells.filter(pc.equal(self.cells[column], value))
        return [CellChange(**row) for row in found.to_pylist()]


def compare_states(
    before: State, after: State, cells_before: pa.Table, cells_after: pa.Table
) -> Difference:
    """Find everything in which two states differ.

    Args:
        cells_before, cells_after: The cells of each, without those of objects that both have.
    """
    cells = compare_cells(cells_before, cells_after, {**before.numbers, **after.numbers})
    tables = compare_tables(before.tables, after.tables)
    devices = compare_devices(before.devices, after.devices, cells)
    return Difference(
        tables=tables,
        devices=devices,
        chunks=compare_chunks(before.chunk_rows, after.chunk_rows, cells),
        cells=cells,
        unlocated=unlocated(before.segments, after.segments, cells),
        same_devices=_same_devices(after, {change.device_id for change in devices}),
        same_tables=_same_tables(after, {change.table for change in tables}),
    )


def _same_devices(after: State, changed: set[str]) -> list[str]:
    return sorted(name for device_id, name in after.devices.items() if device_id not in changed)


def _same_tables(after: State, changed: set[str]) -> list[str]:
    return [name for name, state in after.tables.items() if state.rows and name not in changed]


def compare_cells(before: pa.Table, after: pa.Table, ids: Mapping[int, str]) -> pa.Table:
    """Find the cells that differ, in order of time.

    Args:
        ids: Device ids by number; rows with an unknown number belong to no device ("").
    """
    sides = (_keys(before), _keys(after))
    keys = _union(*sides)
    rows = np.zeros((2, len(keys)), np.int64)
    digests = np.zeros((2, len(keys)), np.uint32)
    for side, (cells, known) in enumerate(zip((before, after), sides, strict=True)):
        places = np.searchsorted(keys, known)
        rows[side, places] = cells["rows"].to_numpy()
        digests[side, places] = cells["digest"].to_numpy()
    other = np.flatnonzero((rows[0] != rows[1]) | (digests[0] != digests[1]))
    chunks, numbers = split_keys(keys[other])
    return pa.table(
        [chunks.astype(np.int32), _ids(numbers, ids), rows[0][other], rows[1][other]],
        schema=CHANGED_CELL_SCHEMA,
    )


def _keys(cells: pa.Table) -> Numbers:
    """Return the key of each cell, unique within a state."""
    chunks, devices = (cells[name].to_numpy().astype(np.int64) for name in ("chunk", "device"))
    return cell_keys(chunks, devices)


def _union(*sides: Numbers) -> Numbers:
    """Join all keys, ascending; numpy's own union takes ten times as long."""
    keys = np.concatenate(sides)
    keys.sort(kind="stable")
    return keys[np.r_[True, keys[1:] != keys[:-1]]] if len(keys) else keys


def _ids(numbers: Numbers, ids: Mapping[int, str]) -> pa.Array:
    different, places = np.unique(numbers, return_inverse=True)
    names = pa.array([ids.get(number, "") for number in different.tolist()], pa.string())
    return names.take(pa.array(places))


def compare_tables(
    before: Mapping[str, TableState], after: Mapping[str, TableState]
) -> list[TableChange]:
    """Find the tables that differ, in their original order."""
    changes = []
    for name in dict.fromkeys([*before, *after]):
        nothing = TableState(0, Digest(), ())
        old, new = before.get(name, nothing), after.get(name, nothing)
        comparable = old.columns == new.columns or not old.rows or not new.rows
        if old.rows != new.rows or not comparable or old.digest != new.digest:
            changes.append(TableChange(name, old.rows, new.rows, comparable))
    return changes


def compare_devices(
    before: Mapping[str, str], after: Mapping[str, str], cells: pa.Table
) -> list[DeviceChange]:
    """Find the devices that were added, removed or differ."""
    sums = _sums_by(cells, "device_id")
    changes = []
    for device_id in {**before, **after, **sums}:
        old, new = before.get(device_id), after.get(device_id)
        gained, lost, days = sums.get(device_id, (0, 0, 0))
        if old == new and not days:
            continue
        changes.append(
            DeviceChange(
                device_id,
                name=new or old or "",
                change=_change(old is not None or new is None, new is not None or old is None),
                old_name=old if old and new and old != new else "",
                gained=gained,
                lost=lost,
                days=days,
            )
        )
    return sorted(changes, key=lambda change: (change.name, change.device_id))


def compare_chunks(
    before: Mapping[int, int], after: Mapping[int, int], cells: pa.Table
) -> list[ChunkChange]:
    """Find the days on which rows differ."""
    changes = []
    for chunk, (gained, lost, devices) in _sums_by(cells, "chunk").items():
        old, new = before.get(chunk, 0), after.get(chunk, 0)
        change = _change(old > 0, new > 0)
        changes.append(ChunkChange(chunk, change, old, new, gained, lost, devices))
    return sorted(changes, key=lambda change: -change.chunk)


def _effect(lost: int, gained: int) -> Effect:
    """Name the effect; losses outrank gains."""
    if lost:
        return Effect.LOST
    return Effect.GAINED if gained else Effect.OTHER


def _change(was_there: bool, is_there: bool) -> Change:
    if was_there and is_there:
        return Change.CHANGED
    return Change.REMOVED if was_there else Change.ADDED


def _sums_by(cells: pa.Table, column: str) -> dict[Any, tuple[int, int, int]]:
    """Add up rows gained and lost, and changed cells, by a column's values."""
    net = cells["after"].to_numpy() - cells["before"].to_numpy()
    sums = (
        pa.table({"by": cells[column], "gained": np.maximum(net, 0), "lost": np.maximum(-net, 0)})
        .group_by("by")
        .aggregate([("gained", "sum"), ("lost", "sum"), ("by", "count")])
    )
    names = ("by", "gained_sum", "lost_sum", "by_count")
    by, *numbers = (sums[name].to_pylist() for name in names)
    return dict(zip(by, zip(*numbers, strict=True), strict=True))


def unlocated(
    before: Iterable[Segment], after: Iterable[Segment], cells: pa.Table
) -> list[ChunkRange]:
    """Find ranges whose digests differ although none of their cells does."""
    before, after = list(before), list(after)
    if not before or not after:
        return []
    # The finest ranges into which both can be divided, from the beginning of time to its end.
    starts = sorted(_starts(before) & _starts(after))
    bounds = [None, *starts, None]
    known = {bisect_right(starts, chunk) for chunk in cells["chunk"].unique().to_pylist()}
    pairs = zip(_digests(before, starts), _digests(after, starts), strict=True)
    return [
        ChunkRange(bounds[place], bounds[place + 1])
        for place, (old, new) in enumerate(pairs)
        if old != new and place not in known
    ]


def _starts(segments: Iterable[Segment]) -> set[int]:
    return {segment.first_chunk for segment in segments if segment.first_chunk is not None}


def _digests(segments: Iterable[Segment], starts: list[int]) -> list[Digest]:
    """Digest the ranges that begin at `starts`, and the one before the first."""
    totals = [Digest()] * (len(starts) + 1)
    for segment in segments:
        first = segment.first_chunk
        place = 0 if first is None else bisect_right(starts, first)
        totals[place] += Digest.parse(segment.digest)
    return totals
