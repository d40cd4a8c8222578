"""An object that is rewritten during locking is not recorded as locked."""

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from backups_portal.lib import liveness
from backups_portal.projects.models import Project
from snapshots.engine.object_versions import Changed, bring_back
from snapshots.engine.storage import open_storage
from snapshots.models import Snapshot
from snapshots.object_lock import deletion_undo, lock_extension
from snapshots.object_lock.lock_extension import extend_copy_locks, extend_locks, forget_locks
from snapshots.replication.repair import repair
from tests.lockserver import LockServer
from tests.snapshots.object_lock.test_lock_extension import OLD, everything_of, taken
from tests.snapshots.replication.copies import copied

pytestmark = pytest.mark.django_db


@pytest.fixture
def snapshot(
    live_project: Project,
    server: LockServer,
    settings: Any,
    prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Snapshot:
    """A snapshot that is locked in both storages."""
    monkeypatch.setattr(liveness, "KEY", f"test:{timezone.now()}")
    settings.SNAPSHOT_MASTER_KEYS = f"one:{OLD}"
    settings.SNAPSHOT_STORAGE = server.url(prefix, object_lock="governance")
    settings.SNAPSHOT_COPY_STORAGE = server.url(f"{prefix}-copy", object_lock="governance")
    found = taken(live_project, 1)
    copied(found)
    return found


def overwritten(url: str, prefix: str, server: LockServer) -> Changed:
    """Overwrite the segment of devices; its old version remains."""
    storage = open_storage(url)
    (version,) = [v for v in server.versions(prefix) if "/segments/" in v["Key"]][:1]
    key = version["Key"].removeprefix(f"{prefix}/")
    storage.put_stored(key, b"rubbish")
    return Changed(key, version["VersionId"], is_deleted=False)


def beside_locking(monkeypatch: pytest.MonkeyPatch, writer: Callable[[], object]) -> None:
    """Write once between setting the locks and recording them."""
    lock, waiting = lock_extension.lock_snapshot, [writer]

    def locking(*arguments: Any, **options: Any) -> Any:
        found = lock(*arguments, **options)
        if waiting:
            waiting.pop()()
        return found

    monkeypatch.setattr(lock_extension, "lock_snapshot", locking)


def unlocked(url: str, snapshot: Snapshot) -> list[str]:
    lock = open_storage(url).lock
    assert lock
    return [key for key in everything_of(snapshot) if lock.found(key) is None]


def test_a_repair_beside_an_extension(
    snapshot: Snapshot,
    server: LockServer,
    prefix: str,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = settings.SNAPSHOT_STORAGE
    overwritten(url, prefix, server)
    forget_locks(snapshot.project_id)
    beside_locking(monkeypatch, lambda: repair(snapshot))
    assert extend_locks(snapshot.project_id, timezone.now()) == 0
    assert len(unlocked(url, snapshot)) == 1
    assert extend_locks(snapshot.project_id, timezone.now()) == 1
    assert unlocked(url, snapshot) == []


def test_an_undo_that_began_before_an_extension(
    snapshot: Snapshot,
    server: LockServer,
    prefix: str,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url, project_id = settings.SNAPSHOT_COPY_STORAGE, snapshot.project_id
    changed = overwritten(url, f"{prefix}-copy", server)

    def extending_first(*arguments: Any) -> None:
        extend_copy_locks(project_id, timezone.now())
        bring_back(*arguments)

    monkeypatch.setattr(deletion_undo, "bring_back", extending_first)
    deletion_undo.undo(open_storage(url), changed)
    # This server copies a version's lock, too, but others do not, so it is checked.
    assert extend_copy_locks(project_id, timezone.now()) == 1
    assert unlocked(url, snapshot) == []


def test_an_undo_beside_a_backup_and_its_copy(
    snapshot: Snapshot,
    server: LockServer,
    prefix: str,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = settings.SNAPSHOT_STORAGE, settings.SNAPSHOT_COPY_STORAGE
    changed = overwritten(first, prefix, server)
    beside_locking(monkeypatch, lambda: deletion_undo.undo(open_storage(first), changed))
    following = taken(snapshot.project)
    changed = overwritten(second, f"{prefix}-copy", server)
    beside_locking(monkeypatch, lambda: deletion_undo.undo(open_storage(second), changed))
    copied(following)
    for url, extend in ((first, extend_locks), (second, extend_copy_locks)):
        assert extend(snapshot.project_id, timezone.now()) == 2
        assert unlocked(url, following) == []


def test_an_extension_that_is_killed_is_told_nowhere_and_made_again(
    snapshot: Snapshot, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, rows = snapshot.project, Snapshot.objects.filter(pk=snapshot.pk)
    forget_locks(project.pk)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    client.force_login(project.created_by)
    page = f"/projects/{project.slug}/backups/{snapshot.pk}/"
    with monkeypatch.context() as patched:
        patched.setattr(lock_extension, "lock_snapshot", killed)
        with pytest.raises(KeyboardInterrupt):
            extend_locks(project.pk, timezone.now())
    marked = rows.get().locked_until
    assert marked
    assert marked < timezone.now()
    assert "Locked in storage" not in client.get(page).text
    assert extend_locks(project.pk, timezone.now()) == 1
    assert "Locked in storage" in client.get(page).text
