"""Plan what a snapshot reads, and what it reuses."""

from collections.abc import Collection
from dataclasses import dataclass, replace

from psycopg import Connection

from backups_portal.lib.failure_causes import Cause
from backups_portal.lib.loggers import get_logger
from backups_portal.projectdb.catalogue import RESOURCE_TABLES, VARIABLE, Table, digest_columns
from backups_portal.projectdb.schema_version import SCHEMA_VERSION
from snapshots.engine.contents_index import KeptCells, keep_cells
from snapshots.engine.day_device_counts import SeriesDevices
from snapshots.engine.errors import EngineError, SourceError, UntrackedError
from snapshots.engine.full_reread import choose_counted, plan_reread
from snapshots.engine.manifest import Manifest
from snapshots.engine.orphan_rows import chunks_of_changed_series
from snapshots.engine.segment_plan import ChunkRange, Plan, plan_full, plan_incremental
from snapshots.engine.source_database import Instant, count_chunks
from snapshots.engine.storage import Storage

log = get_logger(__name__)


@dataclass(frozen=True)
class ReadJob:
    """One table to read, or one range of the variables."""

    table: Table
    chunks: ChunkRange | None = None


@dataclass(frozen=True)
class ResourcesJob:
    """Whole tables to read, over one connection."""

    tables: tuple[Table, ...]


@dataclass(frozen=True)
class KeepJob:
    """Contents of the base to read and reuse, except in ranges read again.

    Attributes:
        same_devices: As in `keep_cells`.
    """

    base: Manifest
    read: list[ChunkRange]
    same_devices: bool

    def open(self, storage: Storage) -> KeptCells:
        """Read what is reused.

        Raises:
            UntrackedError: an object that must be opened is missing or damaged.
        """
        try:
            return keep_cells(
                storage, self.base.contents, self.read, same_devices=self.same_devices
            )
        except EngineError as error:
            raise UntrackedError(f"The contents of {self.base.key} cannot be used.") from error


@dataclass(frozen=True)
class CountJob:
    """A reused range of the variables, whose rows are counted to check it."""

    chunks: ChunkRange


Job = ReadJob | ResourcesJob | KeepJob | CountJob


def check_schema(instant: Instant) -> None:
    """Raise SourceError if the database's schema is newer than this software."""
    if instant.schema_version > SCHEMA_VERSION:
        raise SourceError(
            f"The main database has schema version {instant.schema_version}; this version of "
            f"Backups Portal knows up to version {SCHEMA_VERSION}.",
            cause=Cause.VERSION,
        )


def kept_columns(instant: Instant) -> dict[str, tuple[str, ...]]:
    """List by table the columns of the catalogue that the database has."""
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
    """Tell whether the marks cover every change since this snapshot."""
    return (
        instant.marks_since == str(base.mark)
        and base.schema_version == instant.schema_version
        and not instant.all_changed
    )


def find_start(
    connection: Connection,
    storage: Storage,
    base: Manifest | None,
    instant: Instant,
    devices: SeriesDevices,
    same: Collection[str] = (),
) -> tuple[Instant, Manifest | None]:
    """Check whether a base is usable, and find what has changed since.

    Args:
        same: Resource tables whose rows equal those of the base.

    Returns:
        The instant, its marks extended by the chunks whose series have changed since then; and the
        base, if the marks cover all changes since.
    """
    if base is None or not is_base(base, instant):
        return instant, None
    if "series" in same:
        return instant, base
    try:
        chunks = chunks_of_changed_series(connection, storage, base, devices)
    except EngineError:
        log.exception("the series of %s cannot be read, reading everything", base.key)
        return instant, None
    return replace(instant, marks={**dict.fromkeys(chunks, 0), **instant.marks}), base


def plan_reading(
    connection: Connection,
    instant: Instant,
    reread: Manifest | None,
    usable: Manifest | None,
) -> Plan:
    """Plan what to read of the variables.

    Args:
        reread: A base whose predictions are to be checked by reading everything.
        usable: A base since which the marks cover all changes.
    """
    if usable is not None:
        return plan_incremental(usable.of(VARIABLE.name), instant.marks)
    if instant.marks_since is None and not instant.all_changed:
        return plan_full(instant.marks)
    if reread is not None:
        return plan_reread(reread.of(VARIABLE.name), instant.marks)
    return plan_full(count_chunks(connection))


@dataclass(frozen=True)
class Reading:
    """What a snapshot reads at an instant, and what it reuses.

    Attributes:
        base: The snapshot that it builds upon; None if it reads everything.
        reread: A snapshot whose predictions are checked by reading everything.
        same_devices: Its devices, their names and their times equal those of the base.
    """

    instant: Instant
    base: Manifest | None
    reread: Manifest | None
    plan: Plan
    same_devices: bool


def plan_snapshot(
    connection: Connection,
    instant: Instant,
    base: Manifest | None,
    *,
    full: bool,
    same: Collection[str] = (),
) -> Reading:
    """Plan what a snapshot reads.

    Args:
        instant, base: As `find_start` returns them.
        same: As for `find_start`.
    """
    reread, base = (base, None) if full else (None, base)
    plan = plan_reading(connection, instant, reread, base)
    same_devices = base is not None and not plan.read and {"device", "series"} <= {*same}
    return Reading(instant, base, reread, plan, same_devices)


def plan_jobs(reading: Reading, tables: tuple[Table, ...]) -> list[Job]:
    """List the readers' jobs in the order in which they start.

    Args:
        tables: The resource tables.
    """
    base, read = reading.base, reading.plan.read
    ranges = [ReadJob(VARIABLE, chunks) for chunks in read]
    return [
        # The largest range takes the longest, so it starts on the connection that is already open.
        *ranges[:1],
        ResourcesJob(tables),
        *([KeepJob(base, read, reading.same_devices)] if base else []),
        *ranges[1:],
        # The shortest jobs come last, so that all readers end at about the same time.
        *map(CountJob, choose_counted(reading.plan.reused)),
    ]
