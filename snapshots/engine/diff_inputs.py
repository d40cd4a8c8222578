"""Read the states to compare: snapshots, and a database as it is now."""

import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime

import pyarrow as pa
from psycopg import Connection

from backups_portal.lib import pgsession
from backups_portal.lib.failure_causes import Cause
from backups_portal.lib.thread_pool import check_stopped, run_parallel
from backups_portal.projectdb.catalogue import RESOURCE_TABLES, VARIABLE
from snapshots.engine.contents_index import (
    CELLS,
    KeptCells,
    keep_cells,
    keep_nothing,
    read_cells,
    read_devices,
)
from snapshots.engine.day_device_counts import (
    CELL_SCHEMA,
    SeriesDevices,
    add_cells,
    count_cells,
    renumber,
    rows_by_chunk,
)
from snapshots.engine.difference import Difference, State, TableState, compare_states
from snapshots.engine.digest import Digest, row_words, table_digest
from snapshots.engine.errors import EngineError
from snapshots.engine.instant_reader import Reader, open_reader
from snapshots.engine.inventory import note_series
from snapshots.engine.manifest import Manifest
from snapshots.engine.orphan_rows import drop_orphans
from snapshots.engine.reading_plan import (
    ReadJob,
    check_schema,
    find_start,
    kept_columns,
    plan_reading,
)
from snapshots.engine.run_progress import OnProgress, Progress
from snapshots.engine.segment_plan import ChunkRange
from snapshots.engine.segments import total_digest
from snapshots.engine.source_database import Instant, open_instant
from snapshots.engine.storage import Storage


@dataclass(frozen=True)
class LiveReading:
    """When a main database was read to compare it, and how much of it.

    Attributes:
        everything: All rows were read, because the newest backup was no usable base.
    """

    seen_at: datetime
    rows: int
    chunks: int
    everything: bool


def stored_state(storage: Storage, manifest: Manifest) -> State:
    """Describe a snapshot without opening its objects of cells.

    Raises:
        EngineError: the object that lists its devices is missing or damaged.
    """
    devices = read_devices(storage, manifest.contents)
    return State(
        tables={
            name: TableState(
                sum(segment.rows for segment in manifest.of(name)),
                total_digest(manifest.of(name)),
                columns,
            )
            for name, columns in manifest.columns.items()
            if name != VARIABLE.name
        },
        devices={device.device_id: device.name for device in devices},
        numbers={device.number: device.device_id for device in devices if device.number},
        chunk_rows=chunk_rows(manifest),
        columns=manifest.columns[VARIABLE.name],
        segments=tuple(manifest.of(VARIABLE.name)),
        objects={item.key: item for item in manifest.contents if item.table == CELLS},
        cells=CELL_SCHEMA.empty_table(),
    )


def chunk_rows(manifest: Manifest) -> dict[int, int]:
    """Count rows of variables by chunk."""
    rows: dict[int, int] = {}
    for segment in manifest.of(VARIABLE.name):
        for chunk, count in segment.chunk_rows.items():
            rows[chunk] = rows.get(chunk, 0) + count
    return rows


def find_difference(storage: Storage, before: State, after: State) -> Difference:
    """Compare two states, opening only objects that just one of them has.

    Raises:
        EngineError: one of those is missing or damaged, or the states have different columns.
    """
    if before.columns != after.columns:
        raise EngineError(
            "These two were recorded by versions that compare rows differently; "
            "they cannot be compared.",
            cause=Cause.VERSION,
        )
    numbers = _numbers_as_before(before, after)
    names = {numbers.get(number, number): device for number, device in after.numbers.items()}
    difference = compare_states(
        before,
        replace(after, numbers=names),
        _cells_alone(storage, before, after),
        renumber(_cells_alone(storage, after, before), numbers),
    )
    remade = (after.numbers[number] for number, old in numbers.items() if old in before.numbers)
    return replace(difference, remade=frozenset(remade))


def _numbers_as_before(before: State, after: State) -> dict[int, int]:
    """Return new numbers for devices of `after`, by their own numbers.

    A device that was deleted and made again gets its number in `before`; a new device gets a free
    number if its own belonged to another device.
    """
    known = {device: number for number, device in before.numbers.items()}
    free = itertools.count(max([*before.numbers, *after.numbers], default=0) + 1)
    numbers = {
        number: known.get(device) or (next(free) if number in before.numbers else number)
        for number, device in after.numbers.items()
    }
    return {own: number for own, number in numbers.items() if own != number}


def _cells_alone(storage: Storage, state: State, other: State) -> pa.Table:
    alone = [item for key, item in state.objects.items() if key not in other.objects]
    return pa.concat_tables([state.cells, read_cells(storage, alone)])


