"""Encode rows of `variable` in PostgreSQL's binary COPY format.

Records and columns are encoded here instead of by psycopg's `write_row`, which determines the type
of every value again and takes three times as long for a record. Rows of columns that share a shape
(which values are missing, and how long the texts are) become one array: 0.15 µs for each row
instead of 0.7 µs. Format: https://www.postgresql.org/docs/18/sql-copy.html.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from backups_portal.projectdb.catalogue import VARIABLE_COLUMNS, copy_variables
from backups_portal.projectdb.columns import POSTGRESQL_EPOCH, Column, ColumnType
from backups_portal.projectdb.records import Record

# PostgreSQL fills these in for new records.
GENERATED = ("created_at", "id")
COPY_RECORDS = copy_variables(without=GENERATED)
COPY_TABLE = copy_variables()

BEGIN = b"PGCOPY\n\xff\r\n\0" + bytes(8)
END = b"\xff\xff"
# A row begins with its number of fields; every field is its length in bytes and its value.
RECORD_FIELDS = len(VARIABLE_COLUMNS) - len(GENERATED)
NULL = -1
# Rows of shapes rarer than MANY are written one by one, which is faster than making an array of
# them. So are rows longer than LONG: locating their bytes in an array takes eight times their size.
MANY, LONG = 32, 4_096
# Rows of one shape that are encoded at a time: few enough to stay in a core's cache.
BLOCK_ROWS = 4_096
# The size of blocks in which rows that are written one by one are sent.
BLOCK_BYTES = 4 << 20
MAX_SHAPES = 1 << 40
# Pieces that are sent at once: about 300 records.
MAX_PIECES = 1_000

Rows = npt.NDArray[np.intp]
Lengths = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Numbers:
    """A column of numbers, or of several numbers for each row."""

    values: npt.NDArray[np.generic]
    valid: npt.NDArray[np.bool_] | None = None

    @property
    def lengths(self) -> Lengths:
        """Return the size of each value in bytes; NULL if it is missing."""
        size = self.values.dtype.itemsize * int(np.prod(self.values.shape[1:], dtype=int))
        if self.valid is not None:
            return np.where(self.valid, size, NULL)
        return np.broadcast_to(np.int64(size), len(self.values))

    def bytes_of(self, row: int) -> bytes:
        return self.values[row : row + 1].astype(self.values.dtype.newbyteorder(">")).tobytes()

    def take(self, rows: Rows, length: int) -> npt.NDArray[np.generic]:
        values = self.values[rows].astype(self.values.dtype.newbyteorder(">"))
        return np.ascontiguousarray(values).view(f"V{length}").reshape(len(rows))


@dataclass(frozen=True)
class _Texts:
    """A column of texts: their concatenation, and the offset of each."""

    data: npt.NDArray[np.uint8]
    offsets: Lengths
    valid: npt.NDArray[np.bool_] | None
    # Whether all have the same length, as groups mostly do, and none is missing.
    are_alike: bool

    @property
    def lengths(self) -> Lengths:
        """Return the size of each text in bytes; NULL if it is missing."""
        if self.are_alike:
            return np.broadcast_to(self.offsets[1] - self.offsets[0], len(self.offsets) - 1)
        lengths = np.diff(self.offsets)
        if self.valid is not None:
            lengths[~self.valid] = NULL
        return lengths

    def bytes_of(self, row: int) -> bytes:
        return self.data[self.offsets[row] : self.offsets[row + 1]].tobytes()

    def take(self, rows: Rows, length: int) -> npt.NDArray[np.generic]:
        if self.are_alike:
            whole = self.data[int(self.offsets[0]) : int(self.offsets[-1])]
            return whole.view(f"V{length}")[rows]
        places = self.offsets[rows][:, None] + np.arange(length)
        return self.data[places].view(f"V{length}").reshape(len(rows))


_NULL_FIELD = b"\xff\xff\xff\xff"
_SERIES_AND_TIME = struct.Struct(">hiiiq").pack
# The same with a number, and NULL as the text.
_WITH_NUMBER = struct.Struct(">hiiiqidi").pack
_POINT = struct.Struct(">idd").pack
_LENGTH = struct.Struct(">i").pack
_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def encode_records(
    records: Sequence[Record], series: Mapping[tuple[str, str, str | None], int]
) -> Iterator[bytes]:
    """Encode records for COPY_RECORDS.

    They come in pieces, so that the server stores one while the next is encoded.

    Args:
        series: Numbers of the series by variable, type and unit.
    """
    # Many records share few groups, so encode each group once.
    known: dict[str, bytes] = {}
    pieces = [BEGIN]
    moments = _microseconds([record.time for record in records])
    for (variable, kind, unit, number, text, group, _, location, metadata), moment in zip(
        records, moments, strict=True
    ):
        series_id = series[variable, kind, unit]
        encoded = known.get(group) or known.setdefault(group, _text(group))
        if number is None:
            pieces.append(_SERIES_AND_TIME(RECORD_FIELDS, 4, series_id, 8, moment))
            pieces.append(_NULL_FIELD * 2 if text is None else _NULL_FIELD + _text(text))
        else:
            pieces.append(_WITH_NUMBER(RECORD_FIELDS, 4, series_id, 8, moment, 8, number, NULL))
        pieces.append(encoded)
        if location is None and metadata is None:
            pieces.append(_NULL_FIELD * 2)
        else:
            pieces.append(_NULL_FIELD if location is None else _POINT(16, *location))
            pieces.append(_NULL_FIELD if metadata is None else _text(metadata))
        if len(pieces) > MAX_PIECES:
            yield b"".join(pieces)
            pieces = []
    pieces.append(END)
    yield b"".join(pieces)


def _microseconds(moments: Iterable[datetime]) -> list[int]:
    """Return microseconds since 2000 in a quarter of plain Python's time."""
    since = pa.array([moment - _EPOCH for moment in moments], pa.duration("us"))
    numbers: list[int] = since.view(pa.int64()).to_numpy().tolist()
    return numbers


