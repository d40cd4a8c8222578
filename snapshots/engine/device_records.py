"""Read the records of one device out of a snapshot's segments.

Segments are chosen without opening them: the manifest says which ones cover a period, and the cells
(day_device_counts.py) on which days the device has rows. The statistics of a segment's row groups
say which series they hold, and only the needed columns of the remaining groups are decoded. A
segment is in memory as a whole, because its bytes can only then be checked against its name or
decrypted; it has a few MB at most, and few of them are in memory at a time.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from time import monotonic
from typing import NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from backups_portal.projectdb.catalogue import VARIABLE
from snapshots.engine.contents_index import Device, DeviceCells
from snapshots.engine.manifest import Manifest, Segment
from snapshots.engine.segment_plan import ChunkRange, by_range
from snapshots.engine.segments import check_columns, read_segment
from snapshots.engine.series_search import Cursor, Selection, Series, newest_rows, rows_of
from snapshots.engine.storage import Storage

# Segments that are read in parallel; a bucket takes long to answer each request.
AHEAD = 6
Result = TypeVar("Result")
Parts = tuple[ChunkRange, list[Segment]]


class TooLongError(Exception):
    """The request's time is up, and not everything was read.

    Attributes:
        chunk: The chunk at which reading stopped.
    """

    def __init__(self, chunk: int | None) -> None:
        super().__init__("There is more to read than one request may.")
        self.chunk = chunk


class Newest(NamedTuple):
    """Records, newest first.

    Attributes:
        rows: With the columns of a segment.
        after: Where the next page begins; None after the last record.
        is_cut: Whether time ran out before as many as asked for were found.
    """

    rows: pa.Table
    after: Cursor | None
    is_cut: bool


@dataclass(frozen=True)
class Span:
    """Records of a series, with the first and last time (µs since 1970)."""

    series: Series
    rows: int
    first: int
    last: int


class DeviceRecords:
    """The records of one device in one snapshot.

    Args:
        seconds: How long reading may take in total.

    Raises:
        EngineError: reading finds an object missing, damaged or locked.
    """

    def __init__(
        self, storage: Storage, manifest: Manifest, device: Device, *, seconds: float = 10.0
    ) -> None:
        self._storage = storage
        self._manifest = manifest
        self.device = device
        self._until = monotonic() + seconds
        self._cells = DeviceCells(storage)

    @cached_property
    def series(self) -> tuple[Series, ...]:
        """Return the device's series, sorted by variable, type and unit."""
        found = []
        for segment in self._manifest.of("series"):
            table = read_segment(self._storage, segment)
            check_columns(
                table.column_names, ("id", "device_id", "variable", "type", "unit"), "series"
            )
            of_device = table.filter(pc.equal(table["device_id"], self.device.device_id))
            found += [
                Series(row["id"], row["variable"], row["type"], row["unit"])
                for row in of_device.to_pylist()
            ]
        return tuple(sorted(found, key=lambda one: (one.variable, one.type, one.unit or "")))

    def newest(
        self, selection: Selection, *, before: Cursor | None = None, limit: int = 50
    ) -> Newest:
        """Read the newest records of a selection that come before a cursor."""
        chosen = selection.before(before)
        found: list[pa.Table] = []
        count = 0
        try:
            for rows in self._each(
                chosen,
                lambda segment: newest_rows(self._storage, segment, chosen, before, limit + 1),
                is_newest_first=True,
            ):
                found.append(_newest_of(rows, limit + 1))
                count += found[-1].num_rows
                if count > limit:
                    break
        except TooLongError as over:
            return Newest(_joined(found), Cursor.at_chunk(over.chunk), is_cut=True)
        rows = _joined(found)
        if rows.num_rows <= limit:
            return Newest(rows, None, is_cut=False)
        rows = rows.slice(0, limit)
        return Newest(rows, Cursor.of(rows, limit - 1), is_cut=False)

    def parts(self, selection: Selection, columns: Sequence[str]) -> Iterator[pa.Table]:
        """Yield the records of a selection, oldest part first, otherwise unsorted.

        Raises:
            TooLongError: the time is up.
        """
        for rows in self._each(
            selection, lambda segment: rows_of(self._storage, segment, selection, columns)
        ):
            part = pa.concat_tables(rows)
            if part.num_rows:
                yield part

    def spans(self, selection: Selection) -> list[Span]:
        """Count the records of each series that has any; raises as `parts` does."""
        totals: dict[int, tuple[int, int, int]] = {}
        for part in self.parts(selection, ("series_id", "time")):
            times = part.set_column(1, "time", part["time"].cast(pa.int64()))
            sums = times.group_by("series_id").aggregate(
                [("time", "count"), ("time", "min"), ("time", "max")]
            )
            for row in sums.to_pylist():
                rows, first, last = totals.get(row["series_id"], (0, row["time_min"], 0))
                last = max(last, row["time_max"]) if rows else row["time_max"]
                totals[row["series_id"]] = (
                    rows + row["time_count"],
                    min(first, row["time_min"]),
                    last,
                )
        return [Span(one, *totals[one.number]) for one in selection.series if one.number in totals]

    def _each(
        self,
        selection: Selection,
        read: Callable[[Segment], Result],
        *,
        is_newest_first: bool = False,
    ) -> Iterator[list[Result]]:
        """Yield the results of each part of time that has rows, in order."""
        if not selection.series or self.device.number is None:
            return
        lifetime = Selection.between((), self.device.first, self.device.last).chunks

        def work(part: Parts) -> list[Result]:
            chunks, segments = part
            within = selection.chunks.overlap(chunks)
            if within is None or not self._holds(within):
                return []
            return [read(segment) for segment in segments if segment.rows]

        parts = [
            (chunks, segments)
            for chunks, segments in by_range(self._manifest.of(VARIABLE.name))
            if chunks.meets(selection.chunks) and chunks.meets(lifetime)
        ]
        yield from self._in_order(parts[::-1] if is_newest_first else parts, work)

    def _in_order(
        self, parts: Sequence[Parts], work: Callable[[Parts], list[Result]]
    ) -> Iterator[list[Result]]:
        """Process parts in a few threads; read further ahead after the first part."""
        waiting: deque[tuple[Parts, Future[list[Result]]]] = deque()
        coming = iter(parts)
        ahead = 1
        with ThreadPoolExecutor(AHEAD) as pool:
            try:
                while True:
                    while len(waiting) < ahead and (part := next(coming, None)) is not None:
                        waiting.append((part, pool.submit(work, part)))
                    if not waiting:
                        return
                    (chunks, _), future = waiting.popleft()
                    if monotonic() > self._until:
                        raise TooLongError(chunks.end)
                    if found := future.result():
                        yield found
                    ahead = AHEAD
            finally:
                for _, future in waiting:
                    future.cancel()

    def _holds(self, chunks: ChunkRange) -> bool:
        found = self._cells.within(self._manifest.contents, self.device.number, chunks)
        return any(cells.num_rows for cells in found)


def _joined(tables: Sequence[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables) if tables else pa.table({})


def _newest_of(tables: Sequence[pa.Table], limit: int) -> pa.Table:
    whole = pa.concat_tables(tables)
    order = pc.sort_indices(whole, sort_keys=[("time", "descending"), ("id", "descending")])
    return whole.take(order[:limit])
