"""Read the rows of an instant as Arrow tables."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from itertools import accumulate

import adbc_driver_postgresql.dbapi as adbc
import numpy as np
import psycopg
import pyarrow as pa
import pyarrow.compute as pc
from psycopg import Connection, sql

from backups_portal.lib import pgsession
from backups_portal.lib.loggers import get_logger
from backups_portal.projectdb.catalogue import BY_NAME, VARIABLE, Table
from backups_portal.projectdb.columns import CAST_TO_TEXT
from backups_portal.projectdb.excluded_settings import SETTINGS, settings_without_excluded
from snapshots.engine.column_reader import Columns, IrregularError, read_arrays
from snapshots.engine.row_reader import no_rows, read_rows, read_together
from snapshots.engine.segment_plan import ChunkRange
from snapshots.engine.source_database import Instant, Relation, chunk_start, source_errors

log = get_logger(__name__)

# Rows of one read are held in memory; beyond this, they become further segments of the range.
MAX_SEGMENT_ROWS = 262_144
# The same limit in bytes, for long texts.
MAX_PART_BYTES = 16 << 20
# Bytes that ADBC returns at a time.
BATCH_BYTES = 8 << 20

# Frees one large block. Before that, glibc in the server's processes returns the memory of every
# query and faults it in again page by page for the next one: a fifth of the time of a large range,
# and more than the whole time of a small one.
KEEP_MEMORY = "SELECT octet_length(repeat(repeat(' ', 1024), 31 << 10))"
LARGE_ROWS = 32_768

# Tables are read together up to this total size on the server. Even uncompressed, they are smaller
# than the part of a large table that is in memory.
TOGETHER_BYTES = 256 << 10


@dataclass(frozen=True)
class BlockRange:
    """Blocks of the variables' table, excluding `end`; None means no bound."""

    first: int
    end: int | None


