"""Connections to projects' databases are kept, bounded, and closed when unused."""

import time
from collections.abc import Iterator

import psycopg
import pytest

from backups_portal.tagoio_api.connection_pools import PoolBusyError, Pools
from tests.projectdatabases import Target, main_database, open_database


@pytest.fixture(scope="module")
def target(django_db_setup: None) -> Iterator[Target]:
    with main_database() as made:
        yield made


def make(*, limit: int = 2, idle_limit: int = 9, idle_seconds: float = 60) -> Pools:
    return Pools(limit=limit, idle_limit=idle_limit, idle_seconds=idle_seconds, wait_seconds=0.05)


def test_a_connection_is_used_again(target: Target) -> None:
    pools = make()
    first = pools.take("a", lambda: target.dsn)
    pools.give_back("a", first)
    assert pools.take("a", lambda: target.dsn) is first
    first.close()


def test_a_project_has_so_many_and_no_more(target: Target) -> None:
    pools = make(limit=1)
    taken = pools.take("a", lambda: target.dsn)
    with pytest.raises(PoolBusyError):
        pools.take("a", lambda: target.dsn)
    other = pools.take("b", lambda: target.dsn)
    pools.give_back("a", taken)
    assert pools.take("a", lambda: target.dsn) is taken
    taken.close()
    other.close()


def test_a_connection_that_the_server_ended_is_not_used(target: Target) -> None:
    pools = make()
    first = pools.take("a", lambda: target.dsn)
    pools.give_back("a", first)
    with open_database(target) as connection:
        connection.execute("SELECT pg_terminate_backend(%s, 10000)", [first.info.backend_pid])
    second = pools.take("a", lambda: target.dsn)
    assert first.closed
    assert second.execute("SELECT 1").fetchone() == (1,)
    second.close()


def test_one_that_was_left_in_a_transaction_is_closed(target: Target) -> None:
    pools = make()
    first = pools.take("a", lambda: target.dsn)
    first.execute("BEGIN")
    pools.give_back("a", first)
    assert first.closed


def test_what_rests_is_bounded_and_ends(target: Target) -> None:
    pools = make(idle_limit=2, idle_seconds=0.1)
    taken = [pools.take(key, lambda: target.dsn) for key in "abc"]
    for key, connection in zip("abc", taken, strict=True):
        pools.give_back(key, connection)
    assert [connection.closed for connection in taken] == [True, False, False]
    deadline = time.monotonic() + 10
    while not all(connection.closed for connection in taken) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert all(connection.closed for connection in taken)


def test_a_server_that_does_not_answer_takes_no_place() -> None:
    pools = make(limit=1)
    for _ in range(2):
        with pytest.raises(psycopg.OperationalError):
            pools.take("a", lambda: "postgresql://nobody@127.0.0.1:1/none")
