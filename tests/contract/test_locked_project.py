"""A project whose database is locked does not hold up the other projects of a process."""

import time
from contextlib import ExitStack

import psycopg

from backups_portal.projects.database_dsn import project_dsn
from tests.contract.http import ask
from tests.contract.test_slow_clients import Pair, answer, connect, quick

# Several times the threads of a process.
CROWD = 40
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND wait_event_type = 'Lock'"


def wait_for_locks(watching: psycopg.Connection[tuple[int]], database: str) -> None:
    """Return once as many sessions of a database wait as a project may have."""
    deadline = time.monotonic() + 10
    while watching.execute(WAITING, [database]).fetchone() < (4,):
        assert time.monotonic() < deadline


def test_a_crowd_that_waits_for_one_project_keeps_no_other_waiting(endpoints: Pair) -> None:
    locked, other = endpoints
    head = f"GET /device HTTP/1.1\r\nHost: api\r\nConnection: close\r\ntoken: {locked.token}"
    said = f"{head}\r\n\r\n".encode()
    dsn, database = project_dsn(locked.project), locked.project.database
    with ExitStack() as opened:
        with psycopg.connect(dsn) as session, psycopg.connect(dsn, autocommit=True) as watching:
            session.execute("LOCK TABLE device")
            crowd = [opened.enter_context(connect(locked.url, said)) for _ in range(CROWD)]
            wait_for_locks(watching, database)
            for _ in range(3):
                quick(lambda: ask(other.url, "GET", "/device", token=other.token))
        for one in crowd:
            assert answer(one).startswith(b"HTTP/1.1 200 ")


def test_who_knows_a_prefix_cannot_keep_its_project_waiting(endpoints: Pair) -> None:
    """Files of one project are asked for with tokens that pretend to be another's."""
    locked, other = endpoints
    file = f"/file/{locked.project.profile_id}/a.png"
    made_up = f"p-{other.project.prefix}-0000-4000-8000-0000000000"
    said = f"GET {file} HTTP/1.1\r\nHost: api\r\nConnection: close\r\ntoken: {made_up}\r\n\r\n"
    dsn, database = project_dsn(locked.project), locked.project.database
    with ExitStack() as opened:
        with psycopg.connect(dsn) as session, psycopg.connect(dsn, autocommit=True) as watching:
            session.execute("LOCK TABLE file")
            crowd = [opened.enter_context(connect(locked.url, said.encode())) for _ in range(CROWD)]
            wait_for_locks(watching, database)
            for _ in range(3):
                quick(lambda: ask(other.url, "GET", "/device", token=other.token))
        for one in crowd:
            assert answer(one).startswith(b"HTTP/1.1 404 ")
