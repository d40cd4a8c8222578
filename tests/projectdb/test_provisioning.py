"""A project's role can enter its own database and no other one."""

import re
import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from unittest import mock

import psycopg
import pytest
from django.conf import settings
from psycopg import sql

from backups_portal.projectdb.check_role import drop_check_role, make_check_role
from backups_portal.projectdb.cluster_names import group_role, template_name
from backups_portal.projectdb.database_url import database_url
from backups_portal.projectdb.provisioning import (
    STRATEGY,
    ProvisioningError,
    _close_to_the_public,
    create_database,
    database_name,
    drop_database,
    on_server,
)
from backups_portal.projects.project_creation import installation
from tests.projectdatabases import Target, main_database

pytestmark = pytest.mark.usefixtures("project_server")

VERIFIER = re.compile(r" PASSWORD 'SCRAM-SHA-256\$1:[\w+/=]{24}\$[\w+/=]{44}:[\w+/=]{44}'")


def as_project(target: Target, database: str) -> str:
    return database_url(
        settings.PROJECT_DATABASE_URL,
        database=database,
        user=database_name(target.prefix),
        password="secret",
    )


def test_the_role_reaches_no_other_database(target: Target) -> None:
    with main_database() as other, psycopg.connect(settings.PROJECT_DATABASE_URL) as server:
        names = [
            str(name)
            for (name,) in server.execute("SELECT datname FROM pg_database WHERE datallowconn")
        ]
        own = database_name(target.prefix)
        assert {own, database_name(other.prefix), "postgres", template_name(installation())} <= set(
            names
        )
        for name in names:
            if name == own:
                psycopg.connect(as_project(target, name)).close()
            else:
                with pytest.raises(psycopg.OperationalError, match="permission denied"):
                    psycopg.connect(as_project(target, name))


def test_the_role_reads_and_writes_but_changes_no_schema(target: Target) -> None:
    with psycopg.connect(as_project(target, database_name(target.prefix))) as connection:
        connection.execute("INSERT INTO network (id, name) VALUES (%s, 'LoRa')", ["a" * 24])
        connection.execute("TRUNCATE variable")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("DROP TABLE variable")


def test_its_password_lets_in_and_no_other_does(target: Target) -> None:
    owner = as_project(target, database_name(target.prefix))
    psycopg.connect(owner).close()
    for wrong in ("", "Secret", "secre", "secret ", f"SCRAM-SHA-256${'x' * 24}"):
        with pytest.raises(psycopg.OperationalError, match="password"):
            psycopg.connect(owner, password=wrong)


