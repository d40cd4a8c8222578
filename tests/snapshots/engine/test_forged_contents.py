"""Readers report a list of devices that no snapshot wrote as damage, and none crashes."""

import base64
import hashlib
import io
import json
from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from snapshots.engine import segments
from snapshots.engine.contents_index import DEVICE_SCHEMA, DEVICES, read_contents, read_devices
from snapshots.engine.errors import DamagedSnapshotError, MissingObjectError
from snapshots.engine.layout import segment_key
from snapshots.engine.manifest import Manifest
from snapshots.engine.snapshot_check import verify_snapshot
from tests.projectdatabases import Backups, Connection, add_rows, quiet

Rows = list[dict[str, Any]]
FAR = 2**63 - 1


def changed(**values: object) -> Callable[[Rows], pa.Table]:
    return lambda rows: pa.Table.from_pylist([{**row, **values} for row in rows], DEVICE_SCHEMA)


def twice(rows: Rows) -> pa.Table:
    return pa.Table.from_pylist([*rows, *rows], DEVICE_SCHEMA)


def with_column(name: str, values: pa.Array) -> Callable[[Rows], pa.Table]:
    place = DEVICE_SCHEMA.get_field_index(name)
    return lambda rows: pa.Table.from_pylist(rows, DEVICE_SCHEMA).set_column(place, name, values)


NO_TEXT = pa.Array.from_buffers(pa.string(), 1, pa.array([b"\xff\xfe"]).buffers())
FORGED: dict[str, Callable[[Rows], pa.Table]] = {
    "a device twice": twice,
    "no name": changed(name=None),
    "no id": changed(device_id=None),
    "no count": changed(variables=None),
    "another id": changed(device_id="../" * 8),
    "a far moment": with_column("last", pa.array([FAR]).cast(pa.timestamp("us", "UTC"))),
    "an early moment": with_column("first", pa.array([-FAR]).cast(pa.timestamp("us", "UTC"))),
    "no UTF-8": with_column("name", NO_TEXT),
    "another table": lambda rows: pa.table({"x": [1]}),
}


def forged(backups: Backups, manifest: Manifest, forge: Callable[[Rows], pa.Table]) -> Manifest:
    """Return the manifest with a forged list that nothing else contradicts."""
    document = json.loads(manifest.to_json())
    (item,) = [item for item in document["contents"] if item["table"] == DEVICES]
    (known,) = [item for item in manifest.contents if item.table == DEVICES]
    table = forge(read_contents(backups.storage, known).to_pylist())
    sink = io.BytesIO()
    pq.write_table(table, sink)
    content = sink.getvalue()
    sha256 = hashlib.sha256(content).hexdigest()
    item |= {
        "inline": base64.b64encode(content).decode(),
        "bytes": len(content),
        "sha256": sha256,
        "key": segment_key(manifest.project_id, sha256),
        "rows": table.num_rows,
    }
    return Manifest.from_json(json.dumps(document).encode())


@pytest.mark.parametrize("forge", FORGED.values(), ids=FORGED)
def test_it_is_damage(
    backups: Backups, source: Connection, forge: Callable[[Rows], pa.Table]
) -> None:
    add_rows(source, 0, 5)
    first = backups.take()
    assert not backups.take().is_full
    backups.newest = forged(backups, first, forge)
    with pytest.raises(DamagedSnapshotError):
        verify_snapshot(backups.storage, backups.newest, quiet)
    with pytest.raises(DamagedSnapshotError):
        read_devices(backups.storage, backups.newest.contents)
    add_rows(source, 1, 5)
    (truck,) = read_devices(backups.storage, backups.take().contents)
    assert (truck.name, truck.variables) == ("Truck", 3)


def test_an_object_is_seen_though_a_list_in_line_is_the_same(
    backups: Backups, source: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_rows(source, 0, 5)
    newer = backups.take()
    monkeypatch.setattr(segments, "MAX_INLINE", 0)
    older = backups.take(full=True)
    (lost,) = [item for item in older.contents if item.table == DEVICES]
    assert lost.key in {item.key for item in newer.contents}
    backups.storage.delete(lost.key)
    seen: set[str] = set()
    verify_snapshot(backups.storage, newer, quiet, seen)
    with pytest.raises(MissingObjectError):
        verify_snapshot(backups.storage, older, quiet, seen)
