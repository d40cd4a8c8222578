"""Taking a snapshot: segments first, the manifest last, the marks only then."""

import hashlib
import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from uuid import UUID

import numpy as np
import psycopg
import pyarrow as pa

from backups_portal.lib.causes import Cause
from backups_portal.lib.parallel import run_parallel
from backups_portal.projectdb.catalogue import (
    RESOURCE_TABLES,
    SCHEMA_VERSION,
    TABLES,
    VARIABLE,
    Table,
)
from snapshots.engine.cells import SeriesDevices, add_cells, chunks_of, count_cells
from snapshots.engine.chunks import ChunkRange, Plan, plan_full, plan_incremental
from snapshots.engine.contents import (
    Device,
    KeptCells,
    encode_cells,
    encode_devices,
    encode_excluded,
    excluded_totals,
    keep_cells,
    keep_nothing,
)
from snapshots.engine.digest import row_words, words_digest
from snapshots.engine.edges import EdgeCounter
from snapshots.engine.errors import (
    EngineError,
    ExistingObjectError,
    SourceError,
    UnkeptObjectError,
)
from snapshots.engine.manifest import Manifest, Segment, UntrackedChange
from snapshots.engine.notes import note_devices, note_excluded, note_series
from snapshots.engine.rereading import plan_reread, untracked_changes
from snapshots.engine.segments import EncodedSegment, encode
from snapshots.engine.source import (
    Instant,
    Reader,
    count_chunks,
    export_instant,
    open_reader,
    source_errors,
)
from snapshots.engine.steps import Step
from snapshots.engine.storage import Storage

# What a restore must reproduce of a variable: everything but its id.
VARIABLE_DIGEST_COLUMNS = (
    "series_id",
    "time",
    "created_at",
    "number_value",
    "text_value",
    "group_key",
    "longitude",
    "latitude",
    "metadata",
)


log = logging.getLogger(__name__)

LOAD_ORDER = {table.name: place for place, table in enumerate(TABLES)}


@dataclass(frozen=True)
class Progress:
    """How far a step of a run has come; the totals are what is known of them.

    Attributes:
        bytes_done: Bytes of objects in storage, or of rows in memory where they are being read
            from a database, and their sum is not known.
    """

    rows_done: int
    rows_total: int | None
    step: str
    bytes_done: int = 0
    bytes_total: int | None = None


OnProgress = Callable[[Progress], None]


@dataclass(frozen=True)
class ReadJob:
    """One table to read, or one range of the variables."""

    table: Table
    chunks: ChunkRange | None = None


def digest_columns(table: Table) -> tuple[str, ...]:
    """The columns of a table that a restore must reproduce exactly."""
    return VARIABLE_DIGEST_COLUMNS if table is VARIABLE else table.columns