def test_the_server_never_sees_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server logs failed statements, and all others if so configured."""
    said: list[str] = []
    execute = psycopg.Connection.execute

    def noting(self: Any, query: Any, *args: Any, **options: Any) -> Any:
        said.append(query.as_string(self) if isinstance(query, sql.Composable) else str(query))
        return execute(self, query, *args, **options)

    monkeypatch.setattr(psycopg.Connection, "execute", noting)
    with main_database() as target:
        server = settings.PROJECT_DATABASE_URL
        make_check_role(server, prefix=target.prefix, settings={})
        drop_check_role(server, prefix=target.prefix)
    made = [statement for statement in said if " PASSWORD " in statement]
    assert len(made) == 2
    for statement in made:
        assert VERIFIER.search(statement), statement


def test_a_new_database_makes_nobody_wait_for_a_checkpoint() -> None:
    last = "SELECT checkpoint_lsn FROM pg_control_checkpoint()"
    with (
        psycopg.connect(settings.PROJECT_DATABASE_URL, autocommit=True) as server,
        mock.patch("backups_portal.projectdb.provisioning.STRATEGY", STRATEGY),
    ):
        before = server.execute(last).fetchone()
        with main_database():
            assert server.execute(last).fetchone() == before


def test_a_new_database_says_whose_it_is(target: Target) -> None:
    with psycopg.connect(target.dsn) as connection:
        row = connection.execute("SELECT prefix, schema_version, marks_since FROM instance")
        assert row.fetchone() == (target.prefix, 1, None)
        assert connection.execute("SELECT name FROM profile").fetchone() == ("Test",)


def test_dropping_twice_leaves_nothing(target: Target) -> None:
    drop_database(settings.PROJECT_DATABASE_URL, prefix=target.prefix)
    drop_database(settings.PROJECT_DATABASE_URL, prefix=target.prefix)
    with psycopg.connect(settings.PROJECT_DATABASE_URL) as server:
        name = [database_name(target.prefix)]
        assert server.execute("SELECT FROM pg_roles WHERE rolname = %s", name).fetchone() is None


def test_several_that_drop_the_same_at_once_all_succeed() -> None:
    server, together = settings.PROJECT_DATABASE_URL, 6
    for _ in range(5):
        prefix = secrets.token_hex(4)
        create_database(
            server,
            prefix=prefix,
            password="secret",
            project_name="Test",
            installation=installation(),
        )
        barrier = threading.Barrier(together)

        def drop(number: int, prefix: str = prefix, barrier: threading.Barrier = barrier) -> None:
            barrier.wait()
            drop_database(server, prefix=prefix)

        with ThreadPoolExecutor(together) as threads:
            list(threads.map(drop, range(together)))


def test_a_taken_prefix_is_refused_and_the_first_database_stays(target: Target) -> None:
    with pytest.raises(ProvisioningError, match="already exists"):
        create_database(
            settings.PROJECT_DATABASE_URL,
            prefix=target.prefix,
            password="x",
            project_name="B",
            installation=installation(),
        )
    with psycopg.connect(target.dsn) as connection:
        assert connection.execute("SELECT name FROM profile").fetchone() == ("Test",)


def test_a_server_that_does_not_answer_is_a_clear_error() -> None:
    with pytest.raises(ProvisioningError, match="could not create the database"):
        create_database(
            "postgresql://nobody@127.0.0.1:1/x",
            prefix="00000000",
            password="x",
            project_name="B",
            installation=installation(),
        )


def test_two_that_make_the_template_at_once_both_succeed() -> None:
    """Two workers do this after an upgrade."""
    with psycopg.connect(settings.PROJECT_DATABASE_URL, autocommit=True) as server:
        server.execute(f'DROP DATABASE IF EXISTS "{template_name(installation())}" WITH (FORCE)')
    failures: list[BaseException] = []

    def provision() -> None:
        try:
            with main_database():
                pass
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=provision) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.mark.parametrize(
    ("server", "expected"),
    [
        ("postgresql://u:p%40ss@host:5433/x", "postgresql://u:p%40ss@host:5433/db"),
        ("postgresql://u@/x?host=/run/pg", "postgresql://u@/db?host=%2Frun%2Fpg"),
        ("host=::1 user=u dbname=x", "postgresql://u@[::1]/db"),
        (
            "postgresql://h/x?sslmode=require&connect_timeout=3",
            "postgresql://h/db?connect_timeout=3&sslmode=require",
        ),
    ],
)
def test_addresses_of_databases_on_a_server(server: str, expected: str) -> None:
    assert database_url(server, database="db") == expected


def test_the_address_for_another_role_keeps_nothing_of_the_first() -> None:
    url = database_url("postgresql://admin:secret@h/x", database="d", user="r/1", password="p:w")
    assert url == "postgresql://r%2F1:p%3Aw@h/d"


@pytest.mark.parametrize(
    "change", ["REVOKE CONNECT ON DATABASE {} FROM PUBLIC", "DROP DATABASE {}"]
)
def test_databases_that_others_close_or_drop_at_once_are_no_failure(change: str) -> None:
    """The server describes the conflict only in words, which depend on its language."""
    name = sql.Identifier(f"open_{secrets.token_hex(4)}")
    with (
        psycopg.connect(settings.PROJECT_DATABASE_URL, autocommit=True) as connection,
        psycopg.connect(settings.PROJECT_DATABASE_URL, autocommit="DROP" in change) as other,
    ):
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
        late, commit = mock.Mock(spec=connection), threading.Timer(0.2, other.commit)

        def execute(query: Any) -> Any:
            if isinstance(query, sql.Composed) and name.as_string() in query.as_string():
                other.execute(sql.SQL(change).format(name))
                commit.start()
            return connection.execute(query)

        late.execute.side_effect = execute
        _close_to_the_public(late)
        commit.join()
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))


@pytest.fixture
def second_portal() -> Iterator[tuple[str, str]]:
    """Another portal's role on the same server, and its installation's id."""
    other, role = "b" * 16, "second_portal"
    with on_server(settings.PROJECT_DATABASE_URL) as server:
        home = sql.Identifier(server.info.dbname)
        name = sql.Identifier(role)
        server.execute(
            sql.SQL("CREATE ROLE {} LOGIN CREATEDB CREATEROLE PASSWORD 'secret'").format(name)
        )
        server.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(home, name))
        url = database_url(
            settings.PROJECT_DATABASE_URL, database=server.info.dbname, user=role, password="secret"
        )
        try:
            yield url, other
        finally:
            with on_server(url) as its:
                for statement in (
                    f"DROP DATABASE IF EXISTS {template_name(other)}",
                    f"DROP ROLE IF EXISTS {group_role(other)}",
                ):
                    its.execute(statement.encode())
            server.execute(sql.SQL("REVOKE CONNECT ON DATABASE {} FROM {}").format(home, name))
            server.execute(sql.SQL("DROP ROLE {}").format(name))


def test_two_portals_share_a_server(second_portal: tuple[str, str], target: Target) -> None:
    """Each has its own role, which may not use the other's databases."""
    url, other = second_portal
    prefix = secrets.token_hex(4)
    create_database(
        url, prefix=prefix, password="secret", project_name="Theirs", installation=other
    )
    try:
        name = database_name(prefix)
        theirs = database_url(url, database=name, user=name, password="secret")
        with psycopg.connect(theirs) as session:
            session.execute("INSERT INTO network (id, name) VALUES (%s, 'LoRa')", ["a" * 24])
        with main_database():
            pass
    finally:
        drop_database(url, prefix=prefix)
