"""Fix an instant of a project's database, and describe it."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import psycopg
from adbc_driver_manager import Error as AdbcError
from psycopg import Connection, sql
from psycopg.rows import dict_row

from backups_portal.lib import pgsession
from backups_portal.lib.failure_causes import LOCKED_OUT, Cause, driver_cause, first_line
from backups_portal.projectdb.catalogue import BY_NAME
from snapshots.engine.errors import SourceError
from snapshots.engine.pg_timestamps import CHUNK_OF_TIME, EPOCH, FIRST_CHUNK, LAST_CHUNK

ColumnTypes = dict[str, dict[str, str]]
Clock = Callable[[], datetime]
PUBLIC = "public"

INSTANCE = """
SELECT pg_export_snapshot() AS name, clock_timestamp() AS taken_at, prefix, schema_version,
       current_setting('server_version') AS postgresql_version, marks_since::text
FROM instance
"""
MARKS = "SELECT chunk, sum(rows)::bigint AS rows FROM change_mark GROUP BY chunk"
COLUMN_TYPES = """
SELECT relname, attname, format_type(atttypid, NULL)
FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
  AND attnum > 0 AND NOT attisdropped
"""
# For our own tables only the files with rows are measured: indexes would have to be opened.
RELATIONS = """
SELECT nspname, relname, relkind = 'r' AND NOT relhassubclass AS is_plain,
       greatest(reltuples, 0)::bigint AS rows, coalesce(bytes, 0) AS bytes,
       CASE WHEN bytes > 0 AND is_ours AND reltoastrelid <> 0
            THEN coalesce(pg_relation_size(reltoastrelid), 0) ELSE 0 END AS text_bytes
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace,
     LATERAL (SELECT nspname = 'public' AND relname = ANY(%s) AS is_ours OFFSET 0) AS known,
     LATERAL (SELECT CASE WHEN is_ours THEN pg_relation_size(pg_class.oid)
                          ELSE pg_total_relation_size(pg_class.oid) END AS bytes OFFSET 0) AS size
WHERE relkind IN ('r', 'p', 'm', 'f') AND nspname !~ '^pg_' AND nspname <> 'information_schema'
"""


@contextmanager
def source_errors() -> Iterator[None]:
    """Turn the database drivers' errors into a sentence for an owner."""
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
class Relation:
    """A table or similar relation in the server's catalogue.

    Attributes:
        is_plain: All of its rows are in its own files.
        rows: About how many, from the server's statistics.
        bytes: Size of the files with its rows; of all files if it is not in our catalogue.
        text_bytes: Size of long values stored separately from the rows (TOAST).
    """

    schema: str
    name: str
    is_plain: bool
    rows: int
    bytes: int
    text_bytes: int

    @property
    def is_ours(self) -> bool:
        """Tell whether it is a table of our catalogue."""
        return self.schema == PUBLIC and self.name in BY_NAME

    @property
    def row_bytes(self) -> int:
        """Return the size of the files that its rows are read from."""
        return self.bytes + self.text_bytes

    @property
    def is_empty(self) -> bool:
        """Tell whether it cannot have rows, because it has no page."""
        return self.is_plain and not self.bytes


@dataclass(frozen=True)
class Instant:
    """An exported MVCC snapshot of a database, with its description.

    Attributes:
        name: The name by which other transactions import it (PostgreSQL, pg_export_snapshot).
        marks: Rows added (or removed) by changed chunk since `marks_since`.
        all_changed: The marks are incomplete: the variables were emptied since then, or a mark has
            a day that no variable may have.
        has_marks: There are any marks, usable or not.
        relations: All relations of the database, in our catalogue or not. Because our tables are
            locked, a table that is empty now was empty at the instant too.
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
    has_marks: bool
    types: ColumnTypes
    relations: tuple[Relation, ...]

    def find(self, tables: Iterable[str]) -> list[Relation]:
        """Find the relations of some tables of the catalogue."""
        wanted = {*tables}
        return [one for one in self.relations if one.is_ours and one.name in wanted]

    def estimate_rows(self, tables: Iterable[str]) -> int:
        """Estimate the number of rows of some tables."""
        return sum(one.rows for one in self.find(tables))


@contextmanager
def open_instant(
    dsn: str, *, read_only: bool = False, clock: Clock | None = None
) -> Iterator[tuple[Connection, Instant]]:
    """Open a database, and fix an instant of it while it is open.

    Args:
        clock: Returns the time of the instant; None: use the server's clock, which may be wrong.

    Raises:
        SourceError: the database does not answer, or refuses; also for the caller's own queries.
    """
    with source_errors(), pgsession.connect(dsn) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.read_only = read_only or None
        # Read before the instant is fixed, which therefore includes all commits until then.
        taken_at = clock() if clock else None
        instant = export_instant(connection)
        yield connection, replace(instant, taken_at=taken_at) if taken_at else instant


def export_instant(connection: Connection) -> Instant:
    """Fix an instant for as long as the connection's transaction lasts.

    The connection must not be in a transaction yet and must use REPEATABLE READ.
    """
    lock_tables(connection)
    with connection.pipeline():
        of_instance = connection.cursor(row_factory=dict_row).execute(INSTANCE)
        of_marks = connection.execute(MARKS)
        of_types = connection.execute(COLUMN_TYPES)
        of_relations = connection.execute(RELATIONS, [list(BY_NAME)])
    row = of_instance.fetchone()
    if row is None:
        raise SourceError("The main database has lost its instance row.")
    marks = of_marks.fetchall()
    return Instant(
        **row,
        server_version=connection.info.server_version,
        marks={chunk: rows for chunk, rows in marks if _is_chunk(chunk)},
        all_changed=not all(_is_chunk(chunk) for chunk, _ in marks),
        has_marks=bool(marks),
        types=_column_types(of_types.fetchall()),
        relations=tuple(Relation(*found) for found in of_relations.fetchall()),
    )


def lock_tables(connection: Connection) -> None:
    """Keep tables from being emptied or rewritten in this transaction.

    TRUNCATE and some forms of ALTER TABLE are visible to transactions that began before them: a
    reader would find a table empty that had rows at the instant. Locks come first, because the
    first query fixes what the transaction sees (PostgreSQL's documentation of LOCK).
    """
    try:
        _lock(connection, BY_NAME)
    except psycopg.errors.UndefinedTable:
        # A database of an older version lacks some of them.
        connection.rollback()
        types = _column_types(connection.execute(COLUMN_TYPES).fetchall())
        connection.commit()
        _lock(connection, [name for name in types if name in BY_NAME])


def _lock(connection: Connection, names: Iterable[str]) -> None:
    tables = sql.SQL(", ").join(sql.Identifier(PUBLIC, name) for name in names)
    connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS SHARE MODE").format(tables))


def _is_chunk(chunk: int | None) -> bool:
    return chunk is not None and FIRST_CHUNK <= chunk <= LAST_CHUNK


def _column_types(rows: Iterable[tuple[str, str, str]]) -> ColumnTypes:
    types: ColumnTypes = {}
    for table, column, kind in rows:
        types.setdefault(table, {})[column] = kind
    return types


def count_chunks(connection: Connection) -> dict[int, int]:
    """Count rows of variables by chunk, if nothing else provides the counts."""
    rows = connection.execute(
        sql.SQL("SELECT {}, count(*) FROM variable GROUP BY 1").format(CHUNK_OF_TIME)
    )
    return dict(rows.fetchall())


def chunk_start(chunk: int) -> datetime:
    """Return the first moment of a chunk."""
    return EPOCH + timedelta(days=chunk)
