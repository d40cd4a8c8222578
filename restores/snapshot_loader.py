"""Load a snapshot into a database that the same restore made."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial

import numpy as np
import psycopg
import pyarrow as pa
from psycopg import Connection, sql

from backups_portal.lib import pgsession
from backups_portal.lib.crypto import Keyring
from backups_portal.lib.failure_causes import LOCKED_OUT, Cause, driver_cause, first_line
from backups_portal.lib.loggers import get_logger
from backups_portal.lib.thread_pool import check_stopped, run_parallel
from backups_portal.projectdb.catalogue import RESOURCE_TABLES, VARIABLE, Table, digest_columns
from backups_portal.projectdb.excluded_settings import remove_excluded_settings
from backups_portal.projectdb.pg_binary_copy import COPY_TABLE, encode_table
from backups_portal.projectdb.tokens import mint
from restores.build_steps import Step
from restores.index_build import BareTable, strip
from snapshots.engine.errors import EngineError
from snapshots.engine.manifest import Manifest, Segment
from snapshots.engine.pg_timestamps import moments_as_text
from snapshots.engine.run_progress import OnProgress, Progress
from snapshots.engine.segments import check_columns, read_segment
from snapshots.engine.storage import Storage

log = get_logger(__name__)

# Classes of SQLSTATE for rows that a table cannot hold (PostgreSQL's Appendix A).
DATA_EXCEPTION, INTEGRITY_VIOLATION = "22", "23"
# Loading up to this many variables takes less time than opening a second connection.
FEW_ROWS = 32_768
# Rows of resources that are loaded between two checks for a stop: a tenth of a second.
BLOCK_ROWS = 4_096


class LoadError(EngineError):
    """The new database could not be filled."""


class UnloadableError(LoadError):
    """The new database rejects the snapshot's rows."""

    cause = Cause.DAMAGED


@dataclass(frozen=True)
class Target:
    """The new database: a DSN that may change its schema, and its prefix."""

    dsn: str
    prefix: str


def drop_excluded(target: Target) -> None:
    """Remove excluded settings that backups of older versions still hold.

    Call it after the comparison with the backup, which has them too.

    Raises:
        LoadError: the database does not answer.
    """
    with load_errors(), pgsession.connect(target.dsn) as connection:
        if cleaned := remove_excluded_settings(connection):
            log.info("excluded settings of an older backup were dropped", tables=cleaned)


@contextmanager
def load_errors() -> Iterator[None]:
    """Turn errors of the database driver into a sentence for an owner."""
    try:
        yield
    except psycopg.errors.DiskFull as error:
        raise LoadError(
            "The database server has no space left for the new project.", cause=Cause.NO_ROOM
        ) from error
    except psycopg.Error as error:
        reason = LOCKED_OUT if driver_cause(error) == Cause.LOCKED else first_line(error)
        is_about_rows = (error.sqlstate or "")[:2] in {DATA_EXCEPTION, INTEGRITY_VIOLATION}
        message = f"The new database could not be filled: {reason}"
        if is_about_rows:
            raise UnloadableError(message) from error
        raise LoadError(message, cause=driver_cause(error)) from error


def load_rows(
    manifest: Manifest,
    storage: Storage,
    target: Target,
    *,
    keys: Keyring,
    loaders: int,
    on_progress: OnProgress,
) -> BareTable:
    """Load a snapshot into a new database, with new variable ids and tokens.

    Returns:
        The dropped indexes and triggers, for an `IndexBuild` to recreate.

    Raises:
        EngineError: storage or the database failed, or the snapshot is damaged.
    """
    with load_errors(), _open_loader(target) as connection:
        _check_target(connection, target)
        with connection.transaction():
            # The snapshot has its own rows for these.
            connection.execute("DELETE FROM profile")
            connection.execute("DELETE FROM run_settings")
            bare = strip(connection)
        load = _Load(manifest, storage, target, keys=keys, on_progress=on_progress)
        load.run(connection, loaders)
    return bare


def _open_loader(target: Target) -> Connection:
    # Nothing is published yet, so only the last commit has to reach the disk.
    return pgsession.connect(target.dsn, autocommit=True, settings={"synchronous_commit": "off"})


def _check_target(connection: Connection, target: Target) -> None:
    """Refuse a database that is not this restore's, or not empty."""
    row = connection.execute(
        """SELECT prefix, marks_since IS NULL AND NOT EXISTS (SELECT FROM variable)
                  AND NOT EXISTS (SELECT FROM device) FROM instance"""
    ).fetchone()
    if row != (target.prefix, True):
        raise LoadError("The database to restore into is not a new one.")


def _copy(connection: Connection, table: str, rows: pa.Table) -> None:
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, rows.column_names))
    )
    columns = moments_as_text(rows).columns
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in zip(*(column.to_pylist() for column in columns), strict=True):
            copy.write_row(row)


