"""A small database is read over one connection, and unchanged data is not stored again."""

import hashlib
import json
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from backups_portal.lib import pgsession
from snapshots.engine import instant_reader, segments, snapshot_writer
from snapshots.engine.contents_index import DEVICES, Device, read_devices
from snapshots.engine.errors import DamagedSnapshotError
from snapshots.engine.manifest import Manifest
from snapshots.engine.snapshot_check import verify_snapshot
from snapshots.engine.storage import Storage
from snapshots.engine.zip_archive import archive_snapshot
from tests.projectdatabases import Backups, Connection, add_rows, quiet


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses of new connections."""
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
    """Insert rows on several days, and make one table too large to be read with the others."""
    for day in range(3):
        add_rows(source, day, 50)
    source.execute(
        """UPDATE device SET settings = jsonb_build_object('notes', (
               SELECT string_agg(md5(n::text), '') FROM generate_series(1, 16000) n))"""
    )
    size = source.execute("SELECT pg_table_size('device')").fetchone()
    assert size
    assert size[0] > instant_reader.TOGETHER_BYTES
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


@pytest.mark.parametrize("few_rows", [snapshot_writer.FEW_ROWS, -1])
def test_a_reader_takes_the_connection_that_is_there(
    backups: Backups,
    source: Connection,
    sessions: list[str],
    monkeypatch: pytest.MonkeyPatch,
    few_rows: int,
) -> None:
    fill(source)
    monkeypatch.setattr(snapshot_writer, "FEW_ROWS", few_rows)
    sessions.clear()
    backups.take(full=True, readers=1)
    assert len(sessions) == 1


def test_small_tables_are_read_together_up_to_a_limit_for_all_of_them(
    backups: Backups, source: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Separate limits would let two dozen of them be in memory at once."""
    fill(source)
    asked: list[int] = []
    read = instant_reader.read_together

    def counted(connection: Connection, queries: Sequence[tuple[bytes, dict[str, str]]]) -> Any:
        asked.append(len(queries))
        return read(connection, queries)

    monkeypatch.setattr(instant_reader, "read_together", counted)
    together = recorded(backups.take(full=True))
    (several,) = asked
    assert several > 1
    page = 8 << 10
    monkeypatch.setattr(instant_reader, "TOGETHER_BYTES", page)
    apart = recorded(backups.take(full=True))
    assert asked == [several, 1]
    assert apart == together


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


def test_an_unchanged_database_has_nothing_read_but_its_new_manifest(
    backups: Backups, source: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in range(3):
        add_rows(source, day, 50)
    backups.take()
    read: list[str] = []
    get_stored = Storage.get_stored

    def noting(storage: Storage, key: str) -> bytes:
        read.append(key)
        return get_stored(storage, key)

    monkeypatch.setattr(Storage, "get_stored", noting)
    assert read == [backups.take().key]
    source.execute("UPDATE device SET name = name || '!'")
    read.clear()
    renamed = backups.take()
    assert [device.name for device in told(backups, renamed)] == ["Truck!"]


def objects(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def test_new_rows_store_three_objects(backups: Backups, source: Connection, tmp_path: Path) -> None:
    fill(source)
    backups.take()
    before = objects(tmp_path)
    add_rows(source, 3, 50)
    manifest = backups.take()
    added = objects(tmp_path) - before
    assert sorted(path.parts[-2] for path in added if path.suffix == ".json") == ["manifests"]
    assert len(added) == 3
    assert len(manifest.new_keys) == 2
    assert manifest.new_bytes == sum(
        path.stat().st_size for path in added if path.suffix != ".json"
    )


def told(backups: Backups, manifest: Manifest) -> list[Device]:
    verify_snapshot(backups.storage, manifest, quiet)
    return read_devices(backups.storage, manifest.contents)


def test_few_devices_are_in_the_manifest(backups: Backups, source: Connection) -> None:
    fill(source)
    manifest = backups.take()
    (devices,) = [item for item in manifest.contents if item.table == DEVICES]
    assert devices.inline
    assert devices.key not in manifest.objects
    assert json.loads(manifest.to_json())["format"] == 3
    (truck,) = told(backups, manifest)
    assert (truck.name, truck.variables) == ("Truck", 3)
    pieces = archive_snapshot(backups.storage, manifest, project_name="P", profile_id="0" * 24)
    with ZipFile(BytesIO(b"".join(pieces))) as archive:
        (path,) = [name for name in archive.namelist() if name.startswith("contents/device/")]
        assert hashlib.sha256(archive.read(path)).hexdigest() == devices.sha256


def test_a_manifest_with_nothing_in_line_is_built_upon(
    backups: Backups, source: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(source)
    monkeypatch.setattr(segments, "MAX_INLINE", 0)
    older = backups.take()
    assert json.loads(older.to_json())["format"] == 2
    assert not any(item.inline for item in older.contents)
    assert not backups.take().new_keys
    monkeypatch.undo()
    add_rows(source, 3, 50)
    newer = backups.take()
    assert not newer.is_full
    assert told(backups, newer) == told(backups, backups.take(full=True))


@pytest.mark.parametrize("change", ["other bytes", "no base64", "rows"])
def test_what_is_in_line_is_compared(backups: Backups, source: Connection, change: str) -> None:
    fill(source)
    document = json.loads(backups.take().to_json())
    (devices,) = [item for item in document["contents"] if item["table"] == DEVICES]
    if change == "rows":
        document["segments"][0]["inline"] = devices["inline"]
    else:
        devices["inline"] = devices["inline"][:-4] + ("AAAA" if change == "other bytes" else "?")
    with pytest.raises(DamagedSnapshotError):
        Manifest.from_json(json.dumps(document).encode())