def take_snapshot(
    dsn: str,
    storage: Storage,
    *,
    project_id: UUID,
    snapshot_id: UUID,
    base: Manifest | None,
    readers: int,
    on_progress: OnProgress,
    full: bool = False,
    labels: Mapping[str, str] | None = None,
    on_published: Callable[[Manifest], None] | None = None,
) -> Manifest:
    """Store the state of a main database at this instant.

    Args:
        base: The newest good snapshot of the same database; what has not changed since then is
            taken over from it.
        full: Read everything although a base would do, and note in the manifest where the
            variables are not what the base and the marks foretell.
        on_progress: Called from the reading threads, after every segment, and from this one at
            each of the engine's further steps; what it raises ends the run.
        labels: What the caller calls the snapshot, for the manifest.
        on_published: Called when everything is in storage and was read back; where it fails, the
            marks stay and the next run needs not read everything.

    Returns:
        The manifest, after it and every new object were read back from storage.

    Raises:
        EngineError: there is no snapshot, though a manifest may be left; the next run works.
    """
    with source_errors(), psycopg.connect(dsn, connect_timeout=10) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        instant = export_instant(connection)
        check_schema(instant)
        columns = kept_columns(instant)
        usable = base if base is not None and is_base(base, instant) else None
        reread, usable = (usable, None) if full else (None, usable)
        plan = plan_reading(connection, instant, reread, usable)
        kept = keep_nothing()
        if usable is not None:
            try:
                kept = keep_cells(storage, usable.contents, plan.read)
            except EngineError:
                log.exception("the contents of %s cannot be used, reading everything", usable.key)
                usable = None
                plan = plan_reading(connection, instant, reread, usable)
        run = _Run(
            storage,
            project_id=project_id,
            columns=columns,
            devices=note_series(connection),
            known=frozenset(base.objects) if base else frozenset(),
            on_progress=on_progress,
            rows_total=plan.rows + _resource_rows(connection),
        )
        # The resources together: what reads row by row takes a while to connect.
        jobs = [[ReadJob(table) for table in RESOURCE_TABLES if table.name in columns]]
        jobs += [[ReadJob(VARIABLE, chunks)] for chunks in plan.read]
        read = run_parallel(
            jobs, run.read, workers=readers, resource=lambda: open_reader(dsn, instant)
        )
        segments = [segment for part in read for segment in part] + plan.reused
        segments.sort(key=_load_order)
        run.reach(Step.DESCRIBING)
        excluded = note_excluded(connection)
        contents = [
            *run.store_cells(kept),
            run.store(encode_devices(project_id, run.note_devices(connection, kept, plan.read))),
            run.store(encode_excluded(project_id, excluded)),
        ]
        manifest = Manifest(
            snapshot_id=snapshot_id,
            project_id=project_id,
            prefix=instant.prefix,
            taken_at=instant.taken_at,
            is_full=usable is None,
            postgresql_version=instant.postgresql_version,
            schema_version=instant.schema_version,
            columns=columns,
            segments=tuple(segments),
            contents=tuple(contents),
            new_keys=frozenset(item.key for item in [*segments, *contents]) - run.known,
            excluded=excluded_totals(excluded),
            untracked=_untracked(reread, instant, segments),
            labels=dict(labels or {}),
        )
        run.reach(Step.PUBLISHING)
        _publish(storage, manifest)
        run.reach(Step.LOCKING)
        if on_published:
            on_published(manifest)
        run.reach(Step.FORGETTING)
        # A manifest whose marks stay is the caller's to remove: it knows whether the snapshot is
        # still its own, or another attempt's that has published under the same name.
        _forget_marks(connection, manifest)
        return manifest


def check_schema(instant: Instant) -> None:
    """Raises SourceError where the database's schema is newer than this software."""
    if instant.schema_version > SCHEMA_VERSION:
        raise SourceError(
            f"The main database has schema version {instant.schema_version}; this version of "
            f"Backups Portal knows up to version {SCHEMA_VERSION}.",
            cause=Cause.VERSION,
        )


def kept_columns(instant: Instant) -> dict[str, tuple[str, ...]]:
    """By table, the columns of the catalogue that the database has; an older one lacks some."""
    return {
        table.name: tuple(
            name
            for name in digest_columns(table)
            if table is VARIABLE or name in instant.types[table.name]
        )
        for table in (*RESOURCE_TABLES, VARIABLE)
        if table.name in instant.types
    }


def is_base(base: Manifest, instant: Instant) -> bool:
    """Whether the marks tell everything that changed since this snapshot."""
    return (
        instant.marks_since == str(base.snapshot_id)
        and base.schema_version == instant.schema_version
        and not instant.all_changed
    )


def plan_reading(
    connection: psycopg.Connection[tuple[object, ...]],
    instant: Instant,
    reread: Manifest | None,
    usable: Manifest | None,
) -> Plan:
    """What to read of the variables.

    Args:
        reread: A base whose foretelling is to be checked by reading everything.
        usable: A base since which the marks tell all changes.
    """
    if usable is not None:
        return plan_incremental(usable.of(VARIABLE.name), instant.marks)
    if instant.marks_since is None and not instant.all_changed:
        return plan_full(instant.marks)
    if reread is not None:
        return plan_reread(reread.of(VARIABLE.name), instant.marks)
    return plan_full(count_chunks(connection))


def _untracked(
    reread: Manifest | None, instant: Instant, segments: list[Segment]
) -> tuple[UntrackedChange, ...]:
    if reread is None:
        return ()
    now = [segment for segment in segments if segment.table == VARIABLE.name]
    return tuple(untracked_changes(reread.of(VARIABLE.name), instant.marks, now))


def _load_order(segment: Segment) -> tuple[int, int]:
    position = LOAD_ORDER.get(segment.table, len(LOAD_ORDER))
    # Python has no smallest integer; no chunk is before the year 1.
    return position, -1_000_000 if segment.first_chunk is None else segment.first_chunk


