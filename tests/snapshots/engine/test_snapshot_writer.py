"""A snapshot contains exactly what the catalogue keeps."""

import io
import json
import re
import uuid
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import psycopg
import pyarrow.parquet as pq
import pytest
from psycopg.conninfo import make_conninfo

from backups_portal.projectdb.catalogue import BY_NAME
from backups_portal.projectdb.tokens import TokenGrant, create_token
from snapshots.engine.contents_index import Excluded, read_excluded
from snapshots.engine.errors import (
    DamagedSnapshotError,
    EngineError,
    MissingObjectError,
    SourceError,
    StorageError,
    UnsupportedFormatError,
)
from snapshots.engine.manifest import Manifest, Segment
from snapshots.engine.object_sweep import sweep
from snapshots.engine.snapshot_check import verify_snapshot
from snapshots.engine.snapshot_writer import Destination, Listener, Source, take_snapshot
from snapshots.engine.source_database import source_errors
from snapshots.engine.storage import Storage, open_storage
from tests.projectdatabases import (
    DEVICE,
    KEYS,
    Backups,
    Connection,
    add_rows,
    open_database,
    quiet,
)

ANALYSIS = "a" * 24


def stored_bytes(storage: Storage, manifest: Manifest) -> bytes:
    """Return everything that the snapshot stored, with its segments decompressed."""
    texts = [storage.get(manifest.key)]
    for segment in manifest.segments:
        table = pq.read_table(io.BytesIO(storage.get(segment.key)))
        texts += [str(table.to_pydict()).encode(), *_binaries(table)]
    return b"\n".join(texts)


def _binaries(table: object) -> list[bytes]:
    return [
        value
        for column in table.columns
        for value in column.to_pylist()
        if isinstance(value, bytes)
    ]


def test_segments_have_exactly_the_columns_of_the_catalogue(
    backups: Backups, source: Connection
) -> None:
    add_rows(source, 0, 3)
    manifest = backups.take()
    assert set(manifest.table_rows) == {
        name for name, table in BY_NAME.items() if not table.excluded
    }
    for segment in manifest.segments:
        table = pq.read_table(io.BytesIO(backups.storage.get(segment.key)))
        expected = set(BY_NAME[segment.table].stored())
        if segment.table == "variable":
            expected = expected - {"location"} | {"longitude", "latitude"}
        assert set(table.column_names) == expected


def test_code_console_files_and_tokens_are_nowhere_in_storage(
    backups: Backups, source: Connection
) -> None:
    secrets = [
        b"console.log('SECRET SCRIPT')",
        b"SECRET CONSOLE LINE",
        b"SECRET FILE",
        b"SECRET ATT",
    ]
    source.execute("INSERT INTO analysis (id, name) VALUES (%s, 'Alerts')", [ANALYSIS])
    source.execute(
        "INSERT INTO analysis_script VALUES (%s, 1, 'alerts.js', 'node', %s)",
        [ANALYSIS, secrets[0]],
    )
    source.execute(
        "INSERT INTO analysis_console (analysis_id, message) VALUES (%s, %s)",
        [ANALYSIS, secrets[1].decode()],
    )
    source.execute(
        "INSERT INTO file (path, size, md5, content) VALUES ('plan.pdf', 11, '', %s)", [secrets[2]]
    )
    source.execute(
        "INSERT INTO attachment (id, device_id, name, size, content) VALUES (%s, %s, 'a', 10, %s)",
        ["f" * 24, DEVICE, secrets[3]],
    )
    tokens = [
        create_token(
            source, TokenGrant("device", name="Default", device_id=DEVICE), keys=KEYS
        ).value,
        create_token(
            source, TokenGrant("analysis", name="T", analysis_id=ANALYSIS), keys=KEYS
        ).value,
        create_token(source, TokenGrant("profile", name="Script"), keys=KEYS).value,
    ]
    manifest = backups.take()
    content = stored_bytes(backups.storage, manifest)
    assert b"Alerts" in content, "the search would find what is there"
    for secret in [*secrets, *(token.encode() for token in tokens)]:
        assert secret not in content
    assert {kind: total.count for kind, total in manifest.excluded.items()} == {
        "script": 1,
        "console": 1,
        "file": 1,
        "attachment": 1,
    }
    left_out = read_excluded(backups.storage, manifest.contents)
    assert Excluded("file", "plan.pdf", 1, 11) in left_out
    assert Excluded("script", "Alerts: alerts.js", 1, len(secrets[0])) in left_out
    assert Excluded("console", "Alerts", 1, len(secrets[1])) in left_out