class Reader:
    """Reads rows of an instant as Arrow tables, on connections of one thread."""

    def __init__(
        self,
        dsn: str,
        instant: Instant,
        resources: ExitStack,
        *,
        as_stored: bool = False,
        connection: Connection | None = None,
        free: list[Connection] | None = None,
    ) -> None:
        self._dsn, self._instant, self._resources = dsn, instant, resources
        # Connections that see the instant, for the first readers that need one.
        self._free = [] if free is None else free
        # Include settings that are excluded now: a backup of an older version may hold some.
        self._as_stored = as_stored
        # A borrowed connection with its query plan settings; its owner goes on using it.
        self._arrays = connection
        self._rows: adbc.Connection | None = None
        # Whether the last variables had a location or metadata: the next ones probably do too.
        self._wide = False
        self._large_ranges = 0

    def whole(self, tables: Iterable[Table]) -> Iterator[tuple[Table, pa.Table]]:
        """Read tables other than variables, small ones together and first.

        A table without any page is not queried at all: opening and planning a dozen of those, as a
        small project has them, takes the server longer than reading all the others.
        """
        wanted = list(tables)
        known = {one.name: one for one in self._instant.find(table.name for table in wanted)}
        empty = [table for table in wanted if known[table.name].is_empty]
        small = _smallest_tables([table for table in wanted if table not in empty], known)
        yield from ((table, no_rows(self._types_of(table))) for table in empty)
        if small:
            with source_errors():
                queries = [self._everything_of(table) for table in small]
                parts = read_together(self._array_connection(), queries)
            yield from zip(small, parts, strict=True)
        for table in wanted:
            if table not in empty and table not in small:
                yield from ((table, part) for part in self.rows(table))

    def rows(
        self,
        table: Table,
        part: ChunkRange | BlockRange | None = None,
        *,
        numbers: bool = True,
    ) -> Iterator[pa.Table]:
        """Read a table's stored columns, in parts that fit into memory.

        Variables are sorted by series, time and number within a part, other tables by their key
        throughout.

        Args:
            part: For variables: read only this range.
            numbers: For variables: if false, they have no `id` and are unsorted.
        """
        with source_errors():
            if table is not VARIABLE or part is None:
                yield from read_rows(self._array_connection(), *self._everything_of(table))
                return
            is_small = isinstance(part, BlockRange) or part.rows <= MAX_SEGMENT_ROWS
            arrays = self._as_arrays(part, numbers) if is_small else None
            for rows in [arrays] if arrays is not None else self._variables_row_by_row(part):
                yield _sorted_variables(rows) if numbers else rows

    def count(self, chunks: ChunkRange) -> int:
        """Count the variables in a range, including orphans."""
        query = sql.SQL("SELECT count(*) FROM variable") + _within(chunks)
        with source_errors():
            row = self._array_connection().execute(query).fetchone()
        return int(row[0]) if row else 0

    def _as_arrays(self, range_: ChunkRange | BlockRange, numbers: bool) -> pa.Table | None:
        connection = self._array_connection()
        if isinstance(range_, BlockRange) or range_.rows >= LARGE_ROWS:
            self._large_ranges += 1
            if self._large_ranges == 2:
                connection.execute(KEEP_MEMORY)
        try:
            with connection.transaction():
                part = read_arrays(connection, _within(range_), Columns(self._wide, numbers))
                if part is None:
                    self._wide = True
                    part = read_arrays(connection, _within(range_), Columns(True, numbers))
        except (IrregularError, psycopg.errors.ProgramLimitExceeded, psycopg.errors.OutOfMemory):
            log.info("variables from %s until %s are read row by row", range_.first, range_.end)
            return None
        if part is not None and self._wide:
            self._wide = part["longitude"].null_count + part["metadata"].null_count < (
                2 * part.num_rows
            )
        return part

    def _variables_row_by_row(self, range_: ChunkRange | BlockRange) -> Iterator[pa.Table]:
        with self._row_connection().cursor() as cursor:
            cursor.adbc_statement.set_options(
                **{"adbc.postgresql.batch_size_hint_bytes": str(BATCH_BYTES)}
            )
            select = _select(VARIABLE, self._types_of(VARIABLE), self._as_stored)
            cursor.execute((select + _within(range_)).as_string())
            for part in _parts(cursor.fetch_record_batch()):
                yield split_location(_plain(part))

    def _array_connection(self) -> Connection:
        if self._arrays is None:
            try:
                self._arrays, settings = self._free.pop(), PLANS
            except IndexError:
                self._arrays = self._resources.enter_context(pgsession.connect(self._dsn))
                settings = _settings(self._instant)
            self._arrays.execute(";".join(settings).encode())
        return self._arrays

    def _row_connection(self) -> adbc.Connection:
        if self._rows is None:
            address = pgsession.session_dsn(self._dsn)
            self._rows = self._resources.enter_context(adbc.connect(address))
            with self._rows.cursor() as cursor:
                # The isolation level can only be set in a transaction before its first query.
                for statement in pgsession.later_statements(self._instant.server_version):
                    cursor.execute(statement)
                self._rows.commit()
                for statement in _settings(self._instant):
                    cursor.execute(statement)
        return self._rows

    def _everything_of(self, table: Table) -> tuple[bytes, dict[str, str]]:
        types = self._types_of(table)
        return _select_all(table.name, tuple(types.items()), self._as_stored), types

    def _types_of(self, table: Table) -> dict[str, str]:
        types = self._instant.types[table.name]
        return {name: types[name] for name in table.stored() if name in types}


def _smallest_tables(tables: list[Table], known: Mapping[str, Relation]) -> list[Table]:
    """Choose the smallest tables that fit into memory, in the given order."""
    by_size = sorted(tables, key=lambda table: known[table.name].row_bytes)
    totals = accumulate(known[table.name].row_bytes for table in by_size)
    chosen = [
        table for table, total in zip(by_size, totals, strict=True) if total <= TOGETHER_BYTES
    ]
    return [table for table in tables if table in chosen]


@cache
def _select_all(table: str, types: tuple[tuple[str, str], ...], as_stored: bool) -> bytes:
    keys = sql.SQL(", ").join(map(sql.Identifier, BY_NAME[table].key))
    query = _select(BY_NAME[table], dict(types), as_stored) + sql.SQL(" ORDER BY {}").format(keys)
    return query.as_bytes()


def _select(table: Table, types: dict[str, str], as_stored: bool) -> sql.Composed:
    columns = sql.SQL(", ").join(
        sql.SQL("({})::text AS {}" if kind in CAST_TO_TEXT else "{} AS {}").format(
            settings_without_excluded(table)
            if name == SETTINGS and not as_stored
            else sql.Identifier(name),
            sql.Identifier(name),
        )
        for name, kind in types.items()
    )
    return sql.SQL("SELECT {} FROM {}").format(columns, sql.Identifier(table.name))


