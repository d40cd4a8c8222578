"""Fix an instant of a project's database, and what is known of it then."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

import psycopg
from adbc_driver_manager import Error as AdbcError
from psycopg import Connection, sql

from backups_portal.lib import pgsession
from backups_portal.lib.failure_causes import LOCKED_OUT, Cause, driver_cause, first_line
from backups_portal.lib.loggers import get_logger
from backups_portal.projectdb.catalogue import BY_NAME
from snapshots.engine.errors import SourceError
from snapshots.engine.pg_timestamps import CHUNK_OF_TIME, EPOCH, FIRST_CHUNK, LAST_CHUNK

log = get_logger(__name__)

ColumnTypes = dict[str, dict[str, str]]


@contextmanager
def source_errors() -> Iterator[None]:
    """Turn what the database drivers raise into a sentence for an owner."""
    try:
        yield
    except (psycopg.Error, AdbcError) as error:
        raise SourceError(
            f"The main database could not be read: {_in_a_sentence(error)}.",
            cause=driver_cause(error),
        ) from error


def _in_a_sentence(error: psycopg.Error | AdbcError) -> str:
    return LOCKED_OUT if driver_cause(error) == Cause.LOCKED else first_line(error)


@dataclass(frozen=True)
class Instant:
    """An exported MVCC snapshot of a database, and what is known of the database at it.

    Attributes:
        name: What other transactions import it by (PostgreSQL, pg_export_snapshot).
        marks: Rows that came (or went) by changed chunk since `marks_since`.
        all_changed: The marks do not tell all: the variables were emptied since then, or a mark
            is of no day that a variable may have.
    """

    name: str
    taken_at: datetime
    prefix: str
    schema_version: int
    postgresql_version: str
    server_version: int
    marks_since: str | None
    marks: dict[int, int]
    all_changed: bool
    types: ColumnTypes


@contextmanager
def open_instant(dsn: str, *, read_only: bool = False) -> Iterator[tuple[Connection, Instant]]:
    """Open a database, and fix an instant of it while it is open.

    Raises:
        SourceError: the database does not answer, or refuses; also what the caller asks of it.
    """
    with source_errors(), pgsession.connect(dsn) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = read_only or None
        yield connection, export_instant(connection)


def export_instant(connection: Connection) -> Instant:
    """Fix an instant for as long as the connection's transaction lasts.

    The connection must be in no transaction yet and have isolation REPEATABLE READ.
    """
    lock_tables(connection)
    with connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        row = cursor.execute(
            """SELECT pg_export_snapshot() AS name, clock_timestamp() AS taken_at, prefix,
                      schema_version, current_setting('server_version') AS postgresql_version,
                      marks_since::text
               FROM instance"""
        ).fetchone()
        if row is None:
            raise SourceError("The main database has lost its instance row.")
        marks = cursor.execute(
            "SELECT chunk, sum(rows)::bigint AS rows FROM change_mark GROUP BY chunk"
        ).fetchall()
    return Instant(
        **row,
        server_version=connection.info.server_version,
        marks={mark["chunk"]: mark["rows"] for mark in marks if _is_chunk(mark["chunk"])},
        all_changed=not all(_is_chunk(mark["chunk"]) for mark in marks),
        types=column_types(connection),
    )


def lock_tables(connection: Connection) -> None:
    """Let nobody empty or rewrite a table until the transaction ends.

    TRUNCATE and some forms of ALTER TABLE show in transactions that began before them: a reader
    would find a table empty that had rows at the instant. Locks come first, since the first query
    fixes what the transaction sees (PostgreSQL's documentation of LOCK).
    """
    known = [name for name in column_types(connection) if name in BY_NAME]
    tables = sql.SQL(", ").join(sql.Identifier("public", name) for name in known)
    connection.commit()
    connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(tables))


def _is_chunk(chunk: int | None) -> bool:
    return chunk is not None and FIRST_CHUNK <= chunk <= LAST_CHUNK


def column_types(connection: Connection) -> ColumnTypes:
    """Read the type of every column of the database."""
    rows = connection.execute(
        """SELECT relname, attname, format_type(atttypid, NULL)
           FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
           WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
             AND attnum > 0 AND NOT attisdropped"""
    ).fetchall()
    types: ColumnTypes = {}
    for table, column, kind in rows:
        types.setdefault(table, {})[column] = kind
    return types


def count_chunks(connection: Connection) -> dict[int, int]:
    """Count rows of variables by chunk, if nothing else tells them."""
    rows = connection.execute(
        sql.SQL("SELECT {}, count(*) FROM variable GROUP BY 1").format(CHUNK_OF_TIME)
    )
    return dict(rows.fetchall())


def estimate_rows(connection: Connection, tables: Iterable[str]) -> int:
    """Return about how many rows some tables have, from the server's statistics."""
    row = connection.execute(
        """SELECT coalesce(sum(greatest(reltuples, 0)), 0)::bigint FROM pg_class
           WHERE relname = ANY(%s) AND relnamespace = 'public'::regnamespace""",
        [list(tables)],
    ).fetchone()
    return int(row[0]) if row else 0


def chunk_start(chunk: int) -> datetime:
    """Return the first moment of a chunk."""
    return EPOCH + timedelta(days=chunk)
