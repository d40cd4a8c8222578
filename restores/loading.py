"""Loading a snapshot into a database that the same restore has made."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import psycopg
import pyarrow as pa
from psycopg import sql

from backups_portal.lib.causes import Cause, driver_cause
from backups_portal.lib.crypto import Keyring
from backups_portal.lib.parallel import run_parallel
from backups_portal.projectdb.catalogue import RESOURCE_TABLES, SCHEMA_VERSION, VARIABLE, Table
from backups_portal.projectdb.tokens import mint
from restores.copying import COPY_VARIABLES, encode_rows
from snapshots.engine.errors import EngineError
from snapshots.engine.manifest import Manifest, Segment
from snapshots.engine.segments import read_segment
from snapshots.engine.storage import Storage
from snapshots.engine.taking import OnProgress, Progress

Connection = psycopg.Connection[tuple[object, ...]]


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
        cause = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        is_about_rows = (error.sqlstate or "")[:2] in {DATA_EXCEPTION, INTEGRITY_VIOLATION}
        message = f"The new database could not be filled: {cause}"
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
    with load_errors(), psycopg.connect(target.dsn) as connection:
        _check_target(connection, target)
        indexes = _strip(connection)
        for table in RESOURCE_TABLES:
            _load_resources(connection, storage, manifest, table, target, keys)
        connection.commit()
        _load_variables(manifest, storage, target, loaders, on_progress)
        on_progress(Progress(manifest.rows, manifest.rows, "indexing"))
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
    """Nothing is restored in place: refuse a database that is not this restore's, or not empty."""
    row = connection.execute(
        """SELECT prefix, marks_since IS NULL AND NOT EXISTS (SELECT FROM variable)
                  AND NOT EXISTS (SELECT FROM device) FROM instance"""
    ).fetchone()
    if row != (target.prefix, True):
        raise LoadError("The database to restore into is not a new one.")


def _strip(connection: Connection) -> list[str]:
    """Take indexes and triggers from the variables for the load; returns what makes the indexes."""
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
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        for row in zip(*(column.to_pylist() for column in rows.columns), strict=True):
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
    """Numbers in ranges, in the order of the manifest.

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
            on_progress(Progress(done, manifest.rows, "loading", done_bytes, total_bytes))

    run_parallel(
        number_segments(segments),
        load,
        workers=loaders,
        resource=lambda: psycopg.connect(
            # Nobody can lose what is not published: only the last commit has to be on disk.
            target.dsn,
            autocommit=True,
            options="-c synchronous_commit=off",
        ),
    )


def _copy_variables(connection: Connection, rows: pa.Table) -> None:
    with connection.cursor() as cursor, cursor.copy(COPY_VARIABLES) as copy:
        for part in encode_rows(rows):
            copy.write(part)


def _numbered(storage: Storage, job: LoadJob) -> pa.Table:
    rows = read_segment(storage, job.segment)
    numbers = np.arange(job.first_number, job.first_number + rows.num_rows, dtype=np.int64)
    return rows.set_column(rows.column_names.index("id"), "id", pa.array(numbers))


# As the server is set, where that is more than what millions of rows need.
ENOUGH_TO_SORT = """SELECT set_config('maintenance_work_mem', greatest(
    pg_size_bytes(current_setting('maintenance_work_mem')), pg_size_bytes('256MB')
) / 1024 || 'kB', false)"""


def _build(target: Target, indexes: list[str], loaders: int) -> None:
    @contextmanager
    def connect() -> Iterator[Connection]:
        with psycopg.connect(target.dsn, autocommit=True) as connection:
            connection.execute(ENOUGH_TO_SORT)
            yield connection

    def build(connection: Connection, statement: str) -> None:
        # Sorting in parallel costs a third more processor time, which two indexes at once make
        # better use of where there are few cores.
        helpers = loaders // 2 if "USING brin" in statement else loaders // 2 - 1
        with load_errors():
            connection.execute(f"SET max_parallel_maintenance_workers = {max(0, helpers)}".encode())
            connection.execute(statement.encode())

    run_parallel(indexes, build, workers=loaders, resource=connect)


def _finish(connection: Connection, manifest: Manifest) -> None:
    """Let new rows be numbered behind the loaded ones, and change be tracked from here on."""
    for table, column in (("variable", "id"), ("series", "id")):
        connection.execute(
            sql.SQL(
                "SELECT setval(pg_get_serial_sequence({name}, {column}),"
                " coalesce(max({id}), 0) + 1, false) FROM {table}"
            ).format(
                name=sql.Literal(table),
                column=sql.Literal(column),
                id=sql.Identifier(column),
                table=sql.Identifier(table),
            )
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
