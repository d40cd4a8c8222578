"""Load a snapshot into a database that the same restore has made."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import psycopg
import pyarrow as pa
from psycopg import Connection, sql

from backups_portal.lib import pgsession
from backups_portal.lib.crypto import Keyring
from backups_portal.lib.failure_causes import LOCKED_OUT, Cause, driver_cause, first_line
from backups_portal.lib.loggers import get_logger
from backups_portal.lib.thread_pool import run_parallel
from backups_portal.projectdb.catalogue import (
    RESOURCE_TABLES,
    SCHEMA_VERSION,
    VARIABLE,
    Table,
    digest_columns,
)
from backups_portal.projectdb.excluded_settings import remove_excluded_settings
from backups_portal.projectdb.pg_binary_copy import COPY_TABLE, encode_table
from backups_portal.projectdb.tokens import mint
from restores.build_steps import Step
from snapshots.engine.errors import EngineError
from snapshots.engine.manifest import Manifest, Segment
from snapshots.engine.pg_timestamps import moments_as_text
from snapshots.engine.run_progress import OnProgress, Progress
from snapshots.engine.segments import check_columns, read_segment
from snapshots.engine.storage import Storage

log = get_logger(__name__)

# What PostgreSQL says of rows that a table cannot hold: classes of SQLSTATE (its Appendix A).
DATA_EXCEPTION, INTEGRITY_VIOLATION = "22", "23"


class LoadError(EngineError):
    """The new database could not be filled."""


class UnloadableError(LoadError):
    """It is the snapshot's rows that the new database does not take."""

    cause = Cause.DAMAGED


@dataclass(frozen=True)
class Target:
    """The new database: its address with the right to change its schema, and its prefix."""

    dsn: str
    prefix: str


def drop_excluded(target: Target) -> None:
    """Take out what backups of older versions hold although it is excluded.

    After the comparison with the backup, which has it.

    Raises:
        LoadError: the database does not answer.
    """
    with load_errors(), pgsession.connect(target.dsn) as connection:
        if cleaned := remove_excluded_settings(connection):
            log.info("excluded settings of an older backup were dropped", tables=cleaned)


@contextmanager
def load_errors() -> Iterator[None]:
    """Turn what the database driver raises into a sentence for an owner."""
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


def load_snapshot(
    manifest: Manifest,
    storage: Storage,
    target: Target,
    *,
    keys: Keyring,
    loaders: int,
    on_progress: OnProgress,
) -> None:
    """Fill a new, empty database with a snapshot; variable ids and tokens are new.

    Raises:
        EngineError: storage or the database failed, or the snapshot is damaged or too new.
    """
    _check_schema(manifest)
    with load_errors(), pgsession.connect(target.dsn) as connection:
        _check_target(connection, target)
        indexes = _strip(connection)
        for table in RESOURCE_TABLES:
            _load_resources(connection, storage, manifest, table, target, keys)
        connection.commit()
        _load_variables(manifest, storage, target, loaders, on_progress)
        on_progress(Progress(manifest.rows, manifest.rows, Step.INDEXING))
        _build(target, indexes, loaders)
        _finish(connection, manifest)


def _check_schema(manifest: Manifest) -> None:
    if manifest.schema_version > SCHEMA_VERSION:
        raise LoadError(
            f"This backup has schema version {manifest.schema_version}; this version of Backups "
            f"Portal restores up to version {SCHEMA_VERSION}. Upgrade it first.",
            cause=Cause.VERSION,
        )


def _check_target(connection: Connection, target: Target) -> None:
    """Refuse a database that is not this restore's, or not empty."""
    row = connection.execute(
        """SELECT prefix, marks_since IS NULL AND NOT EXISTS (SELECT FROM variable)
                  AND NOT EXISTS (SELECT FROM device) FROM instance"""
    ).fetchone()
    if row != (target.prefix, True):
        raise LoadError("The database to restore into is not a new one.")


def _strip(connection: Connection) -> list[str]:
    """Drop indexes and triggers of variables; returns what makes the indexes."""
    indexes = connection.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename = %s",
        [VARIABLE.name],
    ).fetchall()
    for name, _ in indexes:
        connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(str(name))))
    connection.execute("ALTER TABLE variable DISABLE TRIGGER USER")
    # The rows that provisioning wrote; the snapshot has its own.
    connection.execute("DELETE FROM profile")
    connection.execute("DELETE FROM run_settings")
    return [str(definition) for _, definition in indexes]


def _load_resources(
    connection: Connection,
    storage: Storage,
    manifest: Manifest,
    table: Table,
    target: Target,
    keys: Keyring,
) -> None:
    for segment in manifest.of(table.name):
        rows = read_segment(storage, segment)
        noted = table.noted() if table.name == "token" else ()
        check_columns(rows, (*manifest.columns[table.name], *noted), table.name)
        if table.name == "token":
            _load_tokens(connection, rows, target, keys)
        else:
            # A snapshot of an older schema lacks columns; they get the defaults of this one.
            known = [name for name in table.columns if name in rows.column_names]
            _copy(connection, table.name, rows.select(known))


def _copy(connection: Connection, table: str, rows: pa.Table) -> None:
    statement = sql.SQL("COPY {} ({}) FROM STDIN").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, rows.column_names))
    )
    columns = moments_as_text(rows).columns
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in zip(*(column.to_pylist() for column in columns), strict=True):
            copy.write_row(row)


