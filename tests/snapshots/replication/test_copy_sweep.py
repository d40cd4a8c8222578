"""The effects of retention, sweeping and a project's end on copies in a second storage."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from backups_portal.celery import app
from backups_portal.ops import project_removal
from backups_portal.ops.tasks import clean_copies, remove_expired_copies, sweep
from backups_portal.projects.database_dsn import project_dsn
from backups_portal.projects.models import Project
from restores.snapshot_loader import Target
from snapshots.engine.errors import EngineError, StorageError
from snapshots.engine.storage import Storage
from snapshots.integrity.orphan_objects import sweep_project
from snapshots.integrity.verification import verify_copy
from snapshots.models import Snapshot, SnapshotCopy
from snapshots.replication import copy_run
from snapshots.replication.copy_run import copy, queue_copies
from snapshots.replication.copy_sweep import remove_copies, sweep_copies
from snapshots.storages.configured_storages import copy_place
from tests.projectdatabases import open_database
from tests.snapshots.replication.copies import NOWHERE, OLD, State, age, copied, flip, names
from tests.takensnapshots import prune, taken

pytestmark = pytest.mark.django_db


def test_retention_and_sweeping_clean_both(
    live_project: Project, stored: Storage, second: Storage, settings: Any
) -> None:
    settings.ORPHAN_GRACE = timedelta(0)
    old = taken(live_project, 1)
    copied(old)
    with open_database(Target(project_dsn(live_project), live_project.prefix)) as connection:
        connection.execute("UPDATE variable SET number_value = number_value + 1")
    new = taken(live_project)
    age(old)
    assert [item.snapshot_id for item in prune(timezone.now()) if item.goes] == [old.pk]
    assert remove_copies(live_project.pk) == 0, "the only copy stays until there is a newer one"
    copied(new)
    assert remove_copies(live_project.pk) == 1
    sweep_project(live_project.pk)
    swept = sweep_copies(live_project.pk)
    assert swept
    assert swept.removed > 0
    assert names(second, live_project) == names(stored, live_project)
    assert verify_copy(new).rows == new.rows


@pytest.fixture
def _tasks_run_at_once() -> Iterator[None]:
    app.conf.task_always_eager = True
    yield
    app.conf.task_always_eager = False


@pytest.mark.usefixtures("_tasks_run_at_once")
def test_an_expired_copy_goes_with_the_original(
    live_project: Project, stored: Storage, second: Storage
) -> None:
    """It does not wait for the second storage's next round, hours later."""
    old, new = taken(live_project, 1), taken(live_project)
    for snapshot in (old, new):
        copied(snapshot)
    age(old)
    sweep(None)
    assert old.manifest not in names(stored, live_project)
    assert old.manifest not in names(second, live_project)
    assert new.manifest in names(second, live_project)


def test_a_second_storage_that_is_away_does_not_stop_retention_in_the_first(
    live_project: Project, stored: Storage, second: Storage, settings: Any
) -> None:
    old, new = taken(live_project, 1), taken(live_project)
    for snapshot in (old, new):
        copied(snapshot)
    settings.SNAPSHOT_COPY_STORAGE = NOWHERE
    age(old)
    prune(timezone.now())
    remove_expired_copies(str(live_project.pk))
    assert old.manifest not in names(stored, live_project)
    assert SnapshotCopy.objects.filter(pk=old.pk).exists()


