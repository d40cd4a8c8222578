"""Find the rows of some series in a segment, decoding only what is needed."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from backups_portal.projectdb.catalogue import VARIABLE_COLUMNS
from backups_portal.projectdb.columns import arrow_type
from backups_portal.ui.formats import count
from snapshots.engine.errors import DamagedSnapshotError
from snapshots.engine.manifest import Segment
from snapshots.engine.pg_timestamps import DAY, EPOCH, FIRST_CHUNK, LAST_CHUNK
from snapshots.engine.segment_plan import ChunkRange
from snapshots.engine.segments import check_columns, read_bytes
from snapshots.engine.storage import Storage

TYPES = {
    name: arrow_type(column.type) for column in VARIABLE_COLUMNS for name in column.segment_names
}
ALL_COLUMNS = tuple(TYPES)
KEYS = ("series_id", "time", "id")
# Columns that are so cheap to decode that checking first whether they are needed does not pay.
NUMBERS = frozenset({*KEYS, "number_value", "created_at", "longitude", "latitude"})
# The types of values in users' words.
VALUE_TYPES = {"number": "Number", "string": "Text", "boolean": "True or false", "none": "No value"}
MICROSECOND = timedelta(microseconds=1)
CURSOR = re.compile(r"(-?[0-9]{1,18})\.(-?[0-9]{1,19})", re.ASCII)
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Series:
    """What a series' records share; `type` is number, string, boolean or none."""

    number: int
    variable: str
    type: str
    unit: str | None


class Cursor(NamedTuple):
    """A position among records: a time (µs since 1970) and a record's number."""

    time: int
    number: int

    def __str__(self) -> str:
        return f"{self.time}.{self.number}"

    @classmethod
    def parse(cls, text: str) -> "Cursor":
        """Read a cursor from its text; ValueError if it is none."""
        if not (found := CURSOR.fullmatch(text)):
            raise ValueError("This is not a position in a list of records.")
        return cls(int(found[1]), int(found[2]))

    @classmethod
    def of(cls, rows: pa.Table, place: int) -> "Cursor":
        """Return the cursor of a row."""
        return cls(rows["time"].cast(pa.int64())[place].as_py(), rows["id"][place].as_py())

    @classmethod
    def at_chunk(cls, chunk: int | None) -> "Cursor":
        """Return the position before a day's records; None is the end of time."""
        return cls((LAST_CHUNK + 1 if chunk is None else chunk) * DAY, 0)


@dataclass(frozen=True)
class Selection:
    """A selection of a device's records.

    Attributes:
        since, until: From this moment on, and before that one (µs since 1970); None: no bound.
        group: Only records of this group; empty for all.
    """

    series: tuple[Series, ...]
    since: int | None = None
    until: int | None = None
    group: str = ""

    @classmethod
    def between(
        cls, series: tuple[Series, ...], first: datetime | None, last: datetime | None
    ) -> "Selection":
        """Select the records between two moments, both included."""
        return cls(series, micros(first), None if last is None else (micros(last) or 0) + 1)

    @property
    def chunks(self) -> ChunkRange:
        """Return the days on which its records may be."""
        first = None if self.since is None else _chunk(self.since)
        end = None if self.until is None else _chunk(self.until - 1) + 1
        if first is not None and end is not None and end <= first:
            # Nothing is selected, but a range needs a day; rows are checked by their time anyway.
            end = first + 1
        return ChunkRange(first, end)

    def before(self, cursor: Cursor | None) -> "Selection":
        """Return the part of the selection that comes before a cursor."""
        if cursor is None:
            return self
        end = cursor.time + 1
        return replace(self, until=end if self.until is None else min(end, self.until))


def micros(moment: datetime | None) -> int | None:
    """Count the microseconds from 1970 to a moment."""
    return None if moment is None else (moment - EPOCH) // MICROSECOND