class _Run:
    """The threads' common state: what was stored and how many rows were read."""

    def __init__(
        self,
        storage: Storage,
        *,
        project_id: UUID,
        columns: dict[str, tuple[str, ...]],
        devices: SeriesDevices,
        known: frozenset[str],
        on_progress: OnProgress,
        rows_total: int,
    ) -> None:
        self._storage = storage
        self._project_id = project_id
        self._columns = columns
        self._devices = devices
        self._on_progress = on_progress
        self._rows_total = rows_total
        self._rows_done = self._bytes_done = 0
        self._lock = threading.Lock()
        self._cells: list[pa.Table] = []
        self._edges = EdgeCounter(devices)
        self.known = known

    def read(self, reader: Reader, jobs: list[ReadJob]) -> list[Segment]:
        """Store the rows of some jobs, and return the segments that hold them."""
        return [
            self._read_part(job, part)
            for job in jobs
            for part in reader.rows(job.table, job.chunks)
        ]

    def store_cells(self, kept: KeptCells) -> list[Segment]:
        """Store the cells of what was read, with those that are kept of the rest."""
        written = [
            self.store(encode_cells(self._project_id, chunks, cells))
            for chunks, cells in kept.with_new(add_cells(self._cells))
        ]
        return sorted([*kept.objects, *written], key=_load_order)

    def note_devices(
        self,
        connection: psycopg.Connection[tuple[object, ...]],
        kept: KeptCells,
        read: list[ChunkRange],
    ) -> list[Device]:
        """The devices, with the first and last moment of what was read and what is kept."""
        return note_devices(connection, base=kept.devices, read=read, edges=self._edges.edges())

    def _read_part(self, job: ReadJob, part: pa.Table) -> Segment:
        low, high = row_words(part, self._columns[job.table.name])
        is_variable = job.table is VARIABLE
        segment = self.store(
            encode(
                part,
                project_id=self._project_id,
                name=job.table.name,
                digest=words_digest(low, high),
                first_chunk=job.chunks.first if job.chunks else None,
                end_chunk=job.chunks.end if job.chunks else None,
                chunk_rows=_rows_by_chunk(part) if is_variable else None,
            )
        )
        if is_variable:
            self._cells.append(count_cells(part, low, self._devices))
            self._edges.add(part)
        self._count(segment.rows, segment.logical_bytes)
        return segment

    def store(self, encoded: EncodedSegment) -> Segment:
        """Put an object into storage, unless it is known to be there."""
        segment = encoded.segment
        if segment.key not in self.known:
            self._storage.put(segment.key, encoded.content)
            _read_back(self._storage, segment.key, segment.sha256)
        return segment

    def reach(self, step: Step) -> None:
        """Say that a step is next."""
        total = max(self._rows_total, self._rows_done)
        self._on_progress(Progress(self._rows_done, total, step, self._bytes_done))

    def _count(self, rows: int, size: int) -> None:
        with self._lock:
            self._rows_done += rows
            self._bytes_done += size
            self.reach(Step.READING)


def _rows_by_chunk(table: pa.Table) -> dict[int, int]:
    chunks, counts = np.unique(chunks_of(table), return_counts=True)
    return {int(chunk): int(count) for chunk, count in zip(chunks, counts, strict=True)}


def _read_back(storage: Storage, key: str, sha256: str) -> None:
    if hashlib.sha256(storage.get(key)).hexdigest() != sha256:
        raise UnkeptObjectError(
            f"The backup storage returned other bytes than were written to {key}."
        )


def _publish(storage: Storage, manifest: Manifest) -> None:
    content = manifest.to_json()
    try:
        storage.put_new(manifest.key, content)
    except ExistingObjectError:
        # The answer to an earlier try may have been lost: then it is ours, and is read back. That
        # of a worker which was thought dead would belong to another instant than the marks.
        log.warning("there is a manifest already key=%s", manifest.key)
    _read_back(storage, manifest.key, hashlib.sha256(content).hexdigest())


def _forget_marks(connection: psycopg.Connection[tuple[object, ...]], manifest: Manifest) -> None:
    """Delete exactly the marks that the snapshot saw.

    The transaction is the one that fixed the instant, and REPEATABLE READ: a mark that another
    transaction committed meanwhile is not visible to this DELETE, and stays.
    """
    connection.execute("DELETE FROM change_mark")
    connection.execute("UPDATE instance SET marks_since = %s", [manifest.snapshot_id])
    connection.commit()


def _resource_rows(connection: psycopg.Connection[tuple[object, ...]]) -> int:
    """About how many rows the other tables have, from the server's statistics."""
    names = [table.name for table in RESOURCE_TABLES]
    row = connection.execute(
        """SELECT coalesce(sum(greatest(reltuples, 0)), 0)::bigint FROM pg_class
           WHERE relname = ANY(%s) AND relnamespace = 'public'::regnamespace""",
        [names],
    ).fetchone()
    return int(str(row[0])) if row else 0
