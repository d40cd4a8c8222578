"""Block-range indexes of a loaded database: one range at first, several later."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from backups_portal.projectdb import block_ranges
from backups_portal.projectdb.block_ranges import (
    REBUILD_LOCK,
    BusyError,
    rebuild_block_ranges,
)
from snapshots.engine.storage import open_storage
from tests.projectdatabases import (
    Backups,
    Connection,
    Target,
    add_device,
    add_rows,
    contents,
    main_database,
    open_database,
)

ONE_RANGE = {"variable_id": "int8_minmax_ops", "variable_time": "timestamptz_minmax_ops"}
SEVERAL = {
    "variable_id": "int8_minmax_multi_ops",
    "variable_time": "timestamptz_minmax_multi_ops",
}
WAITING = """SELECT pid FROM pg_stat_activity
    WHERE query LIKE 'CREATE INDEX CONCURRENTLY%' AND wait_event_type = 'Lock'"""


def block_range_indexes(target: Target) -> dict[str, str]:
    """Return block-range indexes' operator classes by name; unusable ones end in “!”."""
    with open_database(target) as connection:
        rows = connection.execute(
            """SELECT relname, opcname || CASE WHEN indisvalid THEN '' ELSE '!' END
               FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
               JOIN pg_am ON pg_am.oid = relam JOIN pg_opclass ON pg_opclass.oid = indclass[0]
               WHERE indrelid = 'variable'::regclass AND amname = 'brin'"""
        ).fetchall()
    return {str(name): str(operators) for name, operators in rows}


def taken_off(target: Target) -> list[tuple[object, ...]]:
    """Return the variables' indexes and triggers as a comparison of schemas sees them."""
    with open_database(target) as connection:
        return connection.execute(
            """SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'variable'
               UNION ALL SELECT tgname, pg_get_triggerdef(oid) || tgenabled::text FROM pg_trigger
               WHERE tgrelid = 'variable'::regclass AND NOT tgisinternal ORDER BY 1"""
        ).fetchall()


def rebuild(target: Target) -> list[str]:
    with open_database(target) as connection:
        return rebuild_block_ranges(connection)


@pytest.fixture
def backups(storage_url: str, project_server: str) -> Iterator[Backups]:
    """Backups of a database of three days."""
    with main_database() as source:
        with open_database(source) as connection:
            add_device(connection)
            for day in range(3):
                add_rows(connection, day, 20)
        yield Backups(source, open_storage(storage_url))


@pytest.fixture
def restored(backups: Backups) -> Iterator[Target]:
    with backups.restored(backups.take()) as target:
        yield target


@pytest.fixture
def reading(restored: Target) -> Iterator[Connection]:
    """A session that has been reading since before the rebuild, as a snapshot does."""
    with psycopg.connect(restored.dsn) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("SELECT count(*) FROM variable")
        yield connection


@pytest.fixture
def looking(restored: Target) -> Iterator[Connection]:
    """A transaction from before the rebuild that will read later: it holds no lock yet."""
    with psycopg.connect(restored.dsn) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        connection.execute("SELECT count(*) FROM device")
        yield connection


def test_one_range_first_and_several_after_the_rebuild(backups: Backups, restored: Target) -> None:
    assert block_range_indexes(restored) == ONE_RANGE
    assert rebuild(restored) == ["variable_time", "variable_id"]
    assert block_range_indexes(restored) == SEVERAL
    assert taken_off(restored) == taken_off(backups.source)
    assert rebuild(restored) == []
    assert taken_off(restored) == taken_off(backups.source)


@pytest.mark.parametrize("rebuilt", [False, True], ids=["one range", "several"])
def test_backups_of_a_restored_database_follow_its_changes(
    backups: Backups, restored: Target, rebuilt: bool
) -> None:
    later = Backups(restored, backups.storage)
    later.take()
    if rebuilt:
        rebuild(restored)
    with open_database(restored) as connection:
        add_rows(connection, 0, 5, series=2)
        connection.execute("UPDATE variable SET number_value = 99 WHERE id = 25")
        connection.execute("DELETE FROM variable WHERE id = 50")
    next_one = later.take()
    assert next_one.table_rows["variable"] == 64
    assert later.contents_of(next_one) == contents(restored)


