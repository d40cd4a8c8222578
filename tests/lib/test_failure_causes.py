"""Database drivers' errors are distinguished by class and SQLSTATE."""

import os
import socket
import stat
from contextlib import suppress

import adbc_driver_postgresql.dbapi as adbc
import psycopg
import pytest
from adbc_driver_manager import Error as AdbcError

from backups_portal.lib.failure_causes import CAUSE_LENGTH, Cause, driver_cause, first_line

NOBODY = "postgresql://nobody@127.0.0.1:1/none"


def of_statement(statement: str) -> Cause:
    with (
        psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as connection,
        pytest.raises(psycopg.Error) as raised,
    ):
        connection.execute(statement.encode())
    return driver_cause(raised.value)


@pytest.mark.parametrize(
    ("statement", "cause"),
    [
        ("SET statement_timeout = 1; SELECT pg_sleep(9)", Cause.TIME_LIMIT),
        ("SELECT pg_terminate_backend(pg_backend_pid())", Cause.DATABASE_UNREACHABLE),
        ("SELECT * FROM what_is_not_there", Cause.DATABASE_REFUSED),
        ("SELECT repeat('x', 1 << 30)", Cause.DATABASE_REFUSED),
    ],
)
def test_what_a_server_says(statement: str, cause: Cause) -> None:
    assert of_statement(statement) == cause


def test_a_server_that_does_not_answer() -> None:
    with pytest.raises(psycopg.Error) as raised:
        psycopg.connect(NOBODY)
    assert driver_cause(raised.value) == Cause.DATABASE_UNREACHABLE


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (psycopg.errors.DiskFull, Cause.NO_ROOM),
        (psycopg.errors.LockNotAvailable, Cause.LOCKED),
        (psycopg.errors.ObjectInUse, Cause.LOCKED),
        (psycopg.errors.DeadlockDetected, Cause.LOCKED),
        (psycopg.errors.TooManyConnections, Cause.NO_ROOM),
        (psycopg.errors.AdminShutdown, Cause.DATABASE_UNREACHABLE),
        (psycopg.errors.CannotConnectNow, Cause.DATABASE_UNREACHABLE),
        (psycopg.errors.ConnectionFailure, Cause.DATABASE_UNREACHABLE),
        (psycopg.InterfaceError, Cause.DATABASE_UNREACHABLE),
        (psycopg.errors.InsufficientPrivilege, Cause.DATABASE_REFUSED),
        (psycopg.DataError, Cause.DATABASE_REFUSED),
    ],
)
def test_what_cannot_be_caused_here(error: type[psycopg.Error], cause: Cause) -> None:
    assert driver_cause(error()) == cause


@pytest.mark.parametrize(
    ("statement", "cause"),
    [
        ("SELECT * FROM what_is_not_there", Cause.DATABASE_REFUSED),
        ("SELECT pg_sleep(9)", Cause.TIME_LIMIT),
    ],
)
def test_the_other_driver_is_asked_the_same(statement: str, cause: Cause) -> None:
    with adbc.connect(os.environ["DATABASE_URL"]) as connection, connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = 50")
        with pytest.raises(AdbcError) as raised:
            _ask(cursor, statement)
        assert driver_cause(raised.value) == cause


def test_a_server_that_dies_while_it_sends_rows() -> None:
    before = sockets()
    with adbc.connect(os.environ["DATABASE_URL"]) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT repeat('x', 1000) FROM generate_series(1, 100000)")
        for inode, number in sockets().items():
            if inode not in before:
                cut_off(number)
        with pytest.raises(AdbcError) as raised:
            cursor.fetchall()
        assert driver_cause(raised.value) == Cause.DATABASE_UNREACHABLE


def sockets() -> dict[int, int]:
    """Return this process's sockets by inode, because the driver hides its own."""
    found = {}
    for number in map(int, os.listdir("/dev/fd")):
        with suppress(OSError):
            status = os.fstat(number)
            if stat.S_ISSOCK(status.st_mode):
                found[status.st_ino] = number
    return found


def cut_off(number: int) -> None:
    """End a connection as a killed server does."""
    with socket.socket(fileno=os.dup(number)) as connection:
        connection.shutdown(socket.SHUT_RDWR)


def _ask(cursor: adbc.Cursor, statement: str) -> None:
    cursor.execute(statement)
    cursor.fetchall()


def test_the_longest_fits() -> None:
    assert max(map(len, Cause)) <= CAUSE_LENGTH


@pytest.mark.parametrize(
    ("dsn", "said"),
    [
        (NOBODY, "Connection refused"),
        ("postgresql://nobody@nowhere.invalid/none", "nowhere.invalid"),
        ("{server}/none_such", 'database "none_such" does not exist'),
    ],
)
def test_a_driver_is_repeated_without_host_and_role(dsn: str, said: str) -> None:
    server = os.environ["DATABASE_URL"].rpartition("/")[0]
    with pytest.raises(psycopg.Error) as raised:
        psycopg.connect(dsn.format(server=server))
    line = first_line(raised.value)
    assert said in line
    assert not line.endswith(".")
    for inner in ("127.0.0.1", "port", "nobody", "connection to server"):
        assert inner not in line


def test_a_driver_that_says_nothing_is_named_by_its_class() -> None:
    assert first_line(psycopg.OperationalError()) == "OperationalError"
