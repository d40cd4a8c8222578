"""A project's own role cannot falsify a backup, nor hide data from it.

Its address is on a page for the project's owner, so clients will use every right that it has.
"""

from collections.abc import Iterator

import psycopg
import pytest

from backups_portal.projectdb import schema_upgrade
from backups_portal.projectdb.cluster_names import group_role
from backups_portal.projectdb.database_url import database_url
from backups_portal.projectdb.provisioning import INTERNAL_TABLES, database_name
from backups_portal.projectdb.schema_upgrade import upgrade_database
from backups_portal.projects.project_creation import installation
from tests.projectdatabases import DEVICE, Connection, add_device, main_database, open_database

pytestmark = pytest.mark.usefixtures("project_server")

# These make marks report too little, or let the next backup reuse segments that it should read.
TRACKING = [
    "INSERT INTO change_mark VALUES (1, 1)",
    "UPDATE change_mark SET rows = 0",
    "ALTER TABLE variable DISABLE TRIGGER USER",
    "ALTER TABLE variable DISABLE TRIGGER variable_inserted",
    "DROP TRIGGER variable_inserted ON variable",
    "CREATE TRIGGER other BEFORE INSERT ON variable EXECUTE FUNCTION mark_truncated()",
    "CREATE RULE other AS ON INSERT TO variable DO INSTEAD NOTHING",
    "ALTER TABLE variable ENABLE ROW LEVEL SECURITY",
    "ALTER TABLE variable RENAME TO other",
    "DROP TABLE variable",
    "SET session_replication_role = replica",
    "UPDATE instance SET marks_since = NULL",
    "UPDATE instance SET prefix = 'ffffffff'",
    "INSERT INTO instance (prefix, schema_version) VALUES ('ffffffff', 1)",
    *(f"{word} {table}" for table in INTERNAL_TABLES for word in ("DELETE FROM", "TRUNCATE")),
    (
        "CREATE OR REPLACE FUNCTION mark_inserted() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN RETURN NULL; END'"
    ),
    "CREATE OR REPLACE FUNCTION chunk_of(moment timestamptz) RETURNS integer RETURN 0",
    "ALTER FUNCTION chunk_of RENAME TO other",
    "ALTER FUNCTION mark_inserted SECURITY INVOKER",
    "DROP FUNCTION mark_inserted CASCADE",
    "ALTER DATABASE {database} SET search_path = other",
    "SET ROLE {maker}",
    "CREATE EVENT TRIGGER other ON ddl_command_end EXECUTE FUNCTION mark_truncated()",
]
# Places that no backup includes, or that would shadow what the portal's own code looks up.
PLACES = [
    "CREATE SCHEMA other",
    "CREATE TABLE other (n integer)",
    "CREATE TABLE public.other (n integer)",
    "CREATE TEMPORARY TABLE variable (n integer)",
    "CREATE TEMPORARY VIEW variable AS SELECT 1",
    "CREATE VIEW other AS SELECT 1",
    "CREATE MATERIALIZED VIEW other AS SELECT 1",
    "CREATE SEQUENCE other",
    "CREATE TYPE other AS (n integer)",
    "CREATE DOMAIN other AS text",
    "CREATE FUNCTION public.count(bigint) RETURNS bigint LANGUAGE sql RETURN 0",
    "CREATE OPERATOR public.>= (LEFTARG = text, RIGHTARG = text, FUNCTION = texteq)",
    "CREATE CAST (text AS bytea) WITHOUT FUNCTION",
    'CREATE COLLATION other FROM "C"',
    "CREATE PUBLICATION other",
    "CREATE ROLE other",
    "CREATE DATABASE other",
    "SELECT lo_create(0)",
    "SELECT lo_creat(-1)",
    "SELECT lo_from_bytea(0, 'lost')",
    "SELECT lo_import('/etc/hostname')",
    "SELECT lo_put(1, 0, 'lost')",
    "SELECT lowrite(1, 'lost')",
    "COPY variable TO '/tmp/other'",
    "COPY variable FROM PROGRAM 'true'",
]
# A database as the first version created it.
OLDER = [
    (
        "GRANT INSERT, UPDATE, DELETE, TRUNCATE ON ALL TABLES IN SCHEMA public TO"
        f" {group_role(installation())}"
    ),
    *(f"ALTER FUNCTION mark_{what} SECURITY INVOKER" for what in ("inserted", "deleted")),
    *(f"ALTER FUNCTION mark_{what} SECURITY INVOKER" for what in ("updated", "truncated")),
    (
        "CREATE OR REPLACE FUNCTION chunk_of(moment timestamptz) RETURNS integer LANGUAGE sql"
        " STABLE RETURN floor(date_part('epoch', moment) / 86400)::integer"
    ),
]
# Statements of the API, and of owners' scripts.
ALLOWED = [
    "INSERT INTO variable (series_id, time, group_key) VALUES (1, '2026-01-01Z', 'g')",
    "UPDATE variable SET time = '2026-01-02Z'",
    "DELETE FROM variable",
    "TRUNCATE variable",
    f"UPDATE device SET name = 'Van' WHERE id = '{DEVICE}'",
    "SELECT chunk_of(now())",
    "SELECT * FROM variable_record",
    "SELECT * FROM instance, change_mark, token_origin",
    f"DELETE FROM device WHERE id = '{DEVICE}'",
]


