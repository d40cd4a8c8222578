"""Drop indexes and triggers of variables for a load, then recreate them."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import LiteralString

import psycopg
from psycopg import Connection, sql

from backups_portal.projectdb.block_ranges import with_one_range
from backups_portal.projectdb.catalogue import RESOURCE_TABLES, VARIABLE
from snapshots.engine.manifest import Manifest

INDEXES: LiteralString = """SELECT indexname, indexdef FROM pg_indexes
    WHERE schemaname = 'public' AND tablename = %s ORDER BY indexname"""
TRIGGERS: LiteralString = """SELECT tgname, pg_get_triggerdef(oid) FROM pg_trigger
    WHERE tgrelid = %s::regclass AND NOT tgisinternal"""
# Keeps the server's setting if it exceeds what millions of rows need.
ENOUGH_TO_SORT = """SELECT set_config('maintenance_work_mem', greatest(
    pg_size_bytes(current_setting('maintenance_work_mem')), pg_size_bytes('256MB')
) / 1024 || 'kB', false)"""


@dataclass(frozen=True)
class BareTable:
    """The definitions of the indexes and triggers that were dropped."""

    indexes: list[str]
    triggers: list[str]


def strip(connection: Connection) -> BareTable:
    """Drop the indexes and triggers of the variables.

    Disabling a trigger is not enough: PostgreSQL would still fill its transition table, writing
    every loaded row once more to a temporary file, which takes a fifth of the time.
    """
    found: list[list[str]] = []
    for query, drop in (
        (INDEXES, sql.SQL("DROP INDEX {}")),
        (TRIGGERS, sql.SQL("DROP TRIGGER {} ON variable")),
    ):
        rows = connection.execute(query, [VARIABLE.name]).fetchall()
        for name, _ in rows:
            connection.execute(drop.format(sql.Identifier(str(name))))
        found.append([str(definition) for _, definition in rows])
    return BareTable(*found)


class IndexBuild:
    """Recreates what was dropped, and makes the database ready for queries.

    The `jobs` may run in parallel, each with its own connection; the last index to be built
    finishes the table.
    """

    def __init__(
        self,
        bare: BareTable,
        manifest: Manifest,
        *,
        workers: int,
        when_ready: Callable[[], None] = lambda: None,
    ) -> None:
        self._bare, self._manifest, self._workers = bare, manifest, workers
        self._when_ready = when_ready
        self._lock = threading.Lock()
        self._left = len(bare.indexes)

    def jobs(self) -> list[Callable[[Connection], None]]:
        """Return a job for each index, the slowest first, and one that analyzes."""
        statements = map(with_one_range, self._bare.indexes)
        ordered = sorted(statements, key=lambda statement: "USING brin" in statement)
        return [*(partial(self._build, statement) for statement in ordered), _analyze_resources]

    def _build(self, statement: str, connection: Connection) -> None:
        # Sorting in parallel costs a third more processor time, which concurrent work puts to
        # better use if there are few cores.
        helpers = max(0, self._workers // 2 - 1)
        connection.execute(ENOUGH_TO_SORT)
        connection.execute(f"SET max_parallel_maintenance_workers = {helpers}".encode())
        connection.execute(statement.encode())
        with self._lock:
            self._left -= 1
            is_last = self._left == 0
        if is_last:
            _finish(connection, self._bare, self._manifest)
            self._when_ready()


def _analyze_resources(connection: Connection) -> None:
    """Analyze the other tables, whose indexes were never dropped."""
    names = sql.SQL(", ").join(sql.Identifier(table.name) for table in RESOURCE_TABLES)
    connection.execute(sql.SQL("ANALYZE {}").format(names))


NEXT_NUMBER = "SELECT setval(pg_get_serial_sequence(%s, 'id'), %s, false)"
# The greatest number that a series can have.
LAST_SERIES = (1 << 31) - 1
# Includes numbers that only variables use: in snapshots of older versions, series may be missing.
USED_SERIES = """SELECT greatest(0, (SELECT max(id) FROM series),
                                (SELECT max(series_id) FROM variable))"""
# Finds each number that variables use by one lookup in the index.
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

    Somebody may have given a series the greatest number by hand.
    """
    greatest = _number(connection.execute(USED_SERIES))
    if greatest <= LAST_SERIES // 2:
        return greatest + 1
    return _number(connection.execute(ROOM_FOR_SERIES, [LAST_SERIES]))


def _number(cursor: psycopg.Cursor) -> int:
    row = cursor.fetchone()
    return int(row[0]) if row else 0


def _finish(connection: Connection, bare: BareTable, manifest: Manifest) -> None:
    """Continue numbering after the loaded rows, and start to track changes."""
    segments = manifest.of(VARIABLE.name)
    # The loader numbers rows from 1; finding the greatest number would read the whole table.
    last_number = sum(segment.rows for segment in segments)
    with connection.transaction(), connection.cursor() as cursor:
        cursor.execute(NEXT_NUMBER, ["variable", last_number + 1])
        cursor.execute(NEXT_NUMBER, ["series", _next_series(connection)])
        # Tell the new project's first snapshot its chunks, so that it need not count.
        cursor.executemany(
            "INSERT INTO change_mark (chunk, rows) VALUES (%s, %s)",
            [item for segment in segments for item in segment.chunk_rows.items()],
        )
        for definition in bare.triggers:
            cursor.execute(definition.encode())
        # Sample only 3,000 rows: other work waits for this, and the index rebuild analyzes in full.
        cursor.execute("SET LOCAL default_statistics_target = 10")
        cursor.execute("ANALYZE variable")
