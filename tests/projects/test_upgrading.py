"""Databases of older versions get what they lack, once."""

import json
from collections.abc import Iterator
from io import StringIO

import psycopg
import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from psycopg import sql

from backups_portal.projectdb.cluster_names import SHARED_GROUP, group_of, group_role
from backups_portal.projectdb.database_url import database_url
from backups_portal.projectdb.provisioning import database_name, grant_rights
from backups_portal.projects.database_dsn import admin_dsn, project_dsn
from backups_portal.projects.models import Project
from backups_portal.projects.project_creation import installation
from tests.factories import make_project_row
from tests.projectdatabases import Connection, Target, main_database, open_database

pytestmark = pytest.mark.server_version

LACKING = (
    "DROP INDEX device_name",
    "DROP TABLE transfer_resource CASCADE",
    "DROP TABLE transfer_returned",
    "ALTER TABLE transfer_replaced DROP COLUMN xid",
)


def upgrade() -> dict[str, dict[str, object]]:
    said = StringIO()
    call_command("upgrade_databases", "--json", stdout=said)
    return dict(json.loads(said.getvalue()))


def test_a_database_of_an_older_version_gets_what_it_lacks(live_project: Project) -> None:
    with psycopg.connect(admin_dsn(live_project), autocommit=True) as database:
        for statement in LACKING:
            database.execute(statement)
        assert upgrade()["added"] == {live_project.slug: ["the ledger of transfers", "device_name"]}
        found = database.execute(
            """SELECT to_regclass('device_name'), to_regclass('transfer_resource'),
                      to_regclass('transfer_returned')"""
        )
        assert None not in (found.fetchone() or [None])
    assert upgrade() == {"added": {live_project.slug: []}, "failed": {}, "open_large_objects": []}


def test_one_that_does_not_answer_is_named_and_stops_no_other(live_project: Project) -> None:
    gone = make_project_row(owner=live_project.created_by)
    said = StringIO()
    with pytest.raises(CommandError, match=f"(?s)not upgraded.*{gone.slug}: "):
        call_command("upgrade_databases", stdout=said)
    assert "Up to date: 1 database." in said.getvalue()


OLD_TEMPLATE = "bp_template_0123456789"


@pytest.fixture
def server() -> Iterator[Connection]:
    """The server as older versions left it: one group and one template for all portals."""
    with psycopg.connect(settings.PROJECT_DATABASE_URL, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {SHARED_GROUP} NOLOGIN".encode())
        connection.execute(f"CREATE DATABASE {OLD_TEMPLATE} TEMPLATE template0".encode())
        try:
            yield connection
        finally:
            connection.execute(f"DROP DATABASE IF EXISTS {OLD_TEMPLATE}".encode())
            connection.execute(f"DROP ROLE IF EXISTS {SHARED_GROUP}".encode())


def share(database: Connection) -> None:
    """Grant a database's rights, and its role, to the group of older versions."""
    own, shared = group_role(installation()), SHARED_GROUP
    role = sql.Identifier(database.info.dbname).as_string()
    grant_rights(database, shared)
    for statement in (
        f"GRANT {shared} TO {role}",
        f"REVOKE {own} FROM {role}",
        f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {own}",
        f"REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM {own}",
        f"REVOKE ALL ON SCHEMA public FROM {own}",
    ):
        database.execute(statement.encode())


def names(server: Connection) -> set[str]:
    rows = server.execute("SELECT rolname FROM pg_roles UNION ALL SELECT datname FROM pg_database")
    return {str(name) for (name,) in rows}


def test_what_all_portals_shared_becomes_each_ones_own(
    server: Connection, live_project: Project
) -> None:
    with psycopg.connect(admin_dsn(live_project), autocommit=True) as database:
        share(database)
        assert group_of(database) == SHARED_GROUP
        with psycopg.connect(project_dsn(live_project)) as session:
            done = upgrade()
            assert done["added"] == {
                live_project.slug: ["rights by a role of this installation's own"]
            }
            # Open sessions continue with the same rights, and no others.
            session.execute("INSERT INTO network (id, name) VALUES (%s, 'LoRa')", ["a" * 24])
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                session.execute("DELETE FROM change_mark")
        assert group_of(database) == group_role(installation())
    assert not names(server) & {SHARED_GROUP, OLD_TEMPLATE}
    assert upgrade()["added"] == {live_project.slug: []}


def test_the_shared_group_stays_while_another_portal_needs_it(
    server: Connection, live_project: Project
) -> None:
    with main_database() as other, open_database(other) as database:
        share(database)
        upgrade()
        assert SHARED_GROUP in names(server)
        with psycopg.connect(role_dsn(other)) as session:
            session.execute("SELECT FROM variable")


def role_dsn(target: Target) -> str:
    name = database_name(target.prefix)
    return database_url(target.dsn, database=name, user=name, password="secret")