@pytest.fixture(scope="module", params=["new", "upgraded"])
def entered(request: pytest.FixtureRequest) -> Iterator[tuple[Connection, dict[str, str]]]:
    """A session of the project's own role, and the names that statements need."""
    with main_database() as target, open_database(target) as maker:
        add_device(maker)
        if request.param == "upgraded":
            for statement in OLDER:
                maker.execute(statement.encode())
            assert len(upgrade_database(maker, installation())) == 2
        name = database_name(target.prefix)
        names = {"database": name, "role": name, "maker": maker.info.user}
        dsn = database_url(target.dsn, database=name, user=name, password="secret")
        with psycopg.connect(dsn, autocommit=True) as connection:
            yield connection, names


@pytest.mark.parametrize("statement", [*TRACKING, *PLACES])
def test_the_role_is_refused(entered: tuple[Connection, dict[str, str]], statement: str) -> None:
    connection, names = entered
    for name, value in names.items():
        statement = statement.replace("{" + name + "}", value)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        connection.execute(statement.encode())


def test_what_the_role_does_is_marked(entered: tuple[Connection, dict[str, str]]) -> None:
    connection, _ = entered
    for statement in ALLOWED:
        connection.execute(statement.encode())
    marks = connection.execute("SELECT chunk, sum(rows) FROM change_mark GROUP BY 1 ORDER BY 1")
    assert marks.fetchall() == [(20_454, 0), (20_455, 0), (None, 0)]


def test_an_upgraded_database_is_read_whole_once() -> None:
    """The old rounding may have marked rows under the wrong day."""
    with main_database() as target, open_database(target) as maker:
        for statement in OLDER:
            maker.execute(statement.encode())
        upgrade_database(maker, installation())
        assert maker.execute("SELECT chunk, rows FROM change_mark").fetchall() == [(None, 0)]
        assert upgrade_database(maker, installation()) == []
        assert maker.execute("SELECT count(*) FROM change_mark").fetchone() == (1,)


def test_the_upgrade_waits_for_whoever_marked_by_the_older_version(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(schema_upgrade, "LOCK_TIMEOUT", "50ms")
    with (
        main_database() as target,
        open_database(target) as maker,
        psycopg.connect(target.dsn) as writer,
    ):
        add_device(maker)
        for statement in OLDER:
            maker.execute(statement.encode())
        writer.execute(ALLOWED[0].encode())
        with pytest.raises(psycopg.errors.LockNotAvailable):
            upgrade_database(maker, installation())
        writer.commit()
        assert len(upgrade_database(maker, installation())) == 2
