"""Foreign files in a storage are left alone by everything that walks over it."""

import json
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from backups_portal.ops.storage_probe import copies_work, storage_works
from backups_portal.projects.models import Project
from snapshots.engine.encryption import MasterKeys
from snapshots.engine.layout import MARKER, PROBES, project_of
from snapshots.engine.storage import Storage, open_storage
from snapshots.integrity.catalogue_rebuild import rebuild_each
from snapshots.integrity.orphan_objects import sweep_project
from snapshots.integrity.verification import verify, verify_copy
from snapshots.models import Snapshot, SnapshotCopy
from snapshots.replication.copy_run import copy, queue_copies
from snapshots.run.snapshot_run import take
from snapshots.storages.configured_storages import snapshot_storage
from tests.factories import make_account, make_snapshot

pytestmark = pytest.mark.django_db
OLD, NEW = f"old:{'a1' * 32}", f"new:{'b2' * 32}"
# Below the top, and below a project's folder.
FOREIGN = (
    *("lost+found/x", ".DS_Store", "readme.txt", "backup/keys/0123456789abcdef", "@eaDir/keys/a"),
    "6F9619FF-8B86-D011-B42D-00C04FC964FF/keys/0123456789abcdef",
)
FOREIGN_INSIDE = (
    *("keys/.DS_Store", "segments/.DS_Store", "segments/ab/Thumbs.db", "manifests/.DS_Store"),
    *("manifests/notes.txt", "other/file"),
)


@pytest.mark.parametrize(
    ("key", "is_project"),
    [
        ("6f9619ff-8b86-d011-b42d-00c04fc964ff", True),
        ("6f9619ff-8b86-d011-b42d-00c04fc964ff/segments/x", True),
        ("6F9619FF-8B86-D011-B42D-00C04FC964FF", False),
        ("{6f9619ff-8b86-d011-b42d-00c04fc964ff}", False),
        ("urn:uuid:6f9619ff-8b86-d011-b42d-00c04fc964ff", False),
        ("6f9619ff8b86d011b42d00c04fc964ff", False),
        *((name, False) for name in (MARKER, PROBES, "lost+found", "", ".DS_Store", "1")),
    ],
)
def test_folders_of_projects_have_one_spelling(key: str, is_project: bool) -> None:
    assert (project_of(key) == UUID(int=0x6F9619FF8B86D011B42D00C04FC964FF)) is is_project


def litter(storage: Storage, project: Project) -> dict[str, bytes]:
    """Add files that other programs leave; return them by name."""
    keys = [*FOREIGN, *(f"{project.pk}/{name}" for name in FOREIGN_INSIDE)]
    for key in keys:
        storage.put_stored(key, b"not yours")
    return dict.fromkeys(keys, b"not yours")


@pytest.fixture
def littered(
    live_project: Project, stored: Storage, settings: Any, tmp_path: Path
) -> list[tuple[Storage, dict[str, bytes]]]:
    """Both storages of an encrypted project with a backup, probed once."""
    settings.SNAPSHOT_MASTER_KEYS = OLD
    settings.SNAPSHOT_COPY_STORAGE = f"file://{tmp_path / 'copies'}"
    second = open_storage(settings.SNAPSHOT_COPY_STORAGE)
    found = [(storage, litter(storage, live_project)) for storage in (stored, second)]
    snapshot = make_snapshot(live_project, state=Snapshot.State.QUEUED)
    take(snapshot.pk)
    queue_copies([live_project.pk], timezone.now(), failed_before=timezone.now())
    copy(snapshot.pk)
    assert storage_works()
    assert copies_work()
    assert SnapshotCopy.objects.get().state == "copied", SnapshotCopy.objects.get().reason
    return found


def rotate() -> dict[str, Any]:
    printed = StringIO()
    call_command("rotate_keys", "--json", stdout=printed)
    return dict(json.loads(printed.getvalue()))


def test_keys_are_rotated_in_both_storages_after_they_were_tried(
    littered: list[tuple[Storage, dict[str, bytes]]], settings: Any
) -> None:
    settings.SNAPSHOT_MASTER_KEYS = f"{NEW},{OLD},plain"
    done = rotate()
    assert done["old_keys_may_go"], done["failed"]
    # The project's key, and the probes'.
    assert [(one["is_finished"], one["rewrapped"]) for one in done["storages"]] == [(True, 2)] * 2
    for one in done["storages"]:
        assert {*one["foreign"]} == {key.partition("/")[0] for key in FOREIGN if "/" in key}
    settings.SNAPSHOT_MASTER_KEYS = NEW
    snapshot = Snapshot.objects.get()
    assert verify(snapshot).rows == verify_copy(snapshot).rows == snapshot.rows
    assert storage_works()
    assert copies_work()
    for storage, foreign in littered:
        assert {key: storage.get_stored(key) for key in foreign} == foreign


def test_a_storage_that_is_not_finished_is_named_and_the_other_one_is(
    littered: list[tuple[Storage, dict[str, bytes]]], settings: Any
) -> None:
    first, second = (storage for storage, _ in littered)
    (key,) = [item.key for item in first.list(f"{PROBES}/keys/")]
    first.put_stored(key, b"{}")
    settings.SNAPSHOT_MASTER_KEYS = f"{NEW},{OLD}"
    printed = StringIO()
    with pytest.raises(CommandError, match=r"^The backup storage could not be finished"):
        call_command("rotate_keys", "--json", stdout=printed)
    done = json.loads(printed.getvalue())
    assert [one["is_finished"] for one in done["storages"]] == [False, True]
    assert not done["old_keys_may_go"]
    assert list(done["failed"]) == [PROBES]
    masters = MasterKeys.parse(NEW)
    assert masters
    for item in second.list(f"{PROBES}/keys/"):
        masters.unwrap(item.key, second.get_stored(item.key))


def test_copies_in_a_place_that_is_not_named_any_more_are_told(
    littered: list[tuple[Storage, dict[str, bytes]]], settings: Any
) -> None:
    place, settings.SNAPSHOT_COPY_STORAGE = settings.SNAPSHOT_COPY_STORAGE, ""
    settings.SNAPSHOT_MASTER_KEYS = f"{NEW},{OLD}"
    printed = StringIO()
    call_command("rotate_keys", stdout=printed)
    assert f"Copies were made in {place}, which the settings no longer name" in printed.getvalue()


def test_sweeps_and_a_new_catalogue_pass_over_it(
    littered: list[tuple[Storage, dict[str, bytes]]], live_project: Project, settings: Any
) -> None:
    settings.ORPHAN_GRACE = timedelta(minutes=-1)
    swept = sweep_project(live_project.pk)
    assert swept
    assert (swept.removed, swept.is_doubtful, swept.missing) == (0, False, ())
    (rebuilt,) = rebuild_each(snapshot_storage(), make_account())
    assert (rebuilt.project_id, rebuilt.known, rebuilt.damaged) == (live_project.pk, 1, {})
    for storage, foreign in littered:
        assert {key: storage.get_stored(key) for key in foreign} == foreign
