"""Variables in PostgreSQL's binary COPY format, made from whole columns.

A driver that goes through the rows takes 0.7 µs for each; here rows of one shape (which values are
missing, and how long the texts are) are one array of records. Format:
https://www.postgresql.org/docs/18/sql-copy.html.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

COPY_VARIABLES = (
    "COPY variable (series_id, time, created_at, number_value, text_value, group_key, location,"
    " metadata, id) FROM STDIN (FORMAT binary)"
)
BEGIN = b"PGCOPY\n\xff\r\n\0" + bytes(8)
END = b"\xff\xff"
FIELDS = 9
NULL = -1
# Microseconds between 1970 and 2000, where PostgreSQL counts from.
POSTGRESQL_EPOCH = 946_684_800_000_000
# Rows of rarer shapes are written one by one, which takes less than making an array for them.
MANY = 32
MAX_SHAPES = 1 << 40

Rows = npt.NDArray[np.intp]
Lengths = npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Numbers:
    """A column of numbers, or of some numbers a row."""

    values: npt.NDArray[np.generic]
    valid: npt.NDArray[np.bool_] | None = None

    @property
    def lengths(self) -> Lengths:
        """Bytes of each value; NULL where there is none."""
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
    """A column of texts: one behind the other, and where each begins."""

    data: npt.NDArray[np.uint8]
    offsets: Lengths
    valid: npt.NDArray[np.bool_] | None

    @property
    def lengths(self) -> Lengths:
        """Bytes of each text; NULL where there is none."""
        lengths = np.diff(self.offsets)
        if self.valid is not None:
            lengths[~self.valid] = NULL
        return lengths

    def bytes_of(self, row: int) -> bytes:
        return self.data[self.offsets[row] : self.offsets[row + 1]].tobytes()

    def take(self, rows: Rows, length: int) -> npt.NDArray[np.generic]:
        first = int(self.offsets[0])
        if self.offsets[-1] - first == length * (len(self.offsets) - 1) and self.valid is None:
            # All texts are equally long, as groups are mostly.
            return self.data[first : int(self.offsets[-1])].view(f"V{length}")[rows]
        places = self.offsets[rows][:, None] + np.arange(length)
        return self.data[places].view(f"V{length}").reshape(len(rows))


def encode_rows(rows: pa.Table) -> Iterator[bytes | memoryview]:
    """What COPY_VARIABLES reads of the columns of a segment; rows are in no order.

    Args:
        rows: At least one row; times in microseconds.
    """
    columns = _columns(rows)
    lengths = [column.lengths for column in columns]
    yield BEGIN
    rare: list[int] = []
    for alike in _by_shape(lengths):
        if len(alike) < MANY:
            rare += alike.tolist()
        else:
            yield _encode_alike(columns, [int(length[alike[0]]) for length in lengths], alike)
    yield b"".join(_encode_row(columns, lengths, row) for row in rare) + END


def _columns(rows: pa.Table) -> list[_Numbers | _Texts]:
    return [
        _numbers(rows["series_id"]),
        _moments(rows["time"]),
        _moments(rows["created_at"]),
        _numbers(rows["number_value"]),
        _texts(rows["text_value"]),
        _texts(rows["group_key"]),
        _points(rows["longitude"], rows["latitude"]),
        _texts(rows["metadata"]),
        _numbers(rows["id"]),
    ]


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
    return _Texts(texts, bounds, _validity(array))


def _by_shape(lengths: list[Lengths]) -> Iterator[Rows]:
    """The rows of each combination of lengths."""
    shapes, count = np.zeros(len(lengths[0]), np.int64), 1
    for length in lengths:
        low, span = int(length.min()), int(np.ptp(length)) + 1
        if count * span > MAX_SHAPES:
            _, shapes = np.unique(shapes, return_inverse=True)
            count = int(shapes.max()) + 1
        if span > 1:
            shapes, count = shapes * span + (length - low), count * span
    # Sorting 16 bits takes a tenth of the time.
    keys = shapes.astype(np.int16) if count <= 1 << 15 else shapes
    order = np.argsort(keys, kind="stable")
    yield from np.split(order, np.flatnonzero(np.diff(keys[order])) + 1)


def _encode_alike(columns: list[_Numbers | _Texts], lengths: list[int], rows: Rows) -> memoryview:
    fields: list[tuple[str, str]] = [("fields", ">i2")]
    for number, length in enumerate(lengths):
        fields.append((f"length {number}", ">i4"))
        if length > 0:
            fields.append((f"value {number}", f"V{length}"))
    records = np.empty(len(rows), np.dtype(fields))
    records["fields"] = FIELDS
    for number, (column, length) in enumerate(zip(columns, lengths, strict=True)):
        records[f"length {number}"] = length
        if length > 0:
            records[f"value {number}"] = column.take(rows, length)
    return records.view(np.uint8).data


def _encode_row(columns: list[_Numbers | _Texts], lengths: list[Lengths], row: int) -> bytes:
    parts = [struct.pack(">h", FIELDS)]
    for column, length in zip(columns, lengths, strict=True):
        parts.append(struct.pack(">i", length[row]))
        if length[row] > 0:
            parts.append(column.bytes_of(row))
    return b"".join(parts)