PLANS: tuple[str, ...] = (
    # Readers already share the cores, so parallel workers in a plan slow them down.
    "SET LOCAL max_parallel_workers_per_gather = 0",
    "SET LOCAL jit = off",
    # With stale statistics, the planner expects a chunk to have few rows and finds them one by one
    # by index; they are many, and a bitmap or sequential scan reads each of their pages once.
    "SET LOCAL enable_indexscan = off",
    "SET LOCAL enable_indexonlyscan = off",
    # Ranges of blocks can only be found this way.
    "SET LOCAL enable_tidscan = on",
)
PLANS_AS_BEFORE = (
    "SET LOCAL max_parallel_workers_per_gather TO DEFAULT",
    "SET LOCAL enable_indexscan TO DEFAULT",
    "SET LOCAL enable_indexonlyscan TO DEFAULT",
    "SET LOCAL enable_tidscan TO DEFAULT",
)


def _settings(instant: Instant) -> tuple[str, ...]:
    """Write the statements to see the instant and use only one core."""
    return (
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY",
        f"SET TRANSACTION SNAPSHOT '{instant.name}'",
        *PLANS,
    )


def _within(range_: ChunkRange | BlockRange) -> sql.Composed:
    is_blocks = isinstance(range_, BlockRange)
    column, literal = ("ctid", _block_start) if is_blocks else ("time", _chunk_start)
    bounds = [
        sql.SQL(" AND {} {} {}").format(
            sql.Identifier(column), sql.SQL(operator), sql.Literal(literal(place))
        )
        for operator, place in ((">=", range_.first), ("<", range_.end))
        if place is not None
    ]
    return sql.SQL(" WHERE true") + sql.Composed(bounds)


def _block_start(block: int) -> str:
    return f"({block},0)"


def _chunk_start(chunk: int) -> str:
    return chunk_start(chunk).isoformat()


def _parts(batches: pa.RecordBatchReader) -> Iterator[pa.Table]:
    held: list[pa.RecordBatch] = []
    rows = size = 0
    empty = True
    for batch in batches:
        held.append(batch)
        rows, size = rows + batch.num_rows, size + batch.nbytes
        while rows >= MAX_SEGMENT_ROWS or size >= MAX_PART_BYTES:
            table = pa.Table.from_batches(held)
            part, rest = table.slice(0, MAX_SEGMENT_ROWS), table.slice(MAX_SEGMENT_ROWS)
            yield part
            held, rows, size = rest.to_batches(), rest.num_rows, rest.nbytes
            empty = False
    if rows or empty:
        yield pa.Table.from_batches(held, batches.schema)


def _plain(table: pa.Table) -> pa.Table:
    """Strip the drivers' extension types, which differ between versions."""
    arrays = [_storage(column) for column in table.columns]
    return pa.table(arrays, names=table.column_names)


def _storage(column: pa.ChunkedArray) -> pa.Array:
    array = column.combine_chunks()
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else pa.array([], array.type)
    return array.storage if isinstance(array, pa.ExtensionArray) else array


def _sorted_variables(table: pa.Table) -> pa.Table:
    series = table["series_id"].to_numpy()
    moments = table["time"].cast(pa.int64()).to_numpy()
    order = pa.array(np.lexsort((table["id"].to_numpy(), moments, series)))
    columns = [
        column if column.null_count == table.num_rows else pc.take(column, order, boundscheck=False)
        for column in table.columns
    ]
    return pa.table(columns, names=table.column_names)


def split_location(table: pa.Table) -> pa.Table:
    """Split PostgreSQL's point into the columns longitude and latitude."""
    index = table.column_names.index("location")
    column = table["location"].combine_chunks()
    points = np.full((table.num_rows, 2), np.nan)
    known = np.asarray(column.is_valid())
    if known.any():
        points[known] = np.frombuffer(b"".join(column.drop_null().to_pylist()), ">f8").reshape(
            -1, 2
        )
    table = table.remove_column(index)
    for name, values in (("latitude", points[:, 1]), ("longitude", points[:, 0])):
        table = table.add_column(index, name, pa.array(values, mask=~known))
    return table


@contextmanager
def open_reader(
    dsn: str,
    instant: Instant,
    *,
    as_stored: bool = False,
    free: list[Connection] | None = None,
) -> Iterator[Reader]:
    """Open a reader whose transactions see exactly the instant.

    Args:
        as_stored: Include settings that backups exclude, if the database has some.
        free: Connections that see the instant. Readers share them and take one when they need it,
            which keeps a reader's query plan settings until `PLANS_AS_BEFORE` are executed.
    """
    with source_errors(), ExitStack() as resources:
        yield Reader(dsn, instant, resources, as_stored=as_stored, free=free)
