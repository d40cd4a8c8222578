"""A downloaded snapshot is complete and readable by other programs, or visibly broken."""

import io
import json
import tracemalloc
import zipfile
from collections.abc import Iterator

import pyarrow.parquet as pq
import pytest

from backups_portal.projectdb.devices import set_parameters
from backups_portal.projectdb.resource_writer import create
from backups_portal.projectdb.tokens import TokenGrant, create_token
from snapshots.engine.errors import DamagedSnapshotError, EngineError, MissingObjectError
from snapshots.engine.manifest import Manifest
from snapshots.engine.segments import read_bytes
from snapshots.engine.storage import Storage
from snapshots.engine.zip_archive import archive_snapshot, check_complete, object_paths
from tests.projectdatabases import DEVICE, KEYS, Backups, Connection, add_rows

PROFILE = "b" * 24


def pieces(storage: Storage, manifest: Manifest) -> Iterator[bytes]:
    return archive_snapshot(storage, manifest, project_name="Trucks", profile_id=PROFILE)


def archived(backups: Backups, manifest: Manifest) -> zipfile.ZipFile:
    content = b"".join(pieces(backups.storage, manifest))
    archive = zipfile.ZipFile(io.BytesIO(content))
    assert archive.testzip() is None
    return archive


def document(archive: zipfile.ZipFile, name: str) -> object:
    return json.loads(archive.read(f"resources/{name}.json"))


