"""Write a device's records to a file while they are read, to save memory."""

import io
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from backups_portal.projectdb.record_csv import write_rows
from snapshots.engine.device_records import DeviceRecords
from snapshots.engine.record_rows import in_order_of_time, records_of
from snapshots.engine.series_search import ALL_COLUMNS, Selection, Series

# The columns of the CSV, with numbers as numbers; a boolean is 0 or 1.
PARQUET_SCHEMA = pa.schema(
    [
        ("variable", pa.string()),
        ("value_type", pa.string()),
        ("number", pa.float64()),
        ("text", pa.string()),
        ("unit", pa.string()),
        ("group", pa.string()),
        ("time", pa.timestamp("us", "UTC")),
        ("latitude", pa.float64()),
        ("longitude", pa.float64()),
        ("metadata", pa.string()),
    ]
)


def csv_pieces(records: DeviceRecords, selection: Selection, prefix: str) -> Iterator[bytes]:
    """Yield the records as CSV, oldest first, in the format of the import.

    Args:
        prefix: The hex digits with which the database's ids begin.

    Raises:
        EngineError: a segment is missing or damaged; what was yielded so far is incomplete.
    """
    rows = (
        record.as_csv()
        for part in _sorted_parts(records, selection)
        for record in records_of(part, selection.series, prefix)
    )
    for text in write_rows(rows):
        yield text.encode()


def parquet_pieces(records: DeviceRecords, selection: Selection) -> Iterator[bytes]:
    """Yield the records as Parquet, oldest first; raises as `csv_pieces` does.

    A file that breaks off lacks its footer, so no program takes it for a whole one.
    """
    sink = _Sink()
    with pq.ParquetWriter(sink, PARQUET_SCHEMA, compression="zstd") as writer:
        for part in _sorted_parts(records, selection):
            writer.write_table(_as_parquet(part, selection.series))
            yield sink.take()
    yield sink.take()


def _sorted_parts(records: DeviceRecords, selection: Selection) -> Iterator[pa.Table]:
    for part in records.parts(selection, ALL_COLUMNS):
        yield in_order_of_time(part, selection.series)


def _as_parquet(rows: pa.Table, series: tuple[Series, ...]) -> pa.Table:
    numbers = pa.array([one.number for one in series], pa.int32())
    places = pc.index_in(rows["series_id"], numbers)

    def of_series(values: list[str | None]) -> pa.ChunkedArray:
        return pc.take(pa.array(values, pa.string()), places)

    return pa.table(
        [
            of_series([one.variable for one in series]),
            of_series([one.type for one in series]),
            rows["number_value"],
            rows["text_value"],
            of_series([one.unit for one in series]),
            rows["group_key"],
            rows["time"],
            rows["latitude"],
            rows["longitude"],
            rows["metadata"],
        ],
        schema=PARQUET_SCHEMA,
    )


class _Sink(io.RawIOBase):
    """A write-only file whose bytes are taken while it is being written."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []
        self._place = 0

    def writable(self) -> bool:
        return True

    def write(self, content: bytes) -> int:  # type: ignore[override]
        piece = bytes(content)
        self._pieces.append(piece)
        self._place += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._place

    def take(self) -> bytes:
        """Return what was written since the last call."""
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)
