"""The checks' role reads a few columns of one scratch database, and can do nothing else."""

import secrets
import time
from collections.abc import Iterator

import psycopg
import pytest
from django.conf import settings
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from backups_portal.lib import pgsession
from backups_portal.projectdb.check_role import (
    READ_ONLY,
    READABLE,
    check_session,
    drop_check_role,
    make_check_role,
)
from backups_portal.projectdb.provisioning import (
    checks_role,
    create_database,
    database_name,
    drop_database,
    on_server,
)
from backups_portal.projectdb.sealed_databases import close_database
from tests.projectdatabases import (
    Connection,
    Target,
    add_device,
    add_rows,
    main_database,
    open_database,
)
from tests.projectdb.test_provisioning import second_portal

__all__ = ["second_portal"]

WRITES = [
    "DELETE FROM variable",
    "UPDATE device SET name = 'x'",
    "INSERT INTO series (device_id, variable, type) VALUES ('a', 'b', 'number')",
    "TRUNCATE variable",
    "DROP TABLE variable",
    "CREATE TABLE other (n integer)",
    "CREATE TEMPORARY TABLE other (n integer)",
    "CREATE ROLE other",
    "CREATE DATABASE other",
    "ALTER ROLE CURRENT_USER CREATEROLE",
    "SELECT lo_create(0)",
    "COPY variable TO PROGRAM 'true'",
]
READS = [
    "SELECT value FROM variable_record",
    "SELECT text_value FROM variable",
    "SELECT metadata FROM variable",
    "SELECT settings FROM device",
    "SELECT * FROM device",
    "SELECT hash FROM token",
    "SELECT sealed_value FROM secret",
    "SELECT password_hash FROM run_user",
    "SELECT prefix FROM instance",
    "SELECT rolpassword FROM pg_authid",
    "SELECT pg_read_file('/etc/hostname')",
]


@pytest.fixture
def filled(target: Target) -> Target:
    with open_database(target) as connection:
        add_device(connection)
        add_rows(connection, 0, 10)
    return target


@pytest.fixture
def session(filled: Target) -> Iterator[Connection]:
    url = settings.PROJECT_DATABASE_URL
    with check_session(url, prefix=filled.prefix, statement_seconds=5) as opened:
        yield opened


def roles_of(prefix: str) -> set[str]:
    with psycopg.connect(settings.PROJECT_DATABASE_URL) as server:
        rows = server.execute("SELECT rolname FROM pg_roles WHERE rolname ~ %s", [prefix])
        return {str(name) for (name,) in rows}


def test_it_reads_what_checks_need(session: Connection) -> None:
    for table, columns in READABLE.items():
        assert session.execute(f"SELECT {', '.join(columns)} FROM {table}".encode()).fetchall()


def test_it_writes_nothing_even_where_it_lets_go_of_read_only(
    session: Connection, subtests: pytest.Subtests
) -> None:
    refusals = (psycopg.errors.ReadOnlySqlTransaction, psycopg.ProgrammingError)
    for setting in ("on", "off"):
        session.execute(f"SET default_transaction_read_only TO {setting}".encode())
        for statement in WRITES:
            with subtests.test(f"{setting} {statement}"), pytest.raises(refusals):
                session.execute(statement.encode())


def test_it_reads_nothing_else(session: Connection, subtests: pytest.Subtests) -> None:
    for statement in READS:
        with (
            subtests.test(statement),
            pytest.raises(psycopg.errors.InsufficientPrivilege),
        ):
            session.execute(statement.encode())


def test_a_statement_that_takes_too_long_is_ended(filled: Target) -> None:
    url = settings.PROJECT_DATABASE_URL
    with (
        check_session(url, prefix=filled.prefix, statement_seconds=0.1) as session,
        pytest.raises(psycopg.errors.QueryCanceled),
    ):
        session.execute("SELECT pg_sleep(5)")


def enter_alone(address: str, **options: str) -> psycopg.Connection:
    """Connect once the role's last session, which may have been refused, has ended."""
    deadline = time.monotonic() + 10
    while True:
        try:
            return pgsession.connect(address, **options)
        except psycopg.OperationalError as error:
            if "too many connections" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.02)


def test_it_enters_no_other_database_and_its_own_once(filled: Target) -> None:
    url = settings.PROJECT_DATABASE_URL
    own = make_check_role(url, prefix=filled.prefix, settings=READ_ONLY)
    role = {name: conninfo_to_dict(own)[name] for name in ("user", "password")}
    with main_database() as other, on_server(url) as server:
        for elsewhere in (other.dsn, url):
            with pytest.raises(psycopg.OperationalError, match="permission denied"):
                enter_alone(elsewhere, **role)
        with (
            enter_alone(own),
            pytest.raises(psycopg.OperationalError, match="too many connections"),
        ):
            pgsession.connect(own)
        rows = server.execute(
            "SELECT datname FROM pg_database WHERE datallowconn AND datname !~ '^template'"
            " AND has_database_privilege(%s, datname, 'CONNECT')",
            [checks_role(filled.prefix)],
        ).fetchall()
    assert (database_name(filled.prefix),) in rows
    # The tests' server keeps the superuser's databases open to every role.
    assert {name for (name,) in rows} <= {database_name(filled.prefix), "postgres"}


def test_it_is_gone_when_the_checks_have_ended(filled: Target) -> None:
    url = settings.PROJECT_DATABASE_URL
    before = roles_of(filled.prefix)

    def look() -> None:
        with check_session(url, prefix=filled.prefix, statement_seconds=5):
            assert roles_of(filled.prefix) == before | {checks_role(filled.prefix)}
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        look()
    assert roles_of(filled.prefix) == before
    # The role does not prevent the database from being closed and handed over.
    assert close_database(url, prefix=filled.prefix)


@pytest.mark.parametrize("has_database", [True, False])
def test_one_whose_maker_was_killed_goes_with_its_database(
    filled: Target, has_database: bool
) -> None:
    url = settings.PROJECT_DATABASE_URL
    with pgsession.connect(make_check_role(url, prefix=filled.prefix, settings=READ_ONLY)):
        if not has_database:
            with on_server(url) as server:
                name = sql.Identifier(database_name(filled.prefix))
                server.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(name))
        assert checks_role(filled.prefix) in roles_of(filled.prefix)
        drop_database(url, prefix=filled.prefix)
    assert roles_of(filled.prefix) == set()


@pytest.mark.usefixtures("project_server")
def test_a_portal_that_is_no_superuser_makes_and_drops_it(second_portal: tuple[str, str]) -> None:
    url, other = second_portal
    prefix = secrets.token_hex(4)
    create_database(
        url, prefix=prefix, password="secret", project_name="Theirs", installation=other
    )
    try:
        with check_session(url, prefix=prefix, statement_seconds=5) as session:
            assert session.execute("SELECT count(id) FROM device").fetchone() == (0,)
        assert checks_role(prefix) not in roles_of(prefix)
        with pytest.raises(psycopg.errors.UndefinedObject):
            drop_check_role(url, prefix=prefix)
    finally:
        drop_database(url, prefix=prefix)