def _chunk(time: int) -> int:
    return min(max(time // DAY, FIRST_CHUNK), LAST_CHUNK)


def rows_of(
    storage: Storage, segment: Segment, selection: Selection, columns: Sequence[str]
) -> pa.Table:
    """Read the rows of a selection in a segment, in the segment's order.

    Raises:
        EngineError: the segment is missing or damaged.
    """
    found = []
    # Decoding keys and numbers in one call is cheaper than in two.
    small = tuple(name for name in columns if name in NUMBERS)
    for match in _matches(storage, segment, selection, small):
        # The compared columns are decoded already.
        others = [name for name in columns if name not in match.rows.column_names]
        rows = match.rows
        if others:
            for name, values in zip(others, match.read(others).columns, strict=True):
                rows = rows.append_column(name, values)
        found.append(rows.select(list(columns)).take(pa.array(match.places)))
    return pa.concat_tables([_schema(columns).empty_table(), *found])


def newest_rows(
    storage: Storage, segment: Segment, selection: Selection, before: Cursor | None, limit: int
) -> pa.Table:
    """Read the newest rows of a selection; raises as `rows_of` does.

    Only the keys are decoded in row groups without a returned row.
    """
    found: list[tuple[_Match, Numbers, Numbers, Numbers]] = []
    for match in _matches(storage, segment, selection):
        places = match.places
        times, numbers = _times(match.rows)[places], match.read(["id"])["id"].to_numpy()[places]
        if before is not None:
            is_before = (times < before.time) | ((times == before.time) & (numbers < before.number))
            places, times, numbers = places[is_before], times[is_before], numbers[is_before]
        found.append((match, places, times, numbers))
    tables = [_schema(ALL_COLUMNS).empty_table()]
    if found:
        times, numbers = (np.concatenate([part[at] for part in found]) for at in (2, 3))
        sources = np.repeat(np.arange(len(found)), [len(part[1]) for part in found])
        places = np.concatenate([part[1] for part in found])
        chosen = np.lexsort((numbers, times))[::-1][:limit]
        for number in np.unique(sources[chosen]):
            rows = pa.array(places[chosen[sources[chosen] == number]])
            tables.append(found[number][0].read(ALL_COLUMNS).take(rows))
    return pa.concat_tables(tables)


class _File:
    """A segment in memory, read by row groups and columns."""

    def __init__(self, segment: Segment, content: bytes) -> None:
        self._segment = segment
        with self._damage():
            self._file = pq.ParquetFile(pa.BufferReader(content))
            self._names = set(self._file.schema_arrow.names)
        rows = self._file.metadata.num_rows
        if rows != segment.rows:
            raise DamagedSnapshotError(
                f"A part of this backup ({segment.table}) holds {count(rows, 'row')} instead of "
                f"{segment.rows:,}."
            )

    def groups(self, numbers: Numbers) -> Iterator[int]:
        """Yield the row groups that may have one of these series."""
        place = self._file.schema_arrow.get_field_index(KEYS[0])
        for group in range(self._file.num_row_groups):
            known = self._file.metadata.row_group(group).column(place).statistics
            is_known = known is not None and known.has_min_max
            if not is_known or np.any((numbers >= known.min) & (numbers <= known.max)):
                yield group

    def read(self, group: int, columns: Sequence[str]) -> pa.Table:
        """Read columns of a row group."""
        check_columns(self._names, columns, self._segment.table)
        with self._damage():
            found = self._file.read_row_group(group, columns=list(columns), use_threads=False)
            return found.select(list(columns)).cast(_schema(columns))

    @contextmanager
    def _damage(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError) as error:
            raise DamagedSnapshotError(
                f"A part of this backup ({self._segment.table}, {self._segment.key}) cannot be "
                "read as Parquet."
            ) from error


class _Match(NamedTuple):
    """Rows of a selection in a row group.

    Attributes:
        rows: All rows of the group, in the columns that were compared.
        places: The positions of the selected rows.
    """

    file: _File
    group: int
    rows: pa.Table
    places: Numbers

    def read(self, columns: Sequence[str]) -> pa.Table:
        """Read columns of the whole group."""
        return self.file.read(self.group, columns)


def _matches(
    storage: Storage, segment: Segment, selection: Selection, also: Sequence[str] = ()
) -> Iterator[_Match]:
    """Yield the row groups with rows of a selection.

    Args:
        also: Columns to decode together with the compared ones.
    """
    file = _File(segment, read_bytes(storage, segment))
    numbers = np.array([one.number for one in selection.series], np.int64)
    compared = ("series_id", "time", *(("group_key",) if selection.group else ()))
    wanted = tuple(dict.fromkeys((*compared, *also)))
    for group in file.groups(numbers):
        rows = file.read(group, wanted)
        times = _times(rows)
        series = rows["series_id"].to_numpy()
        found = series == numbers[0] if len(numbers) == 1 else np.isin(series, numbers)
        if selection.since is not None:
            found &= times >= selection.since
        if selection.until is not None:
            found &= times < selection.until
        if selection.group:
            found &= np.asarray(pc.equal(rows["group_key"], selection.group))
        if found.any():
            yield _Match(file, group, rows, np.flatnonzero(found))


def _times(rows: pa.Table) -> Numbers:
    found: Numbers = rows["time"].cast(pa.int64()).to_numpy()
    return found


def _schema(columns: Sequence[str]) -> pa.Schema:
    return pa.schema([(name, TYPES[name]) for name in columns])