def test_statistics_are_there_at_once(restored: Target) -> None:
    query = "SELECT count(*) FROM pg_stats WHERE tablename = 'variable' AND attname = 'time'"
    with open_database(restored) as connection:
        assert connection.execute(query).fetchone() == (1,)
        rows = "SELECT reltuples FROM pg_class WHERE relname = 'variable'"
        assert connection.execute(rows).fetchone() == (60,)


def test_whoever_reads_keeps_it_waiting_and_not_for_long(
    restored: Target, reading: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block_ranges, "PATIENCE_SECONDS", 0.05)
    with pytest.raises(BusyError):
        rebuild(restored)
    assert block_range_indexes(restored) == ONE_RANGE, "writers would fill a draft until the next"
    reading.rollback()
    rebuild(restored)
    assert block_range_indexes(restored) == SEVERAL


def test_whoever_begins_to_read_meanwhile_keeps_it_waiting_too(
    restored: Target, looking: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block_ranges, "PATIENCE_SECONDS", 0.05)
    with pytest.raises(psycopg.errors.LockNotAvailable):
        rebuild(restored)
    left = block_range_indexes(restored)
    assert left == {**ONE_RANGE, "variable_time_draft": "timestamptz_minmax_multi_ops!"}
    looking.rollback()
    rebuild(restored)
    assert block_range_indexes(restored) == SEVERAL


def test_those_who_come_and_go_keep_nothing_waiting(restored: Target, reading: Connection) -> None:
    """Readers overlap, so that there is always one."""
    with psycopg.connect(restored.dsn) as other, ThreadPoolExecutor(1) as pool:
        rebuilt = pool.submit(rebuild, restored)
        while not rebuilt.done():
            for come, gone in ((other, reading), (reading, other)):
                come.execute("SELECT count(*) FROM variable")
                gone.rollback()
                come.execute("SELECT pg_sleep(0.3)")
        rebuilt.result()
    assert block_range_indexes(restored) == SEVERAL


def wait_for_rebuild(connection: Connection) -> int:
    """Wait until a rebuild waits for a reader; return its process id."""
    while not (found := connection.execute(WAITING).fetchone()):
        connection.execute("SELECT pg_sleep(0.01)")
    return int(str(found[0]))


def test_writers_do_not_wait_for_a_rebuild_that_waits(
    restored: Target, looking: Connection
) -> None:
    with ThreadPoolExecutor(1) as pool, open_database(restored) as connection:
        rebuilt = pool.submit(rebuild, restored)
        wait_for_rebuild(connection)
        connection.execute("SET lock_timeout = '1s'")
        add_rows(connection, 1, 3)
        connection.execute("DELETE FROM variable WHERE id = 1")
        looking.rollback()
        rebuilt.result()
    assert block_range_indexes(restored) == SEVERAL


def test_killed_while_it_builds_the_next_one_begins_again(
    restored: Target, looking: Connection
) -> None:
    with ThreadPoolExecutor(1) as pool, open_database(restored) as connection:
        rebuilt = pool.submit(rebuild, restored)
        connection.execute("SELECT pg_terminate_backend(%s, 10000)", [wait_for_rebuild(connection)])
        with pytest.raises(psycopg.OperationalError):
            rebuilt.result()
    assert block_range_indexes(restored)["variable_time_draft"].endswith("!")
    looking.rollback()
    rebuild(restored)
    assert block_range_indexes(restored) == SEVERAL


@pytest.mark.parametrize("is_dropped", [False, True])
def test_killed_between_two_steps_the_next_one_goes_on(restored: Target, is_dropped: bool) -> None:
    with open_database(restored) as connection:
        connection.execute(
            """CREATE INDEX variable_time_draft ON variable USING brin
               (time timestamptz_minmax_multi_ops) WITH (pages_per_range = 32, autosummarize)"""
        )
        if is_dropped:
            connection.execute("DROP INDEX variable_time")
    assert rebuild(restored) == ["variable_time", "variable_id"]
    assert block_range_indexes(restored) == SEVERAL


def test_two_at_once_do_not_meet(restored: Target) -> None:
    with open_database(restored) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [REBUILD_LOCK])
        with pytest.raises(BusyError):
            rebuild(restored)
    assert block_range_indexes(restored) == ONE_RANGE
