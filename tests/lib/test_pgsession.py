"""A session has the portal's settings, whatever the server, the database and the URL set."""

import ast
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connections
from psycopg.conninfo import conninfo_to_dict

from backups_portal.lib import pgsession
from backups_portal.lib.postgresql.base import DatabaseFeatures
from backups_portal.projectdb.database_url import database_url
from backups_portal.projectdb.provisioning import database_name
from tests.hostile import LIMITS, SINCE_17, STYLES, hostile
from tests.projectdatabases import main_database

pytestmark = pytest.mark.server_version

ROOT = Path(__file__).parents[2]
# The only other modules that open sessions, and their calls.
ELSEWHERE = {
    ("backups_portal/lib/pgsession.py", "psycopg.connect"),
    ("snapshots/engine/instant_reader.py", "adbc.connect"),
}
OPENS = {"psycopg.connect", "psycopg.Connection.connect", "Connection.connect", "adbc.connect"}


def calls(path: Path) -> set[tuple[str, str]]:
    """Return a module's calls that open sessions."""
    nodes = ast.walk(ast.parse(path.read_text()))
    called = {ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)}
    return {(str(path.relative_to(ROOT)), name) for name in called if name in OPENS}


def test_sessions_are_opened_in_one_place() -> None:
    modules = [
        path
        for top in ("backups_portal", "snapshots", "restores")
        for path in (ROOT / top).rglob("*.py")
    ]
    assert set().union(*map(calls, modules)) == ELSEWHERE
    # No driver is imported under another name, and no other driver at all.
    imports = [
        line for path in modules for line in path.read_text().splitlines() if "import" in line
    ]
    assert not [line for line in imports if "from psycopg import connect" in line]
    adbc = [line for line in imports if "adbc_driver_postgresql" in line]
    assert adbc == ["import adbc_driver_postgresql.dbapi as adbc"]


def shown(connection: psycopg.Connection, *names: str) -> dict[str, str]:
    rows = connection.execute(
        "SELECT name, current_setting(name) FROM unnest(%s::text[]) AS s (name)", [list(names)]
    )
    return dict(rows.fetchall())


def test_what_the_database_says_does_not_count() -> None:
    with (
        main_database() as target,
        hostile(database_name(target.prefix)),
        pgsession.connect(target.dsn) as session,
    ):
        assert shown(session, *STYLES, *LIMITS) == {
            **{name: pgsession.FIXED[name] for name in STYLES},
            "statement_timeout": "0",
            "lock_timeout": "1min",
            "idle_in_transaction_session_timeout": "0",
            "idle_session_timeout": "0",
            "search_path": "public",
        }
        if session.info.server_version >= 170_000:
            assert shown(session, *SINCE_17) == {"transaction_timeout": "0"}
        assert session.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS


@pytest.mark.django_db(transaction=True)
def test_a_machine_that_vanishes_keeps_its_locks_for_two_minutes() -> None:
    names = [f"tcp_keepalives_{name}" for name in ("idle", "interval", "count")]
    query = "SELECT current_setting(name) FROM unnest(%s::text[]) AS s (name)"
    with pgsession.connect(settings.PROJECT_DATABASE_URL) as session:
        assert session.execute(query, [names]).fetchall() == [("60",), ("10",), ("6",)]
    with connections["default"].cursor() as cursor:
        cursor.execute(query, [names])
        assert cursor.fetchall() == [("60",), ("10",), ("6",)]


def test_options_of_the_address_stay() -> None:
    dsn = database_url(settings.PROJECT_DATABASE_URL, database="postgres", statement_seconds=7)
    dsn += "%20-c%20work_mem%3D5MB%20-c%20TimeZone%3DAsia/Tokyo"
    with pgsession.connect(dsn, settings={"synchronous_commit": "off"}) as session:
        assert shown(
            session, "statement_timeout", "work_mem", "synchronous_commit", "TimeZone"
        ) == {
            "statement_timeout": "7s",
            "work_mem": "5MB",
            "synchronous_commit": "off",
            "TimeZone": "UTC",
        }


@pytest.mark.parametrize("variable", ["PGTZ", "PGDATESTYLE", "PGCLIENTENCODING", "PGOPTIONS"])
def test_the_environment_does_not_count(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    values = {"PGTZ": "Asia/Tokyo", "PGDATESTYLE": "SQL", "PGCLIENTENCODING": "LATIN1"}
    monkeypatch.setenv(variable, values.get(variable, "-c TimeZone=Asia/Tokyo"))
    with pgsession.connect(settings.PROJECT_DATABASE_URL) as session:
        assert shown(session, "TimeZone", "DateStyle", "client_encoding") == {
            "TimeZone": "UTC",
            "DateStyle": "ISO, YMD",
            "client_encoding": "UTF8",
        }


@pytest.mark.django_db(transaction=True)
def test_sessions_on_the_portals_own_database_are_settled_in_statements() -> None:
    name = connections["default"].settings_dict["NAME"]
    limits = {**LIMITS, "statement_timeout": "5s", "lock_timeout": "5s"}
    with hostile(name):
        with psycopg.connect(settings.PROJECT_DATABASE_URL, autocommit=True) as server:
            # Only the operator can remove a limit that ends the very statement which lifts it.
            for setting in ("statement_timeout", "lock_timeout"):
                server.execute(f'ALTER DATABASE "{name}" SET {setting} = "5s"')
        fresh = connections["default"].copy()
        try:
            with fresh.cursor() as cursor:
                cursor.execute(
                    "SELECT name, pg_catalog.current_setting(name)"
                    " FROM unnest(%s::text[]) AS s (name)",
                    [[*STYLES, *limits]],
                )
                found = dict(cursor.fetchall())
        finally:
            fresh.close()
    # The schema is the operator's choice.
    assert found.pop("search_path") == "pg_catalog"
    assert found == {
        **{name: pgsession.FIXED[name] for name in STYLES},
        **dict.fromkeys(found.keys() - STYLES.keys(), "0"),
    }


def test_how_long_a_server_is_waited_for_is_the_operators_word() -> None:
    def seconds(dsn: str, **more: int) -> str:
        return str(conninfo_to_dict(pgsession.session_dsn(dsn, **more))["connect_timeout"])

    assert seconds("postgresql://host/d", patience=5) == "5"
    assert seconds("postgresql://host/d?connect_timeout=25", patience=5) == "25"
    # A health check has to end.
    assert seconds("postgresql://host/d?connect_timeout=25", connect_timeout=3) == "3"


def test_an_older_server_is_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with psycopg.connect(settings.PROJECT_DATABASE_URL) as server:
        found = server.info.server_version
    monkeypatch.setattr(pgsession, "OLDEST", found // 10_000 + 1)
    with pytest.raises(psycopg.NotSupportedError) as refusal:
        pgsession.connect(settings.PROJECT_DATABASE_URL)
    major, minor = divmod(found, 10_000)
    assert str(refusal.value) == (
        f"PostgreSQL {major}.{minor} is too old: Backups Portal needs {major + 1} or newer."
    )


def test_fifteen_is_the_oldest() -> None:
    pgsession.require_supported(150_000)
    sentence = r"^PostgreSQL 14\.22 is too old: Backups Portal needs 15 or newer\.$"
    with pytest.raises(pgsession.ServerTooOldError, match=sentence):
        pgsession.require_supported(140_022)


@pytest.mark.django_db
def test_migrate_refuses_an_older_server_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DatabaseFeatures, "minimum_database_version", (99,))
    with pytest.raises(SystemCheckError, match="own database: PostgreSQL 99 or later is required"):
        call_command("migrate", skip_checks=False)
