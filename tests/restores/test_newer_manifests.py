"""Readers say that a newer version made a backup, and none calls it damaged."""

import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from backups_portal.lib.failure_causes import Cause
from restores.models import Proof
from restores.proof_queue import queue_proof
from restores.proof_run import run_proof
from snapshots.engine.errors import DamagedSnapshotError, UnsupportedFormatError
from snapshots.integrity.catalogue_rebuild import rebuild_each
from snapshots.integrity.orphan_objects import sweep_project
from snapshots.integrity.recorded_manifests import load_manifest
from snapshots.integrity.verification import verify_copy
from snapshots.models import Snapshot, SnapshotCopy
from snapshots.replication.copy_run import copy
from snapshots.replication.copy_sweep import sweep_copies
from snapshots.replication.repair import repair
from snapshots.reports.device_reading import find_obstacle
from tests.factories import make_restore
from tests.restores.test_forged_manifests import EVERYTHING, READERS, Scene, said
from tests.restores.test_forged_manifests import scene as scene
from tests.restores.test_restore_run import run

SENTENCE = "This backup was made by a newer version of Backups Portal"
# These have separate tests below.
WRITERS = {"proof", "restore", "sweep"}
Document = dict[str, Any]


def only_the_number(document: Document) -> None:
    document["schema_version"] = 99


def a_column(document: Document) -> None:
    document["schema_version"] = 99
    document["columns"]["device"].append("mood")


def a_table(document: Document) -> None:
    document["schema_version"] = 99
    document["columns"]["mood"] = ["id"]
    of_devices = next(item for item in document["segments"] if item["table"] == "device")
    document["segments"].append({**of_devices, "table": "mood"})


def another_shape(document: Document) -> None:
    document["schema_version"] = 99
    document["segments"] = {"of": "a later kind"}


def another_format(document: Document) -> None:
    document["format"] = 99


def a_format_of_other_words(document: Document) -> None:
    document["format"] = 99
    document["schema"] = document.pop("schema_version")


NEWER: list[Callable[[Document], None]] = [
    only_the_number,
    a_column,
    a_table,
    another_shape,
    another_format,
    a_format_of_other_words,
]


def publish(scene: Scene, change: Callable[[Document], None], *, is_recorded: bool = True) -> None:
    """Put today's backup into both storages in a newer portal's format."""
    document = json.loads(scene.kept)
    change(document)
    content = json.dumps(document).encode()
    for storage in (scene.first, scene.second):
        storage.put(scene.today.manifest, content)
    sha256 = hashlib.sha256(content).hexdigest() if is_recorded else ""
    Snapshot.objects.filter(pk=scene.today.pk).update(manifest_sha256=sha256)
    scene.today.refresh_from_db()


def test_whatever_a_newer_version_changed_is_refused_as_newer(scene: Scene) -> None:
    for change, is_recorded in product(NEWER, (True, False)):
        publish(scene, change, is_recorded=is_recorded)
        with pytest.raises(UnsupportedFormatError, match=SENTENCE):
            load_manifest(scene.first, scene.today)
    # A forgery, whose digest differs, is not reported as newer.
    Snapshot.objects.filter(pk=scene.today.pk).update(manifest_sha256="0" * 64)
    scene.today.refresh_from_db()
    with pytest.raises(DamagedSnapshotError, match="was changed in storage"):
        load_manifest(scene.first, scene.today)


def test_every_reader_says_so_and_pages_advise_to_update(scene: Scene) -> None:
    assert run(make_restore(scene.today, requested_by=scene.project.created_by)).project
    publish(scene, a_table)
    told = {name: reader(scene.today) for name, reader in READERS.items() if name not in WRITERS}
    assert {n: text for n, text in told.items() if SENTENCE not in text} == {
        # They continue without it, and count it as unreadable.
        "find devices": EVERYTHING,
        "base": EVERYTHING,
    }
    with pytest.raises(UnsupportedFormatError) as caught:
        load_manifest(scene.first, scene.today)
    obstacle = find_obstacle(scene.today, caught.value)
    assert obstacle.title == "This version of Backups Portal cannot read this backup"
    assert "Backups Portal must be updated to read it." in obstacle.reason
    assert obstacle.advice == "Other backups may have the same records."
    assert not obstacle.is_passing


def test_a_proof_and_a_restore_end_and_do_not_speak_against_it(scene: Scene) -> None:
    publish(scene, a_table)
    proof = queue_proof(scene.today.pk)
    assert proof
    run_proof(proof.pk)
    proof = Proof.objects.get(pk=proof.pk)
    restore = run(make_restore(scene.today, requested_by=scene.project.created_by))
    scene.today.refresh_from_db()
    assert (proof.state, proof.cause) == (Proof.State.GIVEN_UP, Cause.VERSION)
    assert (restore.state, restore.cause) == ("failed", Cause.VERSION)
    assert SENTENCE in proof.reason
    assert SENTENCE in restore.reason
    assert (scene.today.verdict, scene.today.proven_at) == (Snapshot.Verdict.UNPROVEN, None)


def test_a_sweep_leaves_it_and_its_project_as_they_are(scene: Scene, settings: Any) -> None:
    settings.ORPHAN_GRACE = timedelta(0)
    publish(scene, another_shape)
    before = {item.key for item in scene.first.list("")}
    swept = sweep_project(scene.project.pk)
    assert swept
    assert (swept.removed, swept.broken, swept.unreadable) == (0, {}, ())
    assert swept.unsupported == (scene.today.manifest,)
    assert {item.key for item in scene.first.list("")} == before
    scene.today.refresh_from_db()
    assert scene.today.is_good


def test_a_copy_of_it_stays_a_copy(scene: Scene, settings: Any, tmp_path: Path) -> None:
    settings.SNAPSHOT_COPY_STORAGE = f"file://{tmp_path / 'copies'}"
    copied = SnapshotCopy.objects.filter(pk=scene.today.pk)
    publish(scene, a_table)
    assert SENTENCE in said(lambda: verify_copy(scene.today))
    assert copied.get().state == "copied"
    sweep_copies(scene.project.pk)
    assert copied.get().state == "copied"
    assert SENTENCE in said(lambda: repair(scene.today))
    copied.update(state="queued", lease_until=timezone.now(), attempts=0)
    copy(scene.today.pk)
    assert (copied.get().state, copied.get().cause) == ("failed", Cause.VERSION)
    assert SENTENCE in copied.get().reason


def test_a_rebuilt_catalogue_names_it(scene: Scene) -> None:
    publish(scene, a_table)
    (rebuilt,) = rebuild_each(scene.first, scene.project.created_by)
    assert list(rebuilt.damaged) == [scene.today.manifest]
    assert SENTENCE in rebuilt.damaged[scene.today.manifest]
