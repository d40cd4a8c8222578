"""A small database is read over one connection, and what is unchanged is not stored again."""

from pathlib import Path
from typing import Any

import pytest

from backups_portal.lib import pgsession
from snapshots.engine import instant_reader, snapshot_writer
from snapshots.engine.manifest import Manifest
from tests.projectdatabases import Backups, Connection, add_rows


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that are connected to."""
    opened: list[str] = []
    connect = pgsession.connect

    def counted(dsn: str, **options: Any) -> Connection:
        opened.append(dsn)
        return connect(dsn, **options)

    monkeypatch.setattr(pgsession, "connect", counted)
    return opened


def recorded(manifest: Manifest) -> dict[tuple[str, int | None], tuple[str, int]]:
    return {(item.table, item.first_chunk): (item.sha256, item.rows) for item in manifest.segments}


def fill(source: Connection) -> None:
    """Rows of several days, and a table that is too large to be read with the others."""
    for day in range(3):
        add_rows(source, day, 50)
    source.execute(
        """UPDATE device SET settings = jsonb_build_object('notes', (
               SELECT string_agg(md5(n::text), '') FROM generate_series(1, 8000) n))"""
    )
    size = source.execute("SELECT pg_table_size('device')").fetchone()
    assert size
    assert size[0] > instant_reader.SMALL_TABLE_BYTES
    source.commit()


def test_one_connection_reads_what_several_read(
    backups: Backups, source: Connection, sessions: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(source)
    sessions.clear()
    few = backups.take(full=True)
    assert len(sessions) == 1
    monkeypatch.setattr(snapshot_writer, "FEW_ROWS", -1)
    sessions.clear()
    many = backups.take(full=True)
    assert len(sessions) > 1
    assert recorded(few) == recorded(many)


def test_an_unchanged_database_stores_a_manifest_alone(
    backups: Backups, source: Connection, tmp_path: Path
) -> None:
    fill(source)
    first = backups.take()
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    second = backups.take()
    assert recorded(second) == recorded(first)
    assert not second.is_full
    assert second.new_keys == frozenset()
    (added,) = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    assert str(second.snapshot_id) in added.name


def test_a_changed_row_of_a_resource_is_stored(backups: Backups, source: Connection) -> None:
    fill(source)
    first = recorded(backups.take())
    source.execute("UPDATE device SET name = name || '!'")
    source.commit()
    second = recorded(backups.take())
    assert {key for key in second if second[key] != first[key]} == {("device", None)}
