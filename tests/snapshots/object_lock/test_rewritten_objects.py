"""A rewritten object has no lock, so every command that rewrites has the locks checked."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from backups_portal.audit.models import AuditEvent
from backups_portal.lib import liveness
from backups_portal.projects.models import Project
from snapshots.engine.storage import Storage
from snapshots.integrity.verification import verify
from snapshots.models import Snapshot
from snapshots.object_lock.lock_extension import extend_locks
from snapshots.replication.repair import repair
from snapshots.run import snapshot_run
from snapshots.run.snapshot_run import take
from snapshots.storages.configured_storages import master_keys, snapshot_storage
from snapshots.storages.key_rotation import rotate_each
from tests.factories import make_snapshot
from tests.lockserver import LockServer
from tests.snapshots.object_lock.test_lock_extension import NEW, OLD, everything_of, locks_of, taken
from tests.snapshots.replication.copies import copied

pytestmark = pytest.mark.django_db


@pytest.fixture
def snapshot(
    live_project: Project,
    server: LockServer,
    settings: Any,
    prefix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Snapshot:
    """A snapshot locked in the first storage, with its copy in a folder."""
    monkeypatch.setattr(liveness, "KEY", f"test:{timezone.now()}")
    settings.SNAPSHOT_MASTER_KEYS = f"one:{OLD}"
    settings.SNAPSHOT_STORAGE = server.url(prefix, object_lock="governance")
    settings.SNAPSHOT_COPY_STORAGE = f"file://{tmp_path / 'second'}"
    found = taken(live_project)
    copied(found)
    return found


def killed_after_a_write(
    monkeypatch: pytest.MonkeyPatch, name: str, work: Callable[[], object]
) -> None:
    """Kill the work after an object was written."""
    write = getattr(Storage, name)

    def writing(*arguments: Any) -> None:
        write(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Storage, name, writing)
        with pytest.raises(KeyboardInterrupt):
            work()


def assert_locked_again(snapshot: Snapshot) -> None:
    assert extend_locks(snapshot.project_id, timezone.now()) == 1
    lock = snapshot_storage().lock
    assert lock
    snapshot.refresh_from_db()
    found = locks_of(lock, snapshot)
    assert found.keys() == set(everything_of(snapshot))
    assert set(found.values()) == {snapshot.locked_until}


def test_keys_that_are_rotated_by_two_runs(
    snapshot: Snapshot, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SNAPSHOT_MASTER_KEYS = f"two:{NEW},one:{OLD}"
    masters = master_keys()
    assert masters
    killed_after_a_write(monkeypatch, "put", lambda: list(rotate_each(masters)))
    assert all(rotated.is_finished for rotated in rotate_each(masters))
    assert_locked_again(snapshot)


def test_objects_that_are_repaired_by_two_runs(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = snapshot_storage()
    segment = next(iter(storage.list(f"{snapshot.project_id}/segments/"))).key
    storage.delete(segment)
    killed_after_a_write(monkeypatch, "put_stored", lambda: repair(snapshot))
    repair(snapshot)
    assert verify(snapshot).rows == snapshot.rows
    assert_locked_again(snapshot)


def test_objects_that_a_backup_heals_in_two_tries(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = snapshot_storage()
    storage.delete(next(iter(storage.list(f"{snapshot.project_id}/segments/"))).key)
    following = make_snapshot(
        snapshot.project, taken_at=timezone.now() + timedelta(days=1), state=Snapshot.State.QUEUED
    )

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        for name in ("lock_taken", "note_healed"):
            patched.setattr(snapshot_run, name, killed)
        with pytest.raises(KeyboardInterrupt):
            take(following.pk)
    Snapshot.objects.filter(pk=following.pk).update(lease_until=timezone.now())
    take(following.pk)
    following.refresh_from_db()
    assert following.state == Snapshot.State.COMPLETED, following.reason
    lock = storage.lock
    assert lock
    assert locks_of(lock, following).keys() == set(everything_of(following))


@pytest.mark.parametrize("folder", ["manifests", "keys"])
def test_what_is_no_segment_is_put_back_too(snapshot: Snapshot, folder: str) -> None:
    storage = snapshot_storage()
    (lost,) = storage.list(f"{snapshot.project_id}/{folder}/")
    storage.delete(lost.key)
    assert repair(snapshot).new_bytes == lost.size
    event = AuditEvent.objects.get(action="snapshot.repaired")
    assert event.details["put_back_bytes"] == lost.size
    assert_locked_again(snapshot)


def test_a_repair_of_what_is_whole_writes_nothing(
    snapshot: Snapshot, server: LockServer, prefix: str
) -> None:
    before = server.versions(prefix)
    assert repair(snapshot).new_bytes == 0
    assert server.versions(prefix) == before
