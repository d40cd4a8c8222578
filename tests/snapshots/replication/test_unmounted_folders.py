"""Nothing is written into an empty folder where a storage's disk is not mounted."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from backups_portal.lib import liveness
from backups_portal.lib.redis_client import redis_client
from backups_portal.ops.storage_probe import copies_work
from backups_portal.ops.tasks import clean_copies, remove_expired_copies
from backups_portal.projects.models import Project
from snapshots.engine.errors import StorageError
from snapshots.engine.layout import MARKER
from snapshots.engine.storage import Storage
from snapshots.integrity.verification import Unverified, verify_all, verify_copy
from snapshots.models import Snapshot, SnapshotCopy
from snapshots.replication.copy_run import copy, queue_copies
from snapshots.replication.repair import repair
from snapshots.run.snapshot_run import take
from snapshots.storages.storage_signs import copies_sign
from tests.factories import make_project_row, make_snapshot
from tests.snapshots.replication.copies import State, age, copied
from tests.takensnapshots import prune, taken

pytestmark = pytest.mark.django_db


@pytest.fixture
def folder(live_project: Project, settings: Any, tmp_path: Path) -> Path:
    """A second storage, which is a folder."""
    found = tmp_path / "second"
    settings.SNAPSHOT_COPY_STORAGE = f"file://{found}"
    settings.SNAPSHOT_RETRY_MINUTES = [0, 0]
    return found


def unmounted(folder: Path) -> Path:
    """Move the folder away; return its new path."""
    disk = folder.with_name(f"{folder.name}-disk")
    folder.rename(disk)
    return disk


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def attempted(snapshot: Snapshot) -> SnapshotCopy:
    redis_client().delete(f"{liveness._key(copies_sign())}:trouble")
    copy(snapshot.pk)
    return SnapshotCopy.objects.get(pk=snapshot.pk)


def test_no_copy_is_made_there_however_often_it_is_tried(
    live_project: Project, folder: Path
) -> None:
    copied(taken(live_project, 2))
    disk = unmounted(folder)
    snapshot = taken(live_project)
    rows = [attempted(snapshot) for _ in range(3)]
    assert [row.state for row in rows] == [State.QUEUED, State.QUEUED, State.FAILED]
    assert "An operator needs to check that it is the right one." in rows[-1].reason
    assert files(folder) == []
    assert not copies_work()

    folder.rmdir()
    disk.rename(folder)
    assert copies_work()
    queue_copies([live_project.pk], timezone.now(), failed_before=timezone.now())
    assert attempted(snapshot).state == State.COPIED


def test_no_copy_is_called_lost_or_forgotten_because_of_it(
    live_project: Project, folder: Path
) -> None:
    old, new = taken(live_project, 1), taken(live_project)
    for snapshot in (old, new):
        copied(snapshot)
    disk = unmounted(folder)
    clean_copies(None)
    assert set(SnapshotCopy.objects.values_list("state", flat=True)) == {State.COPIED}
    age(old)
    prune(timezone.now())
    remove_expired_copies(str(live_project.pk))
    assert SnapshotCopy.objects.filter(pk=old.pk).exists()

    folder.rmdir()
    disk.rename(folder)
    clean_copies(None)
    assert not (folder / old.manifest).exists()
    assert verify_copy(new).rows == new.rows


def test_a_full_storage_without_a_marker_is_cleaned_all_the_same(
    live_project: Project, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The storage was filled by a version that did not mark it."""
    old, new = taken(live_project, 1), taken(live_project)
    for snapshot in (old, new):
        copied(snapshot)
    (folder / MARKER).unlink()
    put = Storage.put_stored

    def full(self: Storage, key: str, content: bytes) -> None:
        if key == MARKER:
            raise StorageError("No space left on device")
        put(self, key, content)

    monkeypatch.setattr(Storage, "put_stored", full)
    age(old)
    prune(timezone.now())
    remove_expired_copies(str(live_project.pk))
    assert not (folder / old.manifest).exists()
    assert verify_copy(new).rows == new.rows
    SnapshotCopy.objects.update(state=State.QUEUED, copied_at=None)
    assert "No space left" in attempted(new).reason


def test_reading_all_copies_calls_none_of_them_lost(live_project: Project, folder: Path) -> None:
    copied(taken(live_project))
    unmounted(folder)
    assert [type(found) for found in verify_all(copies=True)] == [Unverified]
    assert SnapshotCopy.objects.get().state == State.COPIED
    # Failed copies do not make it the right storage either.
    SnapshotCopy.objects.update(state=State.FAILED, reason="It was damaged.")
    assert not copies_work()


def test_copies_that_are_lost_for_good_are_made_again_where_the_marker_says_so(
    live_project: Project, folder: Path
) -> None:
    snapshot = taken(live_project)
    copied(snapshot)
    unmounted(folder)
    folder.mkdir()
    (folder / MARKER).touch()
    clean_copies(None)
    queue_copies([live_project.pk], timezone.now(), failed_before=timezone.now())
    copied(snapshot)
    assert verify_copy(snapshot).rows == snapshot.rows


def test_a_repair_puts_nothing_there(live_project: Project, folder: Path, tmp_path: Path) -> None:
    snapshot = taken(live_project)
    copied(snapshot)
    first = tmp_path / "storage"
    unmounted(first)
    with pytest.raises(StorageError, match="the right one"):
        repair(snapshot)
    assert files(first) == []
    (first / MARKER).touch()
    assert repair(snapshot).new_bytes > 0


def test_the_first_backup_of_a_project_does_not_go_there(
    live_project: Project, tmp_path: Path
) -> None:
    make_snapshot(make_project_row(), taken_at=timezone.now() - timedelta(days=1))
    snapshot = make_snapshot(live_project, taken_at=timezone.now(), state=Snapshot.State.QUEUED)
    take(snapshot.pk)
    snapshot.refresh_from_db()
    assert snapshot.state == Snapshot.State.FAILED
    assert "none of the earlier backups" in snapshot.reason
    assert files(tmp_path / "storage") == []