def test_a_full_second_storage_is_cleaned_although_every_copy_fails(
    live_project: Project, second: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise it would stay full, because copies are retried again and again."""
    old, new = taken(live_project, 2), taken(live_project, 1)
    for snapshot in (old, new):
        copied(snapshot)
    latest = taken(live_project)

    def full(self: Storage, key: str, content: bytes) -> None:
        raise StorageError(f"{self.name} could not write {key}: no space left on device")

    monkeypatch.setattr(Storage, "put_stored", full)
    copy(latest.pk)
    assert "no space left" in SnapshotCopy.objects.get(pk=latest.pk).reason
    age(old)
    prune(timezone.now())
    clean_copies(None)
    assert old.manifest not in names(second, live_project)
    assert new.manifest in names(second, live_project)


def test_a_snapshot_that_expires_while_it_is_copied_does_not_come_back(
    live_project: Project, second: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = taken(live_project, 1), taken(live_project)
    copied(new)
    finish = copy_run._complete

    def expires_first(*arguments: Any) -> None:
        age(old)
        prune(timezone.now())
        finish(*arguments)

    monkeypatch.setattr(copy_run, "_complete", expires_first)
    copy(old.id)
    assert not SnapshotCopy.objects.filter(pk=old.pk).exists()
    assert old.manifest not in names(second, live_project)
    copy(old.id)
    assert old.manifest not in names(second, live_project)


def test_a_manifest_that_was_left_behind_is_swept_and_an_unknown_one_stays(
    live_project: Project, second: Storage
) -> None:
    old, new = taken(live_project, 1), taken(live_project)
    for snapshot in (old, new):
        copied(snapshot)
    SnapshotCopy.objects.filter(pk=old.pk).delete()
    Snapshot.objects.filter(pk=old.pk).update(state=Snapshot.State.EXPIRED)
    unknown = old.manifest.replace(str(old.pk), str(live_project.pk))
    second.put_stored(unknown, second.get_stored(old.manifest))
    sweep_copies(live_project.pk)
    assert old.manifest not in names(second, live_project)
    assert unknown in names(second, live_project)


def test_a_copy_that_lost_something_is_found_by_the_sweep_and_made_again(
    live_project: Project, second: Storage
) -> None:
    snapshot = taken(live_project)
    copied(snapshot)
    lost = next(iter(second.list(f"{live_project.pk}/segments/"))).key
    second.delete(lost)
    clean_copies(None)
    row = SnapshotCopy.objects.get()
    assert (row.state, "has lost a part" in row.reason) == (State.FAILED, True)
    queue_copies([live_project.pk], timezone.now(), failed_before=timezone.now())
    copied(snapshot)
    assert lost in names(second, live_project)


def test_a_copy_that_was_changed_is_found_by_reading_and_made_again(
    live_project: Project, second: Storage
) -> None:
    snapshot = taken(live_project)
    copied(snapshot)
    flip(second, next(iter(second.list(f"{live_project.pk}/segments/"))).key)
    with pytest.raises(EngineError, match="was changed in storage"):
        verify_copy(snapshot)
    assert SnapshotCopy.objects.get().state == State.FAILED
    queue_copies([live_project.pk], timezone.now(), failed_before=timezone.now())
    copied(snapshot)
    assert verify_copy(snapshot).rows == snapshot.rows


def test_a_removed_project_is_destroyed_in_both_and_each_by_itself(
    live_project: Project, stored: Storage, second: Storage, settings: Any
) -> None:
    settings.SNAPSHOT_MASTER_KEYS = f"one:{OLD}"
    copied(taken(live_project))
    good = settings.SNAPSHOT_COPY_STORAGE
    settings.SNAPSHOT_COPY_STORAGE = NOWHERE
    assert not project_removal._delete_backups(live_project)
    assert names(stored, live_project) == set()
    settings.SNAPSHOT_COPY_STORAGE = good
    assert project_removal._delete_backups(live_project)
    assert names(second, live_project) == set()
    assert not SnapshotCopy.objects.exists()


def test_an_empty_folder_in_place_of_the_second_storage_is_no_removal(
    live_project: Project, second: Storage, settings: Any, tmp_path: Path
) -> None:
    copied(taken(live_project))
    settings.SNAPSHOT_COPY_STORAGE = f"file://{tmp_path / 'unmounted'}"
    # An unmounted folder has the right one's address, too.
    SnapshotCopy.objects.update(place=copy_place())
    assert not project_removal._delete_backups(live_project)
    assert SnapshotCopy.objects.exists()


def test_a_first_storage_that_is_away_keeps_no_copy_from_being_destroyed(
    live_project: Project, second: Storage, settings: Any
) -> None:
    copied(taken(live_project))
    settings.SNAPSHOT_STORAGE = NOWHERE
    assert not project_removal._delete_backups(live_project)
    assert names(second, live_project) == set()
