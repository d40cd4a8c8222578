"""Count and digest variables by day and device.

A cell is about one device on one day (chunk): the number of rows, and the low 32 bits of the low
lane of their digest. Like the digest itself, these add up, so cells do not depend on how days were
cut into segments. A difference that happens to keep the 32 bits (one in four thousand million)
still shows in the 128 bits of its segments.

A device is identified by a small number, the lowest of its series: a number never means two
devices, and an object of cells needs no list of ids. In snapshots of older versions, rows whose
series has been deleted have the number 0; now they are left out (orphan_rows.py).
"""

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from snapshots.engine.digest import Words
from snapshots.engine.pg_timestamps import DAY
from snapshots.engine.segment_plan import ChunkRange

DIGEST_MASK = np.uint64(0xFFFFFFFF)

CELL_SCHEMA = pa.schema(
    [
        ("chunk", pa.int32()),
        ("device", pa.int32()),
        ("rows", pa.int64()),
        ("digest", pa.uint32()),
    ]
)
# The device number of rows whose series has been deleted; numbers of series begin at 1.
NO_DEVICE = 0
Numbers = npt.NDArray[np.int64]


class SeriesDevices:
    """Maps series to the numbers of their devices, whole columns at a time."""

    def __init__(self, rows: Iterable[tuple[int, str]]) -> None:
        numbers: dict[str, int] = {}
        pairs = [(series, numbers.setdefault(device, series)) for series, device in sorted(rows)]
        self._series = np.array([series for series, _ in pairs], np.int64)
        self._numbers = np.array([number for _, number in pairs], np.int64)
        self._devices = {number: device for device, number in numbers.items()}

    @property
    def series(self) -> Numbers:
        """Return all series, in order."""
        return self._series

    def changed_in(self, later: "SeriesDevices") -> Numbers:
        """List series that are gone in `later`, or whose device or number differs."""
        others = [
            number
            for number, device in self._devices.items()
            if later._devices.get(number) != device
        ]
        is_changed = later.numbers(self._series) != self._numbers
        return self._series[is_changed | np.isin(self._numbers, others)]

    def know(self, series: Words) -> npt.NDArray[np.bool_]:
        """Tell which series exist; fast if equal ones are neighbours."""
        starts = np.flatnonzero(np.r_[True, series[1:] != series[:-1]][: len(series)])
        return np.repeat(np.isin(series[starts], self._series), np.diff(np.r_[starts, len(series)]))

    def numbers(self, series: Words | Numbers) -> Numbers:
        """Return the number of each series' device."""
        if not len(self._series):
            return np.zeros(len(series), np.int64)
        found = np.minimum(np.searchsorted(self._series, series), len(self._series) - 1)
        return np.where(self._series[found] == series, self._numbers[found], NO_DEVICE)


def chunks_of(table: pa.Table) -> Numbers:
    """Return the chunk of each row of a table of variables."""
    moments: Numbers = table["time"].cast(pa.int64()).to_numpy()
    return moments // DAY


def rows_of_chunks(table: pa.Table) -> dict[int, int]:
    """Count the rows of a table of variables by chunk."""
    chunks, counts = np.unique(chunks_of(table), return_counts=True)
    return dict(zip(chunks.tolist(), counts.tolist(), strict=True))


def count_cells(table: pa.Table, low: Words, devices: SeriesDevices) -> pa.Table:
    """Count the cells of variables; fast if sorted by series and time.

    Args:
        low: The low word of each row's digest.
    """
    if not table.num_rows:
        return CELL_SCHEMA.empty_table()
    series, chunks = table["series_id"].to_numpy(), chunks_of(table)
    starts = np.flatnonzero(np.r_[True, (series[1:] != series[:-1]) | (chunks[1:] != chunks[:-1])])
    rows = np.diff(np.r_[starts, table.num_rows])
    digests = np.add.reduceat(low & DIGEST_MASK, starts)
    return _sums(chunks[starts], devices.numbers(series[starts]), rows, digests)


