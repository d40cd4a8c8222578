"""A single reader compares manifests with what was recorded."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

from backups_portal.projects.models import Project
from snapshots.engine.errors import DamagedSnapshotError
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import Storage
from snapshots.integrity.recorded_manifests import load_manifest
from snapshots.integrity.verification import verify
from snapshots.models import Snapshot
from snapshots.run.snapshot_run import take
from snapshots.storages.configured_storages import snapshot_storage
from tests.factories import make_snapshot

ROOT = Path(__file__).parents[3]
# The reader; the writer that reads back; and code that finds unrecorded manifests.
MAY_READ = {"manifest_record.py", "snapshot_writer.py", "object_sweep.py", "catalogue_rebuild.py"}


def test_nothing_reads_a_manifest_past_its_record() -> None:
    """`Manifest.load` trusts a manifest's own claims."""
    sources = [
        path
        for package in ("snapshots", "restores", "backups_portal")
        for path in (ROOT / package).rglob("*.py")
    ]
    reading = {
        path.name
        for path in sources
        if re.search(r"Manifest\.(load|from_json)\b", path.read_text())
    }
    assert reading == MAY_READ - {"manifest.py"}


def test_what_is_too_large_to_be_a_manifest_stays_unread(
    snapshot: Snapshot, stored: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(stored.get(snapshot.manifest))
    monkeypatch.setattr("snapshots.engine.storage.MAX_MANIFEST_BYTES", size)
    assert verify(snapshot).rows == snapshot.rows
    monkeypatch.setattr("snapshots.engine.storage.MAX_MANIFEST_BYTES", size - 1)
    with pytest.raises(DamagedSnapshotError, match=f"{size:,} bytes"):
        verify(snapshot)


@pytest.fixture
def snapshot(live_project: Project, stored: Storage) -> Snapshot:
    snapshot = make_snapshot(live_project, state=Snapshot.State.QUEUED)
    take(snapshot.pk)
    return Snapshot.objects.get(pk=snapshot.pk)


def test_the_digest_is_of_the_bytes_before_encryption(
    live_project: Project, stored: Storage, settings: Any
) -> None:
    settings.SNAPSHOT_MASTER_KEYS = f"one:{'a1' * 32}"
    snapshot = make_snapshot(live_project, state=Snapshot.State.QUEUED)
    take(snapshot.pk)
    snapshot.refresh_from_db()
    content = snapshot_storage().get(snapshot.manifest)
    assert content != stored.get_stored(snapshot.manifest)
    assert snapshot.manifest_sha256 == hashlib.sha256(content).hexdigest()
    assert load_manifest(snapshot_storage(), snapshot).sha256 == snapshot.manifest_sha256


def test_manifests_of_earlier_versions_are_read(snapshot: Snapshot, stored: Storage) -> None:
    """They lack newer fields; additional ones belong to later versions."""
    document = json.loads(stored.get(snapshot.manifest))
    for name in ("untracked", "healed", "labels"):
        del document[name]
    document["of_a_later_version"] = {"x": 1}
    content = json.dumps(document, indent=1).encode()
    stored.put(snapshot.manifest, content)
    Snapshot.objects.filter(pk=snapshot.pk).update(manifest_sha256="")
    snapshot.refresh_from_db()
    manifest = load_manifest(stored, snapshot)
    assert (manifest.untracked, manifest.healed, manifest.labels) == ((), (), {})
    assert manifest.rows == snapshot.rows
    assert Manifest.from_json(manifest.to_json()) == manifest
