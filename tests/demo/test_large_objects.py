"""No backup contains large objects: a demo's projects make none, and backups count others'."""

import psycopg
import pytest

from backups_portal.demo.data_folder import opened
from backups_portal.demo.postgres import SUPERUSER, start_postgres
from backups_portal.projectdb.cluster_names import template_name
from backups_portal.projectdb.database_url import database_url
from backups_portal.projectdb.provisioning import (
    OPEN_LARGE_OBJECTS,
    create_database,
    database_name,
)
from backups_portal.projects.project_creation import installation
from snapshots.engine.contents_index import Excluded
from snapshots.engine.inventory import note_excluded
from snapshots.engine.source_database import open_instant

MADE, OLDER = "aaaaaaaa", "bbbbbbbb"


def test_large_objects_are_closed_also_in_databases_of_an_older_version(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with opened(tmp_path_factory.mktemp("demo") / "var") as folder:
        child, url = start_postgres(folder, durable=False, say=print)
        try:
            password = folder.keep(SUPERUSER, lambda: "")
            server = database_url(url, database=SUPERUSER, user=SUPERUSER, password=password)
            create_database(
                url,
                prefix=MADE,
                password="secret",
                project_name="Made",
                installation=installation(),
            )
            with psycopg.connect(server, autocommit=True) as superuser:
                superuser.execute(f'CREATE DATABASE "bp_{OLDER}" TEMPLATE template0'.encode())
        finally:
            child.stop()
        child, url = start_postgres(folder, durable=False, say=print)
        try:
            for name in (database_name(MADE), database_name(OLDER), template_name(installation())):
                inside = database_url(url, database=name, user=SUPERUSER, password=password)
                with psycopg.connect(inside) as connection:
                    assert connection.execute(OPEN_LARGE_OBJECTS).fetchone() == (False,), name
            _check_count(database_url(inside, database=database_name(MADE)))
        finally:
            child.stop()


def _check_count(dsn: str) -> None:
    assert _excluded(dsn) == []
    with psycopg.connect(dsn) as superuser:
        superuser.execute("SELECT lo_from_bytea(0, 'kept'), lo_create(0)")
        superuser.execute("CREATE SCHEMA other CREATE TABLE readings (n integer)")
    assert _excluded(dsn) == [
        Excluded("large_object", "Large objects", 2, 0),
        Excluded("relation", "other.readings", 1, 0),
    ]


def _excluded(dsn: str) -> list[Excluded]:
    with open_instant(dsn, read_only=True) as (connection, instant):
        return note_excluded(connection, instant, [])