def test_the_manifest_says_what_it_holds(backups: Backups, source: Connection) -> None:
    add_rows(source, 0, 7)
    manifest = backups.take()
    again = Manifest.load(backups.storage, manifest.key)
    assert again == manifest
    assert again.table_rows["variable"] == 7
    assert again.table_rows["device"] == 1
    assert again.logical_bytes > 0
    assert again.stored_bytes == again.new_bytes > 0
    assert source.execute("SHOW server_version").fetchone() == (again.postgresql_version,)
    assert again.schema_version == 1


def test_equal_content_is_stored_once(backups: Backups, source: Connection, tmp_path: Path) -> None:
    add_rows(source, 0, 7)
    one, two = backups.take(full=True), backups.take(full=True)
    assert {s.key for s in one.segments} == {s.key for s in two.segments}


def biggest(manifest: Manifest) -> Segment:
    return max(manifest.of("variable"), key=lambda segment: segment.rows)


def test_a_missing_segment_is_reported(backups: Backups, source: Connection) -> None:
    add_rows(source, 0, 7)
    manifest = backups.take()
    backups.storage.delete(biggest(manifest).key)
    with pytest.raises(MissingObjectError, match="lacks"):
        verify_snapshot(backups.storage, manifest, quiet)


@pytest.mark.parametrize("damage", ["flip", "cut", "swap"])
def test_a_changed_segment_is_reported(backups: Backups, source: Connection, damage: str) -> None:
    add_rows(source, 0, 7)
    manifest = backups.take()
    verify_snapshot(backups.storage, manifest, quiet)
    key = biggest(manifest).key
    content = bytearray(backups.storage.get(key))
    if damage == "flip":
        content[len(content) // 2] ^= 1
    elif damage == "cut":
        del content[-1:]
    else:
        content = bytearray(backups.storage.get(manifest.of("device")[0].key))
    backups.storage.put(key, bytes(content))
    with pytest.raises(DamagedSnapshotError, match="variable"):
        verify_snapshot(backups.storage, manifest, quiet)


def test_a_manifest_of_a_newer_format_is_refused(backups: Backups, source: Connection) -> None:
    document = json.loads(backups.take().to_json())
    document["format"] = 99
    with pytest.raises(UnsupportedFormatError, match="newer version"):
        Manifest.from_json(json.dumps(document).encode())


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": 2}'])
def test_a_broken_manifest_is_reported(content: bytes) -> None:
    with pytest.raises(DamagedSnapshotError):
        Manifest.from_json(content)


def test_a_database_of_an_older_schema_is_backed_up_and_brought_up_to_date_by_a_restore(
    backups: Backups, source: Connection
) -> None:
    add_rows(source, 0, 3)
    source.execute("UPDATE instance SET schema_version = 0")
    source.execute("ALTER TABLE device DROP COLUMN visible, DROP COLUMN inspected_at")
    source.execute("DROP TABLE entity_record")
    manifest = backups.take()
    assert manifest.schema_version == 0
    assert "visible" not in manifest.columns["device"]
    verify_snapshot(backups.storage, manifest, quiet)
    with backups.restored(manifest) as target, open_database(target) as restored:
        assert restored.execute("SELECT visible, name FROM device").fetchone() == (True, "Truck")
        assert restored.execute("SELECT schema_version FROM instance").fetchone() == (1,)


def test_a_statement_timeout_is_a_clear_error(backups: Backups, source: Connection) -> None:
    add_rows(source, 0, 7)
    good = backups.take()
    source.execute(
        "INSERT INTO variable (series_id, time, number_value, group_key)"
        " SELECT 1, '2026-03-01', n, 'g' FROM generate_series(1, 150000) AS n"
    )
    usual = backups.source
    # Less than reading takes, and far more than any other statement: if the time runs out just as
    # one ends, the server calls it a “user request”.
    options = "-c statement_timeout=10"
    backups.source = replace(usual, dsn=make_conninfo(usual.dsn, options=options))
    with pytest.raises(SourceError, match="statement timeout"):
        backups.take()
    backups.source = usual
    assert {item.key for item in backups.storage.list(f"{backups.project_id}/manifests/")} == {
        good.key
    }
    assert backups.take().table_rows["variable"] == 150_007


def test_a_newer_schema_is_refused(backups: Backups, source: Connection) -> None:
    source.execute("UPDATE instance SET schema_version = 99")
    with pytest.raises(SourceError, match="99"):
        backups.take()


def test_what_a_driver_says_of_the_inside_of_the_platform_is_left_out(backups: Backups) -> None:
    nobody = make_conninfo(backups.source.dsn, user="factory_3", password="none")
    away = make_conninfo(backups.source.dsn, host="127.0.0.1", port=1)
    for dsn in (nobody, away):
        with pytest.raises(SourceError) as caught, source_errors():
            psycopg.connect(dsn)
        text = str(caught.value)
        assert re.fullmatch(r"The main database could not be read: [^:]*[^.]\.", text), text
        assert "factory_3" not in text
        assert "127.0.0.1" not in text


def test_a_database_that_is_gone_is_a_clear_error(storage: Storage) -> None:
    with pytest.raises(SourceError, match="could not be read"):
        take_snapshot(
            Source("postgresql://nobody@127.0.0.1:1/nowhere", readers=1),
            Destination(storage, uuid.uuid4(), uuid.uuid4()),
            Listener(quiet),
        )


class FailingStorage(Storage):
    """A storage that fails after some writes."""

    def __init__(self, storage: Storage, writes: int) -> None:
        self._real, self.writes = storage, writes

    def put(self, key: str, content: bytes) -> None:
        self.writes -= 1
        if self.writes < 0:
            raise StorageError("The backup storage is full.")
        self._real.put(key, content)

    def get(self, key: str) -> bytes:
        return self._real.get(key)

    def delete(self, key: str) -> None:
        self._real.delete(key)


# The first write is a segment, the second one the manifest.
@pytest.mark.parametrize("writes", [0, 1])
def test_storage_that_fills_up_publishes_nothing_and_loses_nothing(
    backups: Backups, source: Connection, writes: int
) -> None:
    add_rows(source, 0, 7)
    good = backups.take()
    add_rows(source, 0, 7, series=2)
    real = backups.storage
    backups.storage = FailingStorage(real, writes)
    with pytest.raises(StorageError, match="full"):
        backups.take(readers=1)
    backups.storage = real
    manifests = {item.key for item in real.list(f"{backups.project_id}/manifests/")}
    assert manifests == {good.key}
    following = backups.take()
    assert not following.is_full
    assert following.table_rows["variable"] == 14


def test_the_database_going_away_in_the_middle_is_a_clear_error(
    backups: Backups, source: Connection
) -> None:
    add_rows(source, 0, 7)

    def cut_connections(_: object) -> None:
        with psycopg.connect(backups.source.dsn, autocommit=True) as admin:
            admin.execute(
                "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    with pytest.raises(EngineError, match="main database"):
        backups.take(on_progress=cut_connections, readers=1)
    assert list(backups.storage.list(f"{backups.project_id}/manifests/")) == []


def test_marks_that_cannot_be_deleted_leave_the_manifest_to_the_caller(
    backups: Backups, source: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Another attempt may have published under the same name in the meantime.
    add_rows(source, 0, 7)

    def cut(*_: object) -> None:
        raise psycopg.OperationalError("terminating connection")

    with monkeypatch.context() as patch:
        patch.setattr("snapshots.engine.snapshot_writer._forget_marks", cut)
        with pytest.raises(EngineError, match="main database"):
            backups.take()
    assert len(list(backups.storage.list(f"{backups.project_id}/manifests/"))) == 1
    assert backups.take().is_full


def test_a_read_only_storage_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StorageError, match="cannot be opened"):
        open_storage(f"file://{tmp_path / 'file' / 'storage'}")


def test_sweeping_removes_what_no_manifest_names(backups: Backups, source: Connection) -> None:
    add_rows(source, 0, 7)
    first = backups.take()
    add_rows(source, 0, 7, series=2)
    second = backups.take()
    young = sweep(backups.storage, backups.project_id, grace=timedelta(hours=1))
    assert (young.removed, young.missing) == (0, ())
    backups.storage.delete(first.key)
    kept = sweep(backups.storage, backups.project_id, grace=timedelta(hours=1))
    assert kept.removed == 0
    old = sweep(backups.storage, backups.project_id, grace=timedelta(seconds=-5))
    gone = set(first.objects) - set(second.objects)
    assert old.removed == len(gone) > 0
    verify_snapshot(backups.storage, second, quiet)