def _load_tokens(connection: Connection, rows: pa.Table, target: Target, keys: Keyring) -> None:
    """Load tokens with new values, and note which old one each replaces."""
    tokens = [mint(kind, prefix=target.prefix, keys=keys) for kind in rows["kind"].to_pylist()]
    old_hash, old_last_four = rows["hash"], rows["last_four"]
    rows = rows.drop_columns(["hash", "last_four"])
    _copy(
        connection,
        "token",
        rows.append_column("hash", pa.array([token.hash for token in tokens], pa.binary()))
        .append_column("sealed_value", pa.array([t.sealed_value for t in tokens], pa.binary()))
        .append_column("last_four", pa.array([token.last_four for token in tokens], pa.string())),
    )
    _copy(
        connection,
        "token_origin",
        pa.table({"token_id": rows["id"], "old_hash": old_hash, "old_last_four": old_last_four}),
    )


@dataclass(frozen=True)
class LoadJob:
    """A segment of variables, and the number that its first row gets."""

    segment: Segment
    first_number: int


def number_segments(segments: list[Segment]) -> list[LoadJob]:
    """Assign ids to rows in ranges, in the order of the manifest.

    The new id of a variable therefore follows from its segment and its row there, and no map of
    old and new ids needs to be stored.
    """
    jobs, number = [], 1
    for segment in segments:
        jobs.append(LoadJob(segment, number))
        number += segment.rows
    return jobs


class _Load:
    """Loads all tables of a snapshot, several at a time."""

    def __init__(
        self,
        manifest: Manifest,
        storage: Storage,
        target: Target,
        *,
        keys: Keyring,
        on_progress: OnProgress,
    ) -> None:
        self._manifest, self._storage, self._target = manifest, storage, target
        self._keys, self._on_progress = keys, on_progress
        self._lock = threading.Lock()
        self._done = self._done_bytes = 0
        self._total_bytes = sum(segment.bytes for segment in manifest.segments)

    def run(self, connection: Connection, loaders: int) -> None:
        """Load everything over the given connection and further ones."""
        segments = self._manifest.of(VARIABLE.name)
        is_small = sum(segment.rows for segment in segments) <= FEW_ROWS
        numbered = number_segments(segments)
        jobs: list[Callable[[Connection], None]] = [self._load_resources]
        jobs += [partial(self._load_variables, job) for job in numbered]
        workers = 1 if is_small else min(loaders, len(jobs))
        with ExitStack() as others:
            # Connect before the first row: once the disk is full, a new session is refused without
            # a SQLSTATE, which would pass for an unreachable server.
            free = [others.enter_context(_open_loader(self._target)) for _ in range(workers - 1)]
            free.append(connection)
            run_parallel(
                jobs,
                lambda loader, job: job(loader),
                workers=workers,
                resource=lambda: nullcontext(free.pop()),
            )

    def _load_resources(self, connection: Connection) -> None:
        with connection.transaction():
            for table in RESOURCE_TABLES:
                for segment in self._manifest.of(table.name):
                    self._load_segment(connection, table, segment)

    def _load_segment(self, connection: Connection, table: Table, segment: Segment) -> None:
        """Load a segment of resources block by block."""
        rows = read_segment(self._storage, segment)
        noted = table.noted() if table.name == "token" else ()
        check_columns(rows.column_names, (*self._manifest.columns[table.name], *noted), table.name)
        # A snapshot of an older schema lacks columns; they get the defaults of this one.
        known = [name for name in table.columns if name in rows.column_names]
        for first in range(0, rows.num_rows, BLOCK_ROWS):
            block = rows.slice(first, BLOCK_ROWS)
            if table.name == "token":
                _load_tokens(connection, block, self._target, self._keys)
            else:
                _copy(connection, table.name, block.select(known))
            self._count(block.num_rows)
        self._count(0, segment.bytes)

    def _load_variables(self, job: LoadJob, connection: Connection) -> None:
        if job.segment.rows:
            _copy_variables(connection, _numbered(self._storage, job))
        self._count(job.segment.rows, job.segment.bytes)

    def _count(self, rows: int, size: int = 0) -> None:
        """Report loaded rows, and the bytes of segments that are complete."""
        check_stopped()
        with self._lock:
            self._done += rows
            self._done_bytes += size
            counts = (self._done_bytes, self._total_bytes)
            self._on_progress(Progress(self._done, self._manifest.rows, Step.LOADING, *counts))


def _copy_variables(connection: Connection, rows: pa.Table) -> None:
    with connection.cursor() as cursor, cursor.copy(COPY_TABLE) as copy:
        for part in encode_table(rows):
            copy.write(part)


def _numbered(storage: Storage, job: LoadJob) -> pa.Table:
    rows = read_segment(storage, job.segment)
    check_columns(rows.column_names, ("id", *digest_columns(VARIABLE)), VARIABLE.name)
    numbers = np.arange(job.first_number, job.first_number + rows.num_rows, dtype=np.int64)
    return rows.set_column(rows.column_names.index("id"), "id", pa.array(numbers))
