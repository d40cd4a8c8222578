"""Moves into a restored project whose block-range indexes are being replaced."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import LiteralString

import psycopg
import pytest
from psycopg import Connection

from backups_portal.projectdb import block_ranges
from backups_portal.projectdb.block_ranges import BLOCK_RANGES, rebuild_block_ranges
from backups_portal.transfers.move.block_summaries import summarize_blocks
from restores.snapshot_loader import Target
from tests.projectdatabases import add_device, add_rows, contents, open_database
from tests.transfers.engine import Transfer

DAYS = 6


@pytest.fixture(autouse=True)
def _indexes_as_they_were(target: Target) -> Iterator[None]:
    yield
    with open_database(target) as connection:
        rebuild_block_ranges(connection)


@pytest.fixture
def transfer(source: Target, target: Target) -> Transfer:
    """A move of several batches, of which the later ones summarize blocks."""
    with open_database(source) as connection:
        add_device(connection)
        for day in range(DAYS):
            add_rows(connection, day, 4)
    return Transfer(source, target, batch_rows=4)


def stop_between_drop_and_rename(target: Target) -> None:
    """Leave indexes like a rebuild killed there: until the retry there is only a draft."""
    with open_database(target) as connection:
        for index in BLOCK_RANGES:
            connection.execute(f"ALTER INDEX {index.name} RENAME TO {index.draft}".encode())


@contextmanager
def held_table(target: Target) -> Iterator[None]:
    """Lock the table as a session that creates an index or vacuums does."""
    with open_database(target) as connection, connection.transaction():
        connection.execute("LOCK TABLE variable IN SHARE UPDATE EXCLUSIVE MODE")
        yield


def test_indexes_without_their_names_stop_no_move(transfer: Transfer) -> None:
    before = contents(transfer.target)
    stop_between_drop_and_rename(transfer.target)
    (line,) = transfer.run()
    assert (line.is_equal, line.stored) == (True, DAYS * 4)
    assert transfer.undo().removed == DAYS * 4
    assert contents(transfer.target) == before


def test_a_held_table_stops_no_summaries(target: Target) -> None:
    with held_table(target), open_database(target) as connection:
        connection.execute("SET lock_timeout = '50ms'")
        summarize_blocks(connection)
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_an_index_that_goes_meanwhile_stops_no_summaries(target: Target) -> None:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s AND wait_event_type = 'Lock'"
    with (
        open_database(target) as holder,
        open_database(target) as other,
        ThreadPoolExecutor(1) as threads,
    ):
        with holder.transaction():
            holder.execute("LOCK TABLE variable IN SHARE UPDATE EXCLUSIVE MODE")
            summarized = threads.submit(summarize_blocks, other)
            while holder.execute(waiting, [other.info.backend_pid]).fetchone() != (1,):
                holder.execute("SELECT pg_stat_clear_snapshot(), pg_sleep(0.01)")
            holder.execute("DROP INDEX variable_time, variable_id")
        summarized.result()


def test_a_rebuild_beside_summaries_stops_neither(target: Target) -> None:
    """Each may wait for the other's lock or snapshot."""

    def summarize() -> None:
        with open_database(target) as connection:
            for _ in range(20):
                summarize_blocks(connection)

    with ThreadPoolExecutor(1) as threads, open_database(target) as connection:
        beside = threads.submit(summarize)
        for index in BLOCK_RANGES:
            connection.execute(f"DROP INDEX {index.name}".encode())
        assert rebuild_block_ranges(connection) == [index.name for index in BLOCK_RANGES]
        beside.result()


def test_a_rebuild_that_the_server_ends_for_a_deadlock_goes_on(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a deadlock the server may end either of the two."""
    execute, ended = block_ranges.execute_named, []

    def deadlocked(connection: Connection, statement: LiteralString, **names: str) -> None:
        execute(connection, statement, **names)
        if statement == block_ranges.CREATE and not ended:
            ended.append(names["draft"])
            raise psycopg.errors.DeadlockDetected("deadlock detected")

    with open_database(target) as connection:
        for index in BLOCK_RANGES:
            connection.execute(f"DROP INDEX {index.name}".encode())
        monkeypatch.setattr(block_ranges, "execute_named", deadlocked)
        assert rebuild_block_ranges(connection) == [index.name for index in BLOCK_RANGES]
    assert ended
