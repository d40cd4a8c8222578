"""Take a snapshot: first segments, then the manifest; marks go last."""

import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from uuid import UUID

import pyarrow as pa
from psycopg import Connection

from backups_portal.lib.loggers import get_logger
from backups_portal.lib.thread_pool import check_stopped, run_parallel
from backups_portal.projectdb.catalogue import RESOURCE_TABLES, TABLES, VARIABLE, Table
from snapshots.engine.contents_index import (
    DEVICES,
    EXCLUDED,
    encode_cells,
    encode_rows,
    excluded_totals,
    keep_nothing,
    rows_table,
)
from snapshots.engine.day_device_counts import SeriesDevices, add_cells, count_cells, rows_of_chunks
from snapshots.engine.digest import row_words, table_digest, words_digest
from snapshots.engine.errors import ExistingObjectError, UntrackedError
from snapshots.engine.few_resources import Resources, read_few
from snapshots.engine.full_reread import untracked_changes, wrong_counts
from snapshots.engine.instant_reader import Reader, open_reader
from snapshots.engine.inventory import DeviceNotes, note_devices, note_excluded, note_series
from snapshots.engine.layout import segment_folder
from snapshots.engine.manifest import Manifest, Segment, UntrackedChange
from snapshots.engine.orphan_rows import drop_orphans
from snapshots.engine.reading_plan import (
    CountJob,
    Job,
    KeepJob,
    Reading,
    ReadJob,
    ResourcesJob,
    check_schema,
    find_start,
    kept_columns,
    plan_jobs,
    plan_snapshot,
)
from snapshots.engine.run_progress import OnProgress, Progress
from snapshots.engine.segment_plan import ChunkRange
from snapshots.engine.segment_store import SegmentStore, read_back
from snapshots.engine.segments import Coverage, EncodedSegment, encode
from snapshots.engine.snapshot_steps import Step
from snapshots.engine.source_database import Clock, Instant, open_instant
from snapshots.engine.storage import Storage
from snapshots.engine.time_bounds import EdgeCounter

log = get_logger(__name__)

# Reading this few rows takes less time than opening a second connection.
FEW_ROWS = 32_768
LOAD_ORDER = {table.name: place for place, table in enumerate(TABLES)}


@dataclass(frozen=True)
class Source:
    """What a snapshot reads.

    Attributes:
        dsn: The main database.
        readers: How many connections read in parallel.
        base: The newest good snapshot of the same database; whatever has not changed since is
            reused from it.
        full: Read everything although the base is usable, and note in the manifest where the
            variables are not what the base and the marks predict. Every full snapshot, even one
            without a usable base, reads the objects that are in storage already, and notes which
            of them it had to write again.
        clock: As for `open_instant`.
    """

    dsn: str = field(repr=False)
    readers: int
    base: Manifest | None = None
    full: bool = False
    clock: Clock | None = None


@dataclass(frozen=True)
class Destination:
    """Where a snapshot is stored, its name, and labels for its manifest."""

    storage: Storage
    project_id: UUID
    snapshot_id: UUID
    labels: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Listener:
    """Callbacks that follow a snapshot while it is taken.

    Attributes:
        on_progress: Called from the reading threads after every segment, and from the caller's
            thread at each further step of the engine; its exceptions end the run.
        on_published: Called when everything is in storage and was read back; if it fails, the
            marks stay, so that the next run need not read everything.
        on_healed: Called from the reading threads with the name of each object that was damaged in
            storage and written again, whether or not the snapshot succeeds.
    """

    on_progress: OnProgress
    on_published: Callable[[Manifest], None] = lambda _: None
    on_healed: Callable[[str], None] = lambda _: None


def take_snapshot(source: Source, destination: Destination, listener: Listener) -> Manifest:
    """Store the state of a main database at this instant.

    Returns:
        The manifest, once it and every new object were read back from storage.

    Raises:
        EngineError: there is no snapshot, though a manifest may be left; a later run can succeed.
    """
    try:
        return _take(source, destination, listener)
    except UntrackedError:
        log.exception(
            "the base cannot be built upon, reading everything", snapshot=destination.snapshot_id
        )
        return _take(replace(source, full=True), destination, listener)