def test_its_rows_are_those_of_the_source(
    backups: Backups, source: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snapshots.engine.segment_plan.TARGET_ROWS", 10)
    for day in range(3):
        add_rows(source, day, 8)
    manifest = backups.take()
    archive = archived(backups, manifest)
    paths = [name for name in archive.namelist() if name.startswith("data/variable/")]
    assert len(paths) == len(manifest.of("variable")) == 3
    found = [
        (row["series_id"], row["time"], row["number_value"], row["created_at"])
        for path in paths
        for row in pq.read_table(io.BytesIO(archive.read(path))).to_pylist()
    ]
    expected = source.execute(
        "SELECT series_id, time, number_value, created_at FROM variable"
    ).fetchall()
    assert sorted(found) == sorted(expected)


def test_every_object_is_in_it_byte_by_byte(backups: Backups, source: Connection) -> None:
    add_rows(source, 0, 8)
    manifest = backups.take()
    archive = archived(backups, manifest)
    assert Manifest.from_json(archive.read("manifest.json")) == manifest
    paths = dict(object_paths(manifest))
    assert {item.key for item in paths.values() if not item.inline} == set(manifest.objects)
    assert len(paths) == len(manifest.segments) + len(manifest.contents)
    for path, item in paths.items():
        assert archive.read(path) == read_bytes(backups.storage, item)
    readme = archive.read("README.md").decode()
    assert "# Trucks: backup of" in readme
    assert "| `variable` | 8 | variables |" in readme


def test_sizes_stand_before_the_files_for_who_reads_it_as_a_stream(
    backups: Backups, source: Connection
) -> None:
    for info in archived(backups, backups.take()).infolist():
        assert not info.flag_bits & 0x08, "no data descriptor"


def test_resources_as_a_tagoio_backup_has_them(backups: Backups, source: Connection) -> None:
    parameters = [{"key": "interval", "value": "5"}]
    set_parameters(source, device_id=DEVICE, parameters=parameters)
    source.execute("UPDATE device SET network_id = repeat('c', 24), settings = '{\"rssi\": -7}'")
    card = "d" * 24
    board = create(source, "dashboard", label="Cold", arrangement=[{"widget_id": card}])
    create(source, "widget", id=card, dashboard_id=board, settings={"label": "Now", "type": "card"})
    words = create(source, "dictionary", name="Texts", slug="TXT")
    values = {"dictionary_id": words, "code": "en-US", "texts": {"HI": "Hello"}}
    create(source, "dictionary_language", **values)
    create(source, "run_user", name="Ada", email="ada@example.com", password_hash="HASH")
    create(source, "secret", key="KEY", sealed_value=b"SEALED", value_length=3)
    create(source, "access_rule", name="All", permissions=[{"effect": "allow"}])
    archive = archived(backups, backups.take())
    names = {name for name in archive.namelist() if name.startswith("resources/")}
    assert names >= {
        f"resources/{name}.json"
        for name in (
            *("access_management", "actions", "analysis", "connectors", "dashboards", "devices"),
            *("dictionaries", "networks", "profile", "run_users", "secrets"),
        )
    }
    (device,) = document(archive, "devices")
    assert device["id"] == DEVICE
    assert (device["name"], device["network"], device["rssi"]) == ("Truck", "c" * 24, -7)
    assert device["created_at"].endswith("Z")
    assert device["tags"] == []
    assert [(item["key"], item["value"]) for item in device["params"]] == [("interval", "5")]
    (dashboard,) = document(archive, "dashboards")
    (widget,) = dashboard["widgets"]
    assert (dashboard["id"], widget["dashboard"], widget["type"]) == (board, board, "card")
    assert dashboard["arrangement"][0]["widget_id"] == widget["id"]
    ((language,),) = (item["languages"] for item in document(archive, "dictionaries"))
    assert (language["code"], language["data"]) == ("en-US", {"HI": "Hello"})
    assert document(archive, "profile")["id"] == PROFILE
    assert document(archive, "access_management")[0]["permissions"] == [{"effect": "allow"}]
    assert document(archive, "secrets")[0]["value"] is None
    for name in names:
        assert b"HASH" not in archive.read(name)
        assert b"SEALED" not in archive.read(name)


def test_no_token_is_in_it(backups: Backups, source: Connection) -> None:
    token = create_token(
        source, TokenGrant("device", name="Default", device_id=DEVICE), keys=KEYS
    ).value
    archive = archived(backups, backups.take())
    assert not any(token.encode() in archive.read(name) for name in archive.namelist())


class TestDamage:
    @pytest.fixture
    def manifest(self, backups: Backups, source: Connection) -> Manifest:
        add_rows(source, 0, 8)
        manifest = backups.take()
        check_complete(backups.storage, manifest)
        return manifest

    @pytest.mark.parametrize(
        ("content", "error"),
        [(None, MissingObjectError), (b"short", DamagedSnapshotError)],
    )
    def test_what_a_listing_shows_is_found_before_it_begins(
        self, backups: Backups, manifest: Manifest, content: bytes | None, error: type[EngineError]
    ) -> None:
        key = manifest.of("variable")[0].key
        backups.storage.delete(key)
        if content is not None:
            backups.storage.put(key, content)
        with pytest.raises(error, match=key):
            check_complete(backups.storage, manifest)

    def test_a_flipped_bit_leaves_an_archive_that_nobody_takes_for_whole(
        self, backups: Backups, manifest: Manifest
    ) -> None:
        key = manifest.of("variable")[0].key
        content = bytearray(backups.storage.get(key))
        content[len(content) // 2] ^= 1
        backups.storage.put(key, bytes(content))
        check_complete(backups.storage, manifest)
        received = io.BytesIO()
        with pytest.raises(DamagedSnapshotError, match="variable"):
            received.writelines(pieces(backups.storage, manifest))
        assert received.tell() > 0
        with pytest.raises(zipfile.BadZipFile):
            zipfile.ZipFile(received)


def test_memory_does_not_grow_with_the_snapshot(
    backups: Backups, source: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snapshots.engine.segment_plan.TARGET_ROWS", 1)
    source.execute(
        "INSERT INTO variable (series_id, time, number_value, text_value, group_key)"
        " SELECT 1, '2026-03-01'::timestamptz + day * interval '1 day', NULL,"
        " (SELECT string_agg(md5(random()::text), '') FROM generate_series(1, 1000 + 0 * row)),"
        " 'g' FROM generate_series(1, 12) AS day, generate_series(1, 40) AS row"
    )
    manifest = backups.take()
    sizes = [segment.bytes for segment in manifest.of("variable")]
    assert len(sizes) >= 12
    tracemalloc.start()
    longest = max(len(piece) for piece in pieces(backups.storage, manifest))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert longest <= 1 << 20
    assert peak < 5 * max(sizes) < sum(sizes)