def _load_tokens(connection: Connection, rows: pa.Table, target: Target, keys: Keyring) -> None:
    """Give every token a new value, and note which old one it takes the place of."""
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


def _load_variables(
    manifest: Manifest, storage: Storage, target: Target, loaders: int, on_progress: OnProgress
) -> None:
    lock = threading.Lock()
    segments = manifest.of(VARIABLE.name)
    total_bytes = sum(segment.bytes for segment in manifest.segments)
    done = manifest.rows - sum(segment.rows for segment in segments)
    done_bytes = total_bytes - sum(segment.bytes for segment in segments)

    def load(connection: Connection, job: LoadJob) -> None:
        nonlocal done, done_bytes
        if job.segment.rows:
            with load_errors():
                _copy_variables(connection, _numbered(storage, job))
        with lock:
            done += job.segment.rows
            done_bytes += job.segment.bytes
            on_progress(Progress(done, manifest.rows, Step.LOADING, done_bytes, total_bytes))

    run_parallel(
        number_segments(segments),
        load,
        workers=loaders,
        resource=lambda: pgsession.connect(
            # Nobody can lose what is not published: only the last commit has to be on disk.
            target.dsn,
            autocommit=True,
            settings={"synchronous_commit": "off"},
        ),
    )


def _copy_variables(connection: Connection, rows: pa.Table) -> None:
    with connection.cursor() as cursor, cursor.copy(COPY_TABLE) as copy:
        for part in encode_table(rows):
            copy.write(part)


def _numbered(storage: Storage, job: LoadJob) -> pa.Table:
    rows = read_segment(storage, job.segment)
    check_columns(rows, ("id", *digest_columns(VARIABLE)), VARIABLE.name)
    numbers = np.arange(job.first_number, job.first_number + rows.num_rows, dtype=np.int64)
    return rows.set_column(rows.column_names.index("id"), "id", pa.array(numbers))


# As the server is set, if that is more than what millions of rows need.
ENOUGH_TO_SORT = """SELECT set_config('maintenance_work_mem', greatest(
    pg_size_bytes(current_setting('maintenance_work_mem')), pg_size_bytes('256MB')
) / 1024 || 'kB', false)"""


def _build(target: Target, indexes: list[str], loaders: int) -> None:
    @contextmanager
    def connect() -> Iterator[Connection]:
        with pgsession.connect(target.dsn, autocommit=True) as connection:
            connection.execute(ENOUGH_TO_SORT)
            yield connection

    def build(connection: Connection, statement: str) -> None:
        # Sorting in parallel costs a third more processor time, which two indexes at once make
        # better use of if there are few cores.
        helpers = loaders // 2 if "USING brin" in statement else loaders // 2 - 1
        with load_errors():
            connection.execute(f"SET max_parallel_maintenance_workers = {max(0, helpers)}".encode())
            connection.execute(statement.encode())

    run_parallel(indexes, build, workers=loaders, resource=connect)


NUMBER_VARIABLES = """SELECT setval(
    pg_get_serial_sequence('variable', 'id'), coalesce(max(id), 0) + 1, false) FROM variable"""
# The last number of a series that there can be.
LAST_SERIES = (1 << 31) - 1
# Numbers that variables use, too: snapshots of older versions have rows whose series is gone.
USED_SERIES = """SELECT greatest(0, (SELECT max(id) FROM series),
                                (SELECT max(series_id) FROM variable))"""
# The numbers of the variables one by one, each from the index.
ROOM_FOR_SERIES = """
WITH RECURSIVE of_variables (id) AS (
    SELECT min(series_id) FROM variable
    UNION ALL
    SELECT (SELECT min(series_id) FROM variable WHERE series_id > of_variables.id)
    FROM of_variables WHERE id IS NOT NULL
), used AS (
    SELECT 0::bigint AS id UNION SELECT id FROM series WHERE id > 0
    UNION SELECT id FROM of_variables WHERE id > 0
), gap AS (
    SELECT id, lead(id, 1, %s::bigint + 1) OVER (ORDER BY id) - id AS room FROM used
)
SELECT id + 1 FROM gap ORDER BY room DESC, id DESC LIMIT 1
"""


def _next_series(connection: Connection) -> int:
    """Return a free number for the next series.

    Somebody can have numbered a series by hand, as the last one that there can be.
    """
    greatest = _number(connection.execute(USED_SERIES))
    if greatest <= LAST_SERIES // 2:
        return greatest + 1
    return _number(connection.execute(ROOM_FOR_SERIES, [LAST_SERIES]))


def _number(cursor: psycopg.Cursor) -> int:
    row = cursor.fetchone()
    return int(row[0]) if row else 0


def _finish(connection: Connection, manifest: Manifest) -> None:
    """Continue numbering behind the loaded rows, and track changes from now."""
    connection.execute(NUMBER_VARIABLES)
    connection.execute(
        "SELECT setval(pg_get_serial_sequence('series', 'id'), %s, false)",
        [_next_series(connection)],
    )
    # So that the first snapshot of the new project knows its chunks without counting.
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO change_mark (chunk, rows) VALUES (%s, %s)",
            [
                (chunk, rows)
                for segment in manifest.of(VARIABLE.name)
                for chunk, rows in segment.chunk_rows.items()
            ],
        )
    connection.execute("ALTER TABLE variable ENABLE TRIGGER USER")
    connection.execute("ANALYZE")
    connection.commit()