def _take(source: Source, destination: Destination, listener: Listener) -> Manifest:
    with open_instant(source.dsn, clock=source.clock) as (connection, instant):
        check_schema(instant)
        storage = destination.storage
        resources = read_few(source.dsn, connection, instant)
        devices = resources.series_devices() if resources else note_series(connection)
        same: Collection[str] = ()
        if resources and source.base:
            same = resources.same_as(source.base, kept_columns(instant))
        instant, base = find_start(connection, storage, source.base, instant, devices, same)
        reading = plan_snapshot(connection, instant, base, full=source.full, same=same)
        segment_store = _open_store(source, destination, listener, reading)
        run = _Run(destination, listener, segment_store, reading, devices, resources)
        segments = run.read_all(source, connection)
        if reading.base is not None:
            _check_counts(reading.base, reading.instant, segments)
        run.reach(Step.DESCRIBING)
        manifest = run.describe(connection, segments)
        run.reach(Step.PUBLISHING)
        manifest = _publish(storage, manifest)
        run.reach(Step.LOCKING)
        listener.on_published(manifest)
        run.reach(Step.FORGETTING)
        # If the marks stay, the caller has to remove the manifest: it knows whether the snapshot is
        # still its own, or that of another attempt that published under the same name.
        _forget_marks(connection, instant, manifest)
        return manifest


def _open_store(
    source: Source, destination: Destination, listener: Listener, reading: Reading
) -> SegmentStore:
    storage = destination.storage
    if reading.base is not None:
        return SegmentStore(storage, reading.base)
    listed = {item.key for item in storage.list(segment_folder(destination.project_id))}
    return SegmentStore(storage, source.base, listed, listener.on_healed)


def _untracked(
    reread: Manifest | None, instant: Instant, segments: list[Segment]
) -> tuple[UntrackedChange, ...]:
    if reread is None:
        return ()
    now = [segment for segment in segments if segment.table == VARIABLE.name]
    return tuple(untracked_changes(reread.of(VARIABLE.name), instant.marks, now))


def _check_counts(base: Manifest, instant: Instant, segments: list[Segment]) -> None:
    now = [segment for segment in segments if segment.table == VARIABLE.name]
    if wrong := wrong_counts(base.of(VARIABLE.name), instant.marks, now):
        raise UntrackedError(f"The variables are not what was predicted: {wrong[0]}.")


def _load_order(segment: Segment) -> tuple[int, int]:
    position = LOAD_ORDER.get(segment.table, len(LOAD_ORDER))
    # Sorts first: no chunk is before the year 1.
    return position, -1_000_000 if segment.first_chunk is None else segment.first_chunk


