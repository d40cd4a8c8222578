"""Bring a slice's records from the source into the target.

Where nothing has to be judged, they are read as columns: the server joins the values of each, and
hashes every row as it reads it. Here they are sorted by series and time, so that the target's index
is filled page by page, which halves what it costs there (measured: decision 0005).
"""

import numpy as np
import numpy.typing as npt
import psycopg
import pyarrow as pa
from psycopg import sql

from backups_portal.projectdb.catalogue import VARIABLE_COLUMNS, copy_variables, variable_columns
from backups_portal.projectdb.pg_binary_copy import encode_table
from backups_portal.transfers.move.lane_digests import (
    ROW_HASH,
    Cell,
    Cells,
    Slice,
    digest_rows,
)
from backups_portal.transfers.move.series_map import Side
from backups_portal.transfers.move.tracks import Track
from snapshots.engine.column_reader import Columns, IrregularError, read_arrays

# A moved record gets another number, and the series that it has in the target.
RENEWED = ("series_id", "id")
COLUMNS = variable_columns(without=RENEWED)
OF_SOURCE = variable_columns(without=RENEWED, of="v")
COPIED = tuple(column for column in VARIABLE_COLUMNS if column.name != "id")
INTO = copy_variables(without=("id",))
WHERE = sql.SQL(
    " WHERE series_id = ANY({series}::integer[]) AND time >= {since} AND time < {until}"
)
# Columns of more rows would take too much memory: so many can have the same moment.
MAX_ROWS = 250_000
LOW = np.int64(0xFFFFFFFF)

# One row per series: only then does the planner hash these few, and pass records on as they lie.
READ = f"""COPY (
    SELECT {{columns}}, {OF_SOURCE}
    FROM (
        SELECT id, min(target) AS target, min(slot) AS slot, min(lane) AS lane
        FROM unnest(%(series)s::integer[], %(targets)s::integer[], %(slots)s::integer[],
                    %(lanes)s::integer[]) AS s (id, target, slot, lane)
        GROUP BY id
    ) AS s
    JOIN variable v ON v.series_id = s.id
    WHERE v.time >= %(since)s AND v.time < %(until)s
) TO STDOUT (FORMAT binary)"""  # noqa: S608 - constants of this file
# Bytes that are passed on at once: psycopg hands out a row at a time.
BUFFER = 1 << 18
TOO_LARGE = (psycopg.errors.ProgramLimitExceeded, psycopg.errors.OutOfMemory)

Numbers = npt.NDArray[np.int64]


def stream_rows(track: Track, side: Side, part: Slice) -> Cells:
    """Store a slice's records in the target, and return their digests by lane.

    Args:
        side: Series of the source, which exist in the target.
    """
    if not side.places:
        return {}
    try:
        with track.source.transaction():
            rows = _read(track, side, part)
    except (IrregularError, *TOO_LARGE):
        # Very many or long texts, or such as cannot be told from what stands between two.
        pipe_rows(track, side, part, columns="s.target", into=INTO)
        return digest_rows(track.source, side, part)
    if not rows.num_rows:
        return {}
    series, order = _sorted(rows)
    firsts = np.flatnonzero(np.diff(series, prepend=series[0] - 1))
    places = {place.series: place for place in side.places}
    found = [places[number] for number in series[firsts].tolist()]
    counts = np.diff(firsts, append=len(series))
    targets = np.repeat(np.array([place.target for place in found], np.int32), counts)
    hashes = rows["row_hash"].to_numpy()[order]
    rows = rows.select(rows.column_names[:-1]).take(order)
    rows = rows.set_column(0, "series_id", pa.array(targets))
    with track.target.cursor() as cursor, cursor.copy(INTO) as copy:
        for piece in encode_table(rows, of=COPIED):
            copy.write(piece)
    cells: Cells = {}
    for place, count, total in zip(found, counts.tolist(), _sums(hashes, firsts), strict=True):
        cell = Cell(count, total * place.seed)
        cells[place.lane] = cells.get(place.lane, Cell()) + cell
    return cells


def _read(track: Track, side: Side, part: Slice) -> pa.Table:
    where = WHERE.format(
        series=sql.Literal([place.series for place in side.places]),
        **{name: sql.Literal(bound) for name, bound in part.bounds().items()},
    )
    rows = read_arrays(track.source, where, _columns(track.is_wide))
    if rows is None:
        # Where some rows have a location or metadata, more will.
        track.is_wide = True
        rows = read_arrays(track.source, where, _columns(wide=True))
    if rows is None:
        raise IrregularError
    return rows


def _columns(wide: bool) -> Columns:
    return Columns(wide, numbers=False, row_hash=ROW_HASH, max_rows=MAX_ROWS)


def _sorted(rows: pa.Table) -> tuple[Numbers, Numbers]:
    """Return the sorted series, and the rows' order by series and time."""
    series = rows["series_id"].to_numpy()
    times = rows["time"].cast(pa.int64()).to_numpy()
    order = np.lexsort((times, series))
    return series[order], order


def _sums(hashes: Numbers, firsts: Numbers) -> list[int]:
    """Add up 64-bit hashes from each of these places to the next, without overflow."""
    high = np.add.reduceat(hashes >> 32, firsts).tolist()
    low = np.add.reduceat(hashes & LOW, firsts).tolist()
    return [(upper << 32) + lower for upper, lower in zip(high, low, strict=True)]


def pipe_rows(track: Track, side: Side, part: Slice, *, columns: str, into: str) -> None:
    """Copy a slice's records row by row, from one COPY into the other.

    Args:
        columns: Of `s`, before those of the record.
        into: The statement that takes them.
    """
    read = READ.format(columns=columns)
    with (
        track.source.cursor() as left,
        track.target.cursor() as right,
        left.copy(read, {**side.arrays(), **part.bounds()}) as rows,
        right.copy(into) as copy,
    ):
        buffer: list[bytes | memoryview] = []
        size = 0
        for row in rows:
            buffer.append(bytes(row))
            size += len(row)
            if size >= BUFFER:
                copy.write(b"".join(buffer))
                buffer, size = [], 0
        copy.write(b"".join(buffer))