def _text(text: str) -> bytes:
    encoded = text.encode()
    return _LENGTH(len(encoded)) + encoded


def encode_table(
    rows: pa.Table, *, of: Sequence[Column] = VARIABLE_COLUMNS
) -> Iterator[bytes | memoryview]:
    """Encode the columns of a segment for COPY_TABLE.

    The order of rows is kept within a shape only.

    Args:
        rows: At least one row; times in microseconds.
        of: The columns to copy, if some are left out.
    """
    columns = [_column(rows, column) for column in of]
    missing = np.broadcast_to(np.int64(NULL), rows.num_rows)
    lengths = [missing if column is None else column.lengths for column in columns]
    yield BEGIN
    rare: list[int] = []
    for alike in _by_shape(lengths):
        shape = [int(length[alike[0]]) for length in lengths]
        if len(alike) < MANY or sum(shape) > LONG:
            rare += alike.tolist()
        else:
            template = _template(shape)
            for start in range(0, len(alike), BLOCK_ROWS):
                yield _encode_alike(columns, template, alike[start : start + BLOCK_ROWS])
    yield from _in_blocks(_encode_row(columns, lengths, row) for row in rare)
    yield END


def _in_blocks(pieces: Iterator[bytes]) -> Iterator[bytes]:
    held, size = [], 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= BLOCK_BYTES:
            yield b"".join(held)
            held, size = [], 0
    yield b"".join(held)


def _column(rows: pa.Table, column: Column) -> _Numbers | _Texts | None:
    """Return a column's values; None if there are none."""
    if all(rows[name].null_count == rows.num_rows for name in column.segment_names):
        return None
    if column.type == ColumnType.POINT:
        return _points(*(rows[name] for name in column.segment_names))
    values = rows[column.name]
    if column.type == ColumnType.MOMENT:
        return _moments(values)
    return _texts(values) if column.type.is_text else _numbers(values)


def _validity(array: pa.Array) -> npt.NDArray[np.bool_] | None:
    return np.asarray(array.is_valid()) if array.null_count else None


def _numbers(column: pa.ChunkedArray) -> _Numbers:
    array = column.combine_chunks()
    return _Numbers(np.asarray(array.fill_null(0)), _validity(array))


def _moments(column: pa.ChunkedArray) -> _Numbers:
    return _Numbers(column.cast(pa.int64()).combine_chunks().to_numpy() - POSTGRESQL_EPOCH)


def _points(longitude: pa.ChunkedArray, latitude: pa.ChunkedArray) -> _Numbers:
    x, y = _numbers(longitude), _numbers(latitude)
    return _Numbers(np.column_stack([x.values, y.values]), x.valid)


def _texts(column: pa.ChunkedArray) -> _Texts:
    array = column.cast(pa.large_string()).combine_chunks()
    _, offsets, data = array.buffers()
    bounds = np.frombuffer(offsets, np.int64)[array.offset : array.offset + len(array) + 1]
    texts = np.frombuffer(data, np.uint8) if data is not None else np.empty(0, np.uint8)
    are_alike = not array.null_count and not np.ptp(np.diff(bounds))
    return _Texts(texts, bounds, _validity(array), are_alike)


def _by_shape(lengths: list[Lengths]) -> Iterator[Rows]:
    """Group rows by their combination of lengths."""
    shapes, count = np.zeros(len(lengths[0]), np.int64), 1
    for length in lengths:
        if not length.strides[0]:
            # A broadcast array: all lengths are the same.
            continue
        low, span = int(length.min()), int(np.ptp(length)) + 1
        if count * span > MAX_SHAPES:
            _, shapes = np.unique(shapes, return_inverse=True)
            count = int(shapes.max()) + 1
        if span > 1:
            shapes, count = shapes * span + (length - low), count * span
    # Sorting 16-bit keys takes a tenth of the time.
    keys = shapes.astype(np.int16) if count <= 1 << 15 else shapes
    order = np.argsort(keys, kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(keys[order])) + 1)


def _template(lengths: list[int]) -> npt.NDArray[np.void]:
    """Make a row without values: the number of fields, and their lengths."""
    kinds: list[tuple[str, str]] = [("fields", ">i2")]
    for number, length in enumerate(lengths):
        kinds.append((f"length {number}", ">i4"))
        if length > 0:
            kinds.append((f"value {number}", f"V{length}"))
    row = np.zeros(1, np.dtype(kinds))
    row["fields"] = len(lengths)
    for number, length in enumerate(lengths):
        row[f"length {number}"] = length
    return row


def _encode_alike(
    columns: list[_Numbers | _Texts | None], template: npt.NDArray[np.void], rows: Rows
) -> memoryview:
    records = np.repeat(template, len(rows))
    for number, column in enumerate(columns):
        if column and (name := f"value {number}") in (records.dtype.names or ()):
            records[name] = column.take(rows, records.dtype[name].itemsize)
    return records.view(np.uint8).data


def _encode_row(columns: list[_Numbers | _Texts | None], lengths: list[Lengths], row: int) -> bytes:
    parts = [struct.pack(">h", len(columns))]
    for column, length in zip(columns, lengths, strict=True):
        parts.append(struct.pack(">i", length[row]))
        if column and length[row] > 0:
            parts.append(column.bytes_of(row))
    return b"".join(parts)
