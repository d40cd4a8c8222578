"""Convert rows of variables in a segment to records."""

import math
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from backups_portal.projectdb.ids import variable_id
from backups_portal.projectdb.record_csv import RecordRow
from snapshots.engine.series_search import Series

# Rows that are Python objects at a time; a row with metadata takes some KiB.
BATCH_ROWS = 1_000
# Whole numbers below this are exact as doubles, and written without a decimal point.
MAX_WHOLE = 2**53

Value = int | float | str | bool | None


class Record(NamedTuple):
    """A record; `type` is number, string, boolean or none, `metadata` JSON."""

    id: str
    variable: str
    type: str
    value: Value
    unit: str | None
    group: str
    time: datetime
    latitude: float | None
    longitude: float | None
    metadata: str | None

    def as_csv(self) -> RecordRow:
        """Return the columns of a CSV file."""
        return (
            *(self.variable, self.value, self.group, self.unit),
            *(self.longitude, self.latitude, self.metadata, self.time),
        )


def records_of(rows: pa.Table, series: Iterable[Series], prefix: str) -> Iterator[Record]:
    """Yield the records of rows, in order and few at a time.

    Args:
        rows: Rows with all columns of a segment.
        prefix: The hex digits with which the database's ids begin.
    """
    by_number = {one.number: one for one in series}
    # `created_at` may be outside Python's range.
    columns = [name for name in rows.column_names if name != "created_at"]
    for batch in rows.select(columns).to_batches(max_chunksize=BATCH_ROWS):
        for row in batch.to_pylist():
            one = by_number[row["series_id"]]
            yield Record(
                id=variable_id(prefix, row["id"]),
                variable=one.variable,
                type=one.type,
                value=value_of(one.type, row["number_value"], row["text_value"]),
                unit=one.unit,
                group=row["group_key"],
                time=row["time"],
                latitude=row["latitude"],
                longitude=row["longitude"],
                metadata=row["metadata"],
            )


def value_of(kind: str, number: float | None, text: str | None) -> Value:
    """Return a record's value as the API's JSON writes it."""
    if kind == "string":
        return text
    if kind == "none" or number is None:
        return None
    if kind == "boolean":
        return number != 0
    if not math.isfinite(number):
        # JSON has no infinite numbers and no NaN.
        return str(number).replace("nan", "NaN").replace("inf", "Infinity")
    is_whole = number.is_integer() and abs(number) < MAX_WHOLE
    return int(number) if is_whole else number


def in_order_of_time(rows: pa.Table, series: Iterable[Series]) -> pa.Table:
    """Sort rows by time, variable and number, as exports of the database do."""
    names = sorted({one.variable for one in series})
    ranks = {one.number: names.index(one.variable) for one in series}
    numbers = rows["series_id"].to_pylist()
    ranked = rows.append_column("rank", pa.array([ranks[number] for number in numbers], pa.int32()))
    keys = [("time", "ascending"), ("rank", "ascending"), ("id", "ascending")]
    return rows.take(pc.sort_indices(ranked, sort_keys=keys))
