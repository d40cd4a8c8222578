"""Excluded settings, in databases and backups of versions that stored them."""

import json

import pytest
from psycopg.types.json import Jsonb

from backups_portal.projectdb.catalogue import BY_NAME
from backups_portal.projectdb.excluded_settings import WITH_SETTINGS, remove_excluded_settings
from backups_portal.projectdb.schema_upgrade import upgrade_database
from backups_portal.projects.project_creation import installation
from backups_portal.transfers.move.resource_rows import BY_KIND, read_rows, replace_rows, write_rows
from restores.snapshot_loader import drop_excluded
from snapshots.engine import instant_reader as engine_source
from snapshots.engine.archive_resources import RESOURCES, resource_file
from snapshots.engine.manifest import Manifest
from tests.projectdatabases import Backups, Connection, open_database
from tests.snapshots.engine.test_snapshot_writer import stored_bytes

MARK = "sunflower-marker"
ID = "c" * 24
# What an older version stored of each kind, in addition to kept columns.
INSERTED = {
    "network": {"id": ID, "name": "N"},
    "connector": {"id": ID, "name": "N"},
    "dashboard": {"id": ID, "label": "L"},
    "widget": {"id": ID, "dashboard_id": ID},
    "action": {"id": ID, "name": "N"},
    "analysis": {"id": ID, "name": "N"},
    "access_rule": {"id": ID, "name": "N"},
    "dictionary": {"id": ID, "name": "N", "slug": "S"},
    "run_user": {"id": ID, "name": "N", "email": "a@b.c", "password_hash": ""},
    "entity": {"id": ID, "name": "N"},
}
# These exist already, made with the database or by the fixture.
THERE = {"profile", "run_settings", "device"}


def planted(table: str) -> Jsonb:
    return Jsonb({**dict.fromkeys(BY_NAME[table].unkept_settings(), MARK), "kept": "as it is"})


@pytest.fixture
def old_source(source: Connection) -> Connection:
    """A database with excluded keys in every kind of settings."""
    assert {table.name for table in WITH_SETTINGS} == THERE | set(INSERTED)
    for table, columns in INSERTED.items():
        names = ", ".join(columns)
        source.execute(
            f"INSERT INTO {table} ({names}, settings)"
            f" VALUES ({', '.join(['%s'] * (len(columns) + 1))})",
            [*columns.values(), planted(table)],
        )
    for table in THERE:
        source.execute(f"UPDATE {table} SET settings = %s", [planted(table)])
    return source


def settings_of(connection: Connection) -> str:
    rows = (
        connection.execute(f"SELECT settings FROM {table.name}").fetchall()
        for table in WITH_SETTINGS
    )
    return str(list(rows))


@pytest.fixture
def old_manifest(
    backups: Backups, old_source: Connection, monkeypatch: pytest.MonkeyPatch
) -> Manifest:
    """A backup as an older version took it."""
    with monkeypatch.context() as older:
        older.setattr(engine_source, "SETTINGS", "")
        older.setattr(engine_source, "_select_all", engine_source._select_all.__wrapped__)
        manifest = backups.take(full=True)
    assert MARK.encode() in stored_bytes(backups.storage, manifest)
    return manifest


def test_a_backup_of_such_a_database_leaves_them_out(
    backups: Backups, old_source: Connection
) -> None:
    content = stored_bytes(backups.storage, backups.take())
    assert content.count(b"as it is") == len(WITH_SETTINGS)
    assert MARK.encode() not in content


def test_an_upgrade_takes_them_out_once(old_source: Connection) -> None:
    done = upgrade_database(old_source, installation())
    assert [line for line in done if "settings" in line] == [
        f"settings of {table.name} without what is excluded" for table in WITH_SETTINGS
    ]
    found = settings_of(old_source)
    assert MARK not in found
    assert found.count("as it is") == len(WITH_SETTINGS)
    assert upgrade_database(old_source, installation()) == []


def test_settings_that_are_no_object_stop_neither(backups: Backups, source: Connection) -> None:
    for odd in ("5", '["console"]', "null"):
        source.execute("UPDATE device SET settings = %s::jsonb", [odd])
        backups.take(full=True)
        assert remove_excluded_settings(source) == []


def test_a_restore_of_an_older_backup_drops_them(backups: Backups, old_manifest: Manifest) -> None:
    with backups.restored(old_manifest) as target:
        drop_excluded(target)
        with open_database(target) as connection:
            found = settings_of(connection)
        assert MARK not in found
        assert found.count("as it is") == len(WITH_SETTINGS)


def test_the_resources_of_an_older_backup_are_shown_without_them(
    backups: Backups, old_manifest: Manifest
) -> None:
    for name in RESOURCES:
        content = resource_file(backups.storage, old_manifest, name, profile_id=ID)
        assert content is not None
        assert MARK.encode() not in content, name
        json.loads(content)


@pytest.mark.parametrize("kind", sorted(BY_KIND.keys() - {"secret", "device"}))
def test_a_copy_of_a_resource_has_none(old_source: Connection, kind: str) -> None:
    """The copy lacks them both when the source is read and when an undo writes it back."""
    rows = read_rows(old_source, BY_KIND[kind], ID)
    assert "as it is" in str(rows)
    assert MARK not in str(rows)
    old = {**rows, kind: [{**rows[kind][0], "settings": planted(kind).obj}]}
    replace_rows(old_source, BY_KIND[kind], ID, old)
    assert MARK not in str(old_source.execute(f"SELECT settings FROM {kind}").fetchall())
    old_source.execute(f"DELETE FROM {kind}")
    write_rows(old_source, old)
    assert MARK not in str(old_source.execute(f"SELECT settings FROM {kind}").fetchall())


def test_resources_that_sql_nested_or_numbered_beyond_measure_are_shown(
    backups: Backups, old_source: Connection
) -> None:
    deep = "[" * 950 + "]" * 950
    for table in WITH_SETTINGS:
        odd = f'{{"deep": {deep}, "long": {"7" * 5000}}}'
        old_source.execute(f"UPDATE {table.name} SET settings = %s", [odd])
    manifest = backups.take()
    for name in RESOURCES:
        content = resource_file(backups.storage, manifest, name, profile_id=ID)
        assert content is not None
        has_settings = name != "secrets"
        assert (deep.encode() in content) is has_settings, name
        assert (b"7" * 5000 in content) is has_settings, name
