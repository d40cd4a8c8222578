"""Servers that lost transactions, and databases that were rewritten: no snapshot misses a row."""

import secrets
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import psycopg
import pytest
from django.conf import settings
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from backups_portal.demo.postgres import binaries
from restores.snapshot_loader import Target
from snapshots.engine import full_reread, segment_plan
from snapshots.engine.manifest import Manifest
from snapshots.engine.snapshot_writer import Destination, Listener, Source, take_snapshot
from tests.projectdatabases import Backups, add_device, add_rows, contents, open_database, quiet
from tests.snapshots.engine.test_tracking import assert_exact

CHANGE = "UPDATE variable SET number_value = number_value + 100 WHERE time < '2026-03-02Z'"


@pytest.fixture(autouse=True)
def _nothing_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no count of rows make up for a base that is none, and give each day a segment."""
    monkeypatch.setattr(full_reread, "MAX_COUNTED_ROWS", 0)
    monkeypatch.setattr(segment_plan, "TARGET_ROWS", 10)


def write(target: Target, *statements: str) -> None:
    with open_database(target) as connection:
        for statement in statements:
            connection.execute(statement.encode())


@pytest.fixture
def filled(backups: Backups) -> Backups:
    """A main database with three days of records."""
    with open_database(backups.source) as connection:
        add_device(connection)
        for day in range(3):
            add_rows(connection, day, 10)
    return backups


@contextmanager
def copied(source: Target, *, is_empty: bool = False) -> Iterator[Target]:
    """Copy a database as it is at this moment, as a replica whose primary fails now has it."""
    name = f"copy_{secrets.token_hex(6)}"
    original = "template0" if is_empty else str(conninfo_to_dict(source.dsn)["dbname"])
    names = {"name": sql.Identifier(name), "original": sql.Identifier(original)}
    with psycopg.connect(settings.PROJECT_DATABASE_URL, autocommit=True) as server:
        statement = sql.SQL("CREATE DATABASE {name} TEMPLATE {original} STRATEGY file_copy")
        server.execute(statement.format(**names))
        try:
            yield replace(source, dsn=make_conninfo(source.dsn, dbname=name))
        finally:
            server.execute(sql.SQL("DROP DATABASE {name} WITH (FORCE)").format(**names))


def attempt(backups: Backups, snapshot: uuid.UUID, base: Manifest | None) -> Manifest:
    """Make one of several attempts at a snapshot, whose manifests all have one name."""
    return take_snapshot(
        Source(backups.source.dsn, 1, base),
        Destination(backups.storage, backups.project_id, snapshot),
        Listener(quiet),
    )


def test_a_server_that_lost_a_snapshots_commit_is_read_again(filled: Backups) -> None:
    filled.take()
    with copied(filled.source) as behind:
        write(filled.source, CHANGE)
        filled.take()
        filled.source = behind
        manifest = filled.take()
        assert manifest.is_full
        assert_exact(filled, manifest)


def test_a_server_that_lost_later_records_only_builds_upon_the_snapshot(filled: Backups) -> None:
    filled.take()
    write(filled.source, "DELETE FROM variable WHERE time > '2026-03-03Z'")
    with copied(filled.source) as behind:
        write(filled.source, CHANGE)
        filled.source = behind
        manifest = filled.take()
        assert not manifest.is_full
        assert_exact(filled, manifest)


def test_a_server_that_lost_the_second_attempt_is_read_again(filled: Backups) -> None:
    """The first one was committed there, but could not be recorded in the portal's database."""
    snapshot, base = uuid.uuid4(), filled.take()
    lost = attempt(filled, snapshot, base)
    with copied(filled.source) as behind:
        write(filled.source, CHANGE)
        filled.storage.delete(lost.key)
        filled.newest = attempt(filled, snapshot, base)
        filled.source = behind
        manifest = filled.take()
        assert_exact(filled, manifest)
        assert manifest.is_full


def test_a_server_that_returns_from_another_branch_is_read_again(filled: Backups) -> None:
    """A copy was in use for a day, and was backed up; then the original came back."""
    filled.take()
    original = filled.source
    with copied(original) as branch:
        write(branch, CHANGE)
        filled.source = branch
        assert not filled.take().is_full
    write(original, "DELETE FROM variable WHERE time > '2026-03-03Z'")
    filled.source = original
    manifest = filled.take()
    assert manifest.is_full
    assert_exact(filled, manifest)


@pytest.mark.parametrize(
    "statement",
    [
        "VACUUM FULL variable",
        "VACUUM FULL change_mark",
        "VACUUM (FREEZE, ANALYZE)",
        "CLUSTER variable USING variable_series_time",
        "REINDEX TABLE variable",
    ],
)
def test_rewriting_a_table_hides_no_change(filled: Backups, statement: str) -> None:
    filled.take()
    write(filled.source, CHANGE, statement)
    manifest = filled.take()
    assert not manifest.is_full
    assert_exact(filled, manifest)


def test_a_database_that_was_dumped_and_loaded_keeps_its_marks(filled: Backups) -> None:
    """Its transaction numbers and places of rows begin again, as after a major upgrade."""
    filled.take()
    write(filled.source, CHANGE)
    programs, expected = binaries().folder, contents(filled.source)
    with copied(filled.source, is_empty=True) as loaded:
        dump = subprocess.run(
            [programs / "pg_dump", "-Fc", filled.source.dsn], check=True, stdout=subprocess.PIPE
        )
        # An older server does not know every setting of a newer dump.
        subprocess.run([programs / "pg_restore", f"--dbname={loaded.dsn}"], input=dump.stdout)
        filled.source = loaded
        assert contents(loaded) == expected
        manifest = filled.take()
        assert not manifest.is_full
        assert filled.contents_of(manifest) == expected
        write(loaded, "DELETE FROM variable WHERE time > '2026-03-03Z'")
        assert_exact(filled, filled.take())


def test_loading_data_again_under_the_triggers_is_noticed(filled: Backups) -> None:
    """A dump of data only, loaded into the emptied tables, adds to its own marks."""
    filled.take()
    write(filled.source, CHANGE)
    programs, expected = binaries().folder, contents(filled.source)
    dump = subprocess.run(
        [programs / "pg_dump", "-a", "-Fc", filled.source.dsn], check=True, stdout=subprocess.PIPE
    )
    write(filled.source, "TRUNCATE variable, change_mark, instance, device CASCADE")
    subprocess.run([programs / "pg_restore", f"--dbname={filled.source.dsn}"], input=dump.stdout)
    assert contents(filled.source) == expected
    assert_exact(filled, filled.take())