def add_cells(tables: Iterable[pa.Table]) -> pa.Table:
    """Join tables of cells, adding up those of the same day and device."""
    whole = pa.concat_tables([CELL_SCHEMA.empty_table(), *tables])
    if not whole.num_rows:
        return whole
    return _sums(
        whole["chunk"].to_numpy().astype(np.int64),
        whole["device"].to_numpy().astype(np.int64),
        whole["rows"].to_numpy(),
        whole["digest"].to_numpy().astype(np.uint64),
    )


def _sums(chunks: Numbers, devices: Numbers, rows: Numbers, digests: Words) -> pa.Table:
    keys, cells = np.unique(cell_keys(chunks, devices), return_inverse=True)
    total_rows, total_digests = np.zeros(len(keys), np.int64), np.zeros(len(keys), np.uint64)
    np.add.at(total_rows, cells, rows)
    np.add.at(total_digests, cells, digests)
    chunks, devices = split_keys(keys)
    return pa.table(
        [
            chunks.astype(np.int32),
            devices.astype(np.int32),
            total_rows,
            (total_digests & DIGEST_MASK).astype(np.uint32),
        ],
        schema=CELL_SCHEMA,
    )


def cell_keys(chunks: Numbers, devices: Numbers) -> Numbers:
    """Combine each cell's chunk and device into one sortable number."""
    return (chunks << 32) | (devices & 0xFFFFFFFF)


def split_keys(keys: Numbers) -> tuple[Numbers, Numbers]:
    """Split keys into chunks and devices."""
    return keys >> 32, keys & 0xFFFFFFFF


def within(cells: pa.Table, part: ChunkRange) -> pa.Table:
    """Select the cells of a range of chunks."""
    return cells.filter(pa.array(_is_in(cells, part)))


def outside(cells: pa.Table, parts: Iterable[ChunkRange]) -> pa.Table:
    """Select the cells of chunks that are in none of the ranges."""
    kept = np.ones(cells.num_rows, bool)
    for part in parts:
        kept &= ~_is_in(cells, part)
    return cells.filter(pa.array(kept))


def _is_in(cells: pa.Table, part: ChunkRange) -> npt.NDArray[np.bool_]:
    chunks = cells["chunk"].to_numpy()
    found = np.ones(len(chunks), bool)
    if part.first is not None:
        found &= chunks >= part.first
    if part.end is not None:
        found &= chunks < part.end
    return found


def renumber(cells: pa.Table, numbers: Mapping[int, int]) -> pa.Table:
    """Give devices other numbers; `numbers` maps old ones to new ones."""
    if not numbers or not cells.num_rows:
        return cells
    old = np.array(sorted(numbers), np.int64)
    new = np.array([numbers[number] for number in old.tolist()], np.int64)
    devices = cells["device"].to_numpy().astype(np.int64)
    places = np.minimum(np.searchsorted(old, devices), len(old) - 1)
    renumbered = np.where(old[places] == devices, new[places], devices)
    place = cells.schema.get_field_index("device")
    return cells.set_column(place, CELL_SCHEMA.field(place), pa.array(renumbered, pa.int32()))


def rows_by_chunk(cells: pa.Table) -> dict[int, int]:
    """Add up rows by chunk."""
    chunks, places = np.unique(cells["chunk"].to_numpy(), return_inverse=True)
    rows = np.zeros(len(chunks), np.int64)
    np.add.at(rows, places, cells["rows"].to_numpy())
    return dict(zip(chunks.tolist(), rows.tolist(), strict=True))


def cells_by_chunk(cells: pa.Table) -> dict[int, int]:
    """Count cells by chunk."""
    chunks, counts = np.unique(cells["chunk"].to_numpy(), return_counts=True)
    return dict(zip(chunks.tolist(), counts.tolist(), strict=True))