def live_state(
    dsn: str,
    storage: Storage,
    *,
    find_base: Callable[[str], Manifest | None],
    most_rows: int | None,
    readers: int,
    on_progress: OnProgress,
) -> tuple[State, LiveReading]:
    """Describe a main database now, reading what a snapshot would read.

    Reads in one MVCC snapshot, writes nothing, and leaves the change marks in place.

    Args:
        find_base: Returns the manifest with this `mark`, if its snapshot is stored and good.
        most_rows: Read no more variables than about this many.

    Raises:
        EngineError: more would have to be read, or the database or the base cannot be read.
    """
    # Somebody is waiting for the page.
    dsn = pgsession.session_dsn(dsn, settings=pgsession.PAGE)
    with open_instant(dsn, read_only=True) as (connection, instant):
        check_schema(instant)
        base = find_base(instant.marks_since) if instant.marks_since else None
        devices = note_series(connection)
        instant, usable = find_start(connection, storage, base, instant, devices)
        if usable is None:
            _refuse(instant.estimate_rows([VARIABLE.name]), most_rows)
        plan = plan_reading(connection, instant, None, usable)
        _refuse(plan.rows, most_rows)
        kept = keep_cells(storage, usable.contents, plan.read) if usable else keep_nothing()
        looking = _Looking(instant, devices, on_progress, plan.rows)
        jobs = [ReadJob(table) for table in RESOURCE_TABLES if table.name in looking.columns]
        jobs += [ReadJob(VARIABLE, chunks) for chunks in plan.read]
        run_parallel(
            jobs, looking.read, workers=readers, resource=lambda: open_reader(dsn, instant)
        )
        state = looking.state(usable, kept, plan.read, _devices(connection))
        marked = len(instant.marks)
        return state, LiveReading(instant.taken_at, looking.rows, marked, usable is None)


def _refuse(rows: int, most: int | None) -> None:
    if most is not None and rows > most:
        raise EngineError(
            f"About {rows:,} rows would have to be read from the main database; "
            f"{most:,} is the most that is read for a page."
        )


def _devices(connection: Connection) -> list[tuple[str, str, int | None]]:
    """Read id, name and number of every device."""
    return connection.execute(
        """SELECT device.id, name, min(series.id) FROM device
           LEFT JOIN series ON device_id = device.id GROUP BY device.id"""
    ).fetchall()


@dataclass
class _Looking:
    """The threads' shared state: what has been read of the database."""

    instant: Instant
    devices: SeriesDevices
    on_progress: OnProgress
    rows_total: int
    rows: int = 0
    tables: dict[str, TableState] = field(default_factory=dict)
    cells: list[pa.Table] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.columns = kept_columns(self.instant)

    def read(self, reader: Reader, job: ReadJob) -> None:
        columns = self.columns[job.table.name]
        if job.table is VARIABLE:
            for found in reader.rows(job.table, job.chunks, numbers=False):
                part, _ = drop_orphans(found, self.devices)
                low, _ = row_words(part, columns)
                self.cells.append(count_cells(part, low, self.devices))
                self._count(part.num_rows)
            return
        rows, digest = 0, Digest()
        for part in reader.rows(job.table):
            rows, digest = rows + part.num_rows, digest + table_digest(part, columns)
            # Only variables count towards the total.
            self._count(0)
        self.tables[job.table.name] = TableState(rows, digest, columns)

    def _count(self, rows: int) -> None:
        check_stopped()
        with self.lock:
            self.rows += rows
            total = max(self.rows_total, self.rows)
            self.on_progress(Progress(self.rows, total, "reading"))

    def state(
        self,
        base: Manifest | None,
        kept: KeptCells,
        read: list[ChunkRange],
        devices: list[tuple[str, str, int | None]],
    ) -> State:
        """Combine what was read with the base's figures for everything else."""
        new = add_cells(self.cells)
        known = chunk_rows(base) if base else {}
        rest = {
            chunk: rows
            for chunk, rows in known.items()
            if not any(part.holds(chunk) for part in read)
        }
        order = [table.name for table in RESOURCE_TABLES if table.name in self.tables]
        return State(
            tables={name: self.tables[name] for name in order},
            devices={device: name for device, name, _ in devices},
            numbers={number: device for device, _, number in devices if number},
            chunk_rows={**rest, **rows_by_chunk(new)},
            columns=self.columns[VARIABLE.name],
            segments=(),
            objects={item.key: item for item in kept.objects},
            cells=pa.concat_tables([*(cells for _, cells in kept.ranges), new]),
        )