class _Run:
    """The threads' shared state: what was stored and how many rows were read."""

    def __init__(
        self,
        destination: Destination,
        listener: Listener,
        segment_store: SegmentStore,
        reading: Reading,
        devices: SeriesDevices,
        resources: Resources | None,
    ) -> None:
        self._destination = destination
        self._listener = listener
        self._segment_store = segment_store
        self._reading = reading
        self._columns = kept_columns(reading.instant)
        self._devices = devices
        self._resources = resources
        estimate = reading.instant.estimate_rows(table.name for table in RESOURCE_TABLES)
        self._rows_total = reading.plan.rows + estimate
        self._rows_done = self._bytes_done = 0
        self._lock = threading.Lock()
        self._cells: list[pa.Table] = []
        self._edges = EdgeCounter(devices)
        self._notes = DeviceNotes()
        self._kept = keep_nothing()

    def read_all(self, source: Source, connection: Connection) -> list[Segment]:
        """Store what has to be read; return all segments, including reused ones.

        Args:
            connection: The one that fixed the instant.

        Raises:
            UntrackedError: the row count of a reused range has changed, or the contents of the base
                cannot be used.
        """
        tables = tuple(table for table in RESOURCE_TABLES if table.name in self._columns)
        reading = self._reading
        jobs = plan_jobs(reading, tables)
        counted = sum(job.chunks.rows for job in jobs if isinstance(job, CountJob))
        reader = partial(open_reader, source.dsn, reading.instant, free=[connection])
        if self._rows_total + counted <= FEW_ROWS:
            with reader() as alone:
                read = [self._read(alone, job) for job in jobs]
        else:
            read = run_parallel(jobs, self._read, workers=source.readers, resource=reader)
        segments = [segment for part in read for segment in part]
        return sorted([*segments, *reading.plan.reused], key=_load_order)

    def describe(self, connection: Connection, segments: list[Segment]) -> Manifest:
        """Store the contents that describe the segments, and build the manifest."""
        project_id = self._destination.project_id
        reading, instant = self._reading, self._reading.instant
        excluded = note_excluded(connection, instant, segments)
        contents = [
            *self._store_cells(),
            *(self._kept.same or [self._store_devices(connection)]),
            self._store_whole(EXCLUDED, rows_table(EXCLUDED, excluded)),
        ]
        stored = [item.key for item in [*segments, *contents] if not item.inline]
        return Manifest(
            snapshot_id=self._destination.snapshot_id,
            project_id=project_id,
            prefix=instant.prefix,
            taken_at=instant.taken_at,
            is_full=reading.base is None,
            postgresql_version=instant.postgresql_version,
            schema_version=instant.schema_version,
            columns=self._columns,
            segments=tuple(segments),
            contents=tuple(contents),
            new_keys=self._segment_store.new_keys(stored),
            excluded=excluded_totals(excluded),
            untracked=_untracked(reading.reread, instant, segments),
            healed=tuple(sorted(self._segment_store.healed)),
            labels=dict(self._destination.labels),
        )

    def reach(self, step: Step) -> None:
        """Report that a step is next."""
        total = max(self._rows_total, self._rows_done)
        self._listener.on_progress(Progress(self._rows_done, total, step, self._bytes_done))

    def _read(self, reader: Reader, job: Job) -> list[Segment]:
        if isinstance(job, KeepJob):
            self._kept = job.open(self._destination.storage)
            return []
        if isinstance(job, CountJob):
            _check_count(reader, job.chunks)
            return []
        if isinstance(job, ResourcesJob):
            parts = self._resources.parts if self._resources else reader.whole(job.tables)
            return [self._read_resources(table, part) for table, part in parts]
        return [self._read_part(job, part) for part in reader.rows(job.table, job.chunks)]

    def _store_cells(self) -> list[Segment]:
        """Store the cells of what was read, merged with the reused ones."""
        written = [
            self._store(encode_cells(self._destination.project_id, chunks, cells))
            for chunks, cells in self._kept.with_new(add_cells(self._cells))
        ]
        return sorted([*self._kept.objects, *written], key=_load_order)

    def _read_resources(self, table: Table, part: pa.Table) -> Segment:
        self._notes.add(table.name, part)
        return self._read_part(ReadJob(table), part)

    def _read_part(self, job: ReadJob, part: pa.Table) -> Segment:
        covers = None
        if job.chunks is not None:
            part, orphans = drop_orphans(part, self._devices)
            covers = Coverage(job.chunks, rows_of_chunks(part), orphans)
        columns = self._columns[job.table.name]
        low, high = row_words(part, columns)
        digest = words_digest(low, high)
        # The digest covers every value, unless a restore generates some column.
        is_exact = covers is None and set(columns) == set(part.column_names)
        same = self._segment_store.find(job.table.name, digest, part.num_rows) if is_exact else None
        segment = same or self._store(
            encode(
                part,
                project_id=self._destination.project_id,
                name=job.table.name,
                digest=digest,
                covers=covers,
            )
        )
        if covers is not None:
            self._cells.append(count_cells(part, low, self._devices))
            self._edges.add(part)
        self._count(segment.rows, segment.logical_bytes)
        return segment

    def _store_devices(self, connection: Connection) -> Segment:
        """Store the devices, inline if they are few, because they change daily."""
        devices = note_devices(
            connection,
            self._notes,
            base=self._kept.devices,
            read=self._reading.plan.read,
            edges=self._edges.edges(),
        )
        encoded = encode_rows(self._destination.project_id, DEVICES, devices)
        return encoded.in_line() or self._store(encoded)

    def _store_whole(self, name: str, table: pa.Table) -> Segment:
        """Store a table that is not divided, unless the base has the same one."""
        digest = table_digest(table, tuple(table.column_names))
        same = self._segment_store.find(name, digest, table.num_rows)
        return same or self._store(
            encode(table, project_id=self._destination.project_id, name=name, digest=digest)
        )

    def _store(self, encoded: EncodedSegment) -> Segment:
        return self._segment_store.put(encoded)

    def _count(self, rows: int, size: int) -> None:
        check_stopped()
        with self._lock:
            self._rows_done += rows
            self._bytes_done += size
            if rows:
                self.reach(Step.READING)


def _check_count(reader: Reader, chunks: ChunkRange) -> None:
    found = reader.count(chunks)
    if found != chunks.rows:
        raise UntrackedError(
            f"The days {chunks.first} until {chunks.end} have {found} rows of variables where "
            f"{chunks.rows} were predicted."
        )


def _publish(storage: Storage, manifest: Manifest) -> Manifest:
    """Write a manifest; return it as its readers will find it."""
    content = manifest.to_json()
    published = Manifest.from_json(content)
    try:
        storage.put_new(manifest.key, content)
    except ExistingObjectError:
        # The response to an earlier try may have been lost: then the manifest is ours, and is read
        # back. One of a worker thought dead belongs to another instant than the marks.
        log.warning("the manifest already exists", key=manifest.key)
    read_back(storage, manifest.key, published.sha256)
    return published


def _forget_marks(connection: Connection, instant: Instant, manifest: Manifest) -> None:
    """Delete exactly the marks that the snapshot saw.

    The transaction is the one that fixed the instant, and REPEATABLE READ: this DELETE cannot see a
    mark that another transaction has committed since, so that mark stays.
    """
    if instant.has_marks:
        connection.execute("DELETE FROM change_mark")
    connection.execute("UPDATE instance SET marks_since = %s", [manifest.mark])
    connection.commit()
