"""Object lock on a real server, SeaweedFS (tests/lockserver.py)."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from django.utils import timezone

from backups_portal.lib import liveness
from backups_portal.ops.tasks import clean_copies, sweep
from backups_portal.projects.database_dsn import project_dsn
from backups_portal.projects.models import MainDatabase, Project
from restores.snapshot_loader import Target
from snapshots.engine.bucket_lock import BucketLock, whole_second
from snapshots.engine.bucket_settings import LockMode
from snapshots.engine.encryption import keys_folder
from snapshots.engine.errors import LockRefusedError, MissingObjectError
from snapshots.engine.layout import MARKER
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import Storage, open_storage
from snapshots.integrity.verification import verify
from snapshots.models import Snapshot, SnapshotCopy
from snapshots.object_lock import lock_extension
from snapshots.object_lock.lock_extension import extend_locks
from snapshots.replication.copy_run import copy
from snapshots.retention.holds import place_hold
from snapshots.run.snapshot_run import take
from snapshots.storages.configured_storages import master_keys, snapshot_storage
from snapshots.storages.key_rotation import rotate_each
from tests.factories import make_snapshot
from tests.lockserver import LOCKING, LockServer
from tests.projectdatabases import add_rows, main_database, open_database, restore_into
from tests.takensnapshots import prune

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
OLD, NEW = "a1" * 32, "b2" * 32


IN_BOTH_MODES = pytest.mark.parametrize("mode", list(LockMode))


@pytest.fixture
def mode() -> str:
    """The mode in the storage's URL; some tests run in both modes."""
    return LockMode.COMPLIANCE


@pytest.fixture
def locking(
    stored: Storage, server: LockServer, settings: Any, prefix: str, mode: str
) -> BucketLock:
    """The lock of the services' storage, whose objects are encrypted."""
    settings.SNAPSHOT_MASTER_KEYS = f"one:{OLD}"
    settings.SNAPSHOT_STORAGE = server.url(prefix, object_lock=mode)
    lock = open_storage(settings.SNAPSHOT_STORAGE).lock
    assert lock is not None
    return lock


def attempted(project: Project, days_ago: float = 0) -> Snapshot:
    moment = timezone.now() - days_ago * DAY
    snapshot = make_snapshot(project, taken_at=moment, state=Snapshot.State.QUEUED)
    take(snapshot.id)
    snapshot.refresh_from_db()
    return snapshot


def taken(project: Project, days_ago: float = 0) -> Snapshot:
    snapshot = attempted(project, days_ago)
    assert snapshot.state == Snapshot.State.COMPLETED, snapshot.reason
    return snapshot


def age(snapshot: Snapshot, days: float) -> None:
    """Move the snapshot into the past."""
    Snapshot.objects.filter(pk=snapshot.pk).update(taken_at=timezone.now() - days * DAY)


def add(project: Project, day: int) -> None:
    with open_database(Target(project_dsn(project), project.prefix)) as connection:
        add_rows(connection, day, 5)


def everything_of(snapshot: Snapshot) -> list[str]:
    """Return all keys that a restore needs: objects, manifest and encryption keys."""
    storage = snapshot_storage()
    keys = [item.key for item in storage.list(keys_folder(snapshot.project_id))]
    return [*Manifest.load(storage, snapshot.manifest).objects, snapshot.manifest, *keys]


def locks_of(lock: BucketLock, snapshot: Snapshot) -> dict[str, datetime]:
    """Return the end of each object's lock by key."""
    found = {key: lock.found(key) for key in everything_of(snapshot)}
    return {key: retention.until for key, retention in found.items() if retention}


def keep_for(project: Project, days: int) -> None:
    MainDatabase.objects.filter(pk=project.pk).update(retention_days=days)


def restored(snapshot: Snapshot) -> None:
    """Assert that the snapshot restores to exactly the recorded rows."""
    storage = snapshot_storage()
    manifest = Manifest.load(storage, snapshot.manifest)
    with main_database() as target:
        restore_into(target, manifest, storage)


class Asked:
    """Counts the server's lock requests."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[str] = []
        from botocore.client import BaseClient

        call = BaseClient._make_api_call

        def noting(client: Any, name: str, arguments: Any) -> Any:
            self.calls.append(name)
            return call(client, name, arguments)

        monkeypatch.setattr(BaseClient, "_make_api_call", noting)

    def counts(self) -> dict[str, int]:
        """Return the counts since the last call."""
        found = {name: self.calls.count(name) for name in set(self.calls)}
        self.calls.clear()
        return found


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Asked:
    return Asked(monkeypatch)


@IN_BOTH_MODES
def test_all_of_a_snapshot_is_locked_until_it_may_go(
    live_project: Project, locking: BucketLock, mode: str
) -> None:
    keep_for(live_project, 14)
    snapshot = taken(live_project)
    assert snapshot.taken_at
    assert snapshot.locked_until == whole_second(snapshot.taken_at + 16 * DAY)
    found = [locking.found(key) for key in everything_of(snapshot)]
    assert len(found) > 5
    for retention in found:
        assert retention is not None
        assert (retention.mode, retention.until) == (mode, snapshot.locked_until)


@IN_BOTH_MODES
def test_the_server_refuses_to_delete_and_to_shorten(
    live_project: Project, locking: BucketLock, server: LockServer, prefix: str, mode: str
) -> None:
    taken(live_project)
    # Content that two tables share is stored twice, and the later version counts.
    latest = [version for version in server.versions(prefix) if version["IsLatest"]]
    # The storage's marker belongs to no backup.
    versions = [version for version in latest if not version["Key"].endswith(MARKER)]
    assert len(versions) > 5
    for version in versions:
        named = {name: version[name] for name in ("Key", "VersionId")}
        with pytest.raises(ClientError, match="AccessDenied"):
            server.admin.delete_object(Bucket=LOCKING, **named)
        sooner = {"Mode": mode.upper(), "RetainUntilDate": timezone.now() + timedelta(minutes=5)}
        with pytest.raises(ClientError, match="AccessDenied"):
            server.admin.put_object_retention(Bucket=LOCKING, **named, Retention=sooner)
    if mode == LockMode.COMPLIANCE:
        for version in versions:
            with pytest.raises(ClientError, match="AccessDenied"):
                server.admin.delete_object(
                    Bucket=LOCKING,
                    Key=version["Key"],
                    VersionId=version["VersionId"],
                    BypassGovernanceRetention=True,
                )


def test_what_is_shared_is_asked_for_its_lock_only_where_that_ends_too_early(
    live_project: Project, locking: BucketLock, asked: Asked
) -> None:
    keep_for(live_project, 14)
    first = taken(live_project, 2)
    objects = len(everything_of(first)) - 2
    assert asked.counts() == {
        "GetObjectLockConfiguration": 1,
        # Each object and the manifest, then the key, whose lock was read first.
        "PutObjectRetention": objects + 2,
        "GetObjectRetention": 2,
    }
    add(live_project, 10)
    second = taken(live_project, 1)
    manifest = Manifest.load(snapshot_storage(), second.manifest)
    assert 0 < len(manifest.new_keys) < len(manifest.objects)
    assert asked.counts() == {
        "GetObjectLockConfiguration": 1,
        "PutObjectRetention": len(manifest.new_keys) + 1,
        "GetObjectRetention": 2,
    }
    assert second.locked_until == first.locked_until
    # The lock of their shared objects now ends too early.
    keep_for(live_project, 28)
    third = taken(live_project)
    manifest = Manifest.load(snapshot_storage(), third.manifest)
    assert asked.counts() == {
        "GetObjectLockConfiguration": 1,
        "PutObjectRetention": len(everything_of(third)),
        "GetObjectRetention": len(manifest.objects) - len(manifest.new_keys) + 2,
    }
    assert third.taken_at
    assert third.locked_until == whole_second(third.taken_at + 32 * DAY)
    assert min(locks_of(locking, third).values()) == third.locked_until


@IN_BOTH_MODES
def test_the_lock_of_a_shared_object_is_never_made_shorter(
    live_project: Project, locking: BucketLock
) -> None:
    keep_for(live_project, 100)
    first = taken(live_project, 1)
    before = locks_of(locking, first)
    keep_for(live_project, 2)
    add(live_project, 10)
    second = taken(live_project)
    assert locks_of(locking, first) == before
    assert second.locked_until
    assert second.locked_until < min(before.values())
    # This also works if no lock is recorded.
    Snapshot.objects.update(locked_until=None)
    extend_locks(live_project.pk, timezone.now())
    assert locks_of(locking, first) == before


@IN_BOTH_MODES
def test_a_longer_period_makes_locks_longer(live_project: Project, locking: BucketLock) -> None:
    snapshot = taken(live_project)
    assert snapshot.taken_at
    assert extend_locks(live_project.pk, timezone.now()) == 0
    keep_for(live_project, 70)
    assert extend_locks(live_project.pk, timezone.now()) == 1
    snapshot.refresh_from_db()
    assert snapshot.locked_until == whole_second(snapshot.taken_at + 77 * DAY)
    assert set(locks_of(locking, snapshot).values()) == {snapshot.locked_until}
    assert extend_locks(live_project.pk, timezone.now()) == 0


def test_a_hold_is_locked_for_weeks_again_and_again(
    live_project: Project, locking: BucketLock
) -> None:
    keep_for(live_project, 1)
    snapshot = taken(live_project, 1)
    taken(live_project)
    place_hold(snapshot=snapshot, actor=live_project.created_by)
    now = timezone.now()
    sweep.run(None)
    snapshot.refresh_from_db()
    assert snapshot.locked_until
    assert now + 30 * DAY <= snapshot.locked_until
    assert set(locks_of(locking, snapshot).values()) == {snapshot.locked_until}
    assert extend_locks(live_project.pk, now + 14 * DAY) == 1, "the newest one"
    assert extend_locks(live_project.pk, now + 16 * DAY) == 2
    assert min(locks_of(locking, snapshot).values()) >= now + 46 * DAY


def test_snapshots_go_and_orphans_too_although_versions_stay(
    live_project: Project, locking: BucketLock, server: LockServer, prefix: str, settings: Any
) -> None:
    first = taken(live_project, 1)
    add(live_project, 10)
    second = taken(live_project)
    age(first, 99)
    assert [item.snapshot_id for item in prune(timezone.now()) if item.goes] == [first.pk]
    settings.ORPHAN_GRACE = timedelta(0)
    sweep.run(None)
    with pytest.raises(MissingObjectError):
        snapshot_storage().get(first.manifest)
    assert verify(second).rows == second.rows
    key = f"{prefix}/{first.manifest}"
    kinds = ["Size" in item for item in server.versions(prefix) if item["Key"] == key]
    assert sorted(kinds) == [False, True], "a delete marker, and the version that is locked"


def test_what_retention_removes_meanwhile_is_no_failure(
    live_project: Project, locking: BucketLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone, _ = taken(live_project, 1), taken(live_project)
    keep_for(live_project, 28)
    load = lock_extension.load_manifest

    def late(storage: Storage, snapshot: Snapshot) -> Manifest:
        if snapshot.pk == gone.pk:
            Snapshot.objects.filter(pk=gone.pk).update(state=Snapshot.State.EXPIRED)
            storage.delete(gone.manifest)
        return load(storage, snapshot)

    monkeypatch.setattr(lock_extension, "load_manifest", late)
    assert extend_locks(live_project.pk, timezone.now()) == 1


@IN_BOTH_MODES
def test_a_lock_that_outlasts_ours_is_left_alone(
    live_project: Project, locking: BucketLock, mode: str
) -> None:
    storage, later = snapshot_storage(), timezone.now() + 200 * DAY
    storage.put_stored("x/object", b"content")
    locked = locking.lock("x/object", later, is_new=True)
    assert locked == whole_second(later)
    for is_new in (True, False):
        assert locking.lock("x/object", timezone.now() + DAY, is_new=is_new) == locked
    found = locking.found("x/object")
    assert found is not None
    assert (found.mode, found.until) == (mode, locked)


@IN_BOTH_MODES
def test_a_lock_keeps_the_mode_that_it_has(
    live_project: Project, locking: BucketLock, server: LockServer, prefix: str, mode: str
) -> None:
    storage = snapshot_storage()
    storage.put_stored("x/object", b"content")
    locking.lock("x/object", timezone.now() + DAY)
    (other_mode,) = set(LockMode) - {LockMode(mode)}
    other = open_storage(server.url(prefix, object_lock=other_mode)).lock
    assert other is not None
    later = other.lock("x/object", timezone.now() + 2 * DAY)
    found = locking.found("x/object")
    assert found is not None
    assert (found.mode, found.until) == (mode, later)


def test_what_was_written_again_is_locked_again(
    live_project: Project, locking: BucketLock, settings: Any
) -> None:
    snapshot = taken(live_project)
    settings.SNAPSHOT_MASTER_KEYS = f"two:{NEW},one:{OLD}"
    masters = master_keys()
    assert masters
    assert sum(item.rewrapped for item in rotate_each(masters)) == 1
    (key,) = [name for name in everything_of(snapshot) if "/keys/" in name]
    assert locking.found(key) is None, "the new version of the key"
    assert extend_locks(live_project.pk, timezone.now()) == 1
    snapshot.refresh_from_db()
    assert set(locks_of(locking, snapshot).values()) == {snapshot.locked_until}


@pytest.mark.parametrize("mode", [LockMode.GOVERNANCE])
def test_the_copy_is_locked_where_its_url_says_so(
    live_project: Project,
    locking: BucketLock,
    server: LockServer,
    prefix: str,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(liveness, "KEY", f"test:{timezone.now()}")
    settings.SNAPSHOT_COPY_STORAGE = server.url(f"{prefix}-copy", object_lock="compliance")
    lock = open_storage(settings.SNAPSHOT_COPY_STORAGE).lock
    assert lock is not None
    first = taken(live_project, 1)
    copy(first.pk)
    row = SnapshotCopy.objects.get(pk=first.pk)
    assert row.state == SnapshotCopy.State.COPIED, row.reason
    assert row.locked_until == first.locked_until
    for name in everything_of(first):
        found = lock.found(name)
        assert found is not None
        assert (found.mode, found.until) == (LockMode.COMPLIANCE, row.locked_until)
    add(live_project, 10)
    second = taken(live_project)
    copy(second.pk)
    row = SnapshotCopy.objects.get(pk=second.pk)
    assert row.state == SnapshotCopy.State.COPIED, row.reason
    assert row.locked_until == second.locked_until
    assert len(locks_of(lock, second)) == len(everything_of(second))
    keep_for(live_project, 28)
    clean_copies.run()
    row.refresh_from_db()
    assert second.taken_at
    assert row.locked_until == whole_second(second.taken_at + 32 * DAY)
    assert min(locks_of(lock, second).values()) == row.locked_until


def test_a_failed_lock_costs_no_full_read(
    live_project: Project, locking: BucketLock, settings: Any
) -> None:
    taken(live_project, 2)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(BucketLock, "check", _refuse)
        assert attempted(live_project, 1).state == Snapshot.State.FAILED
    assert not taken(live_project).is_full


def _refuse(_: BucketLock) -> None:
    raise LockRefusedError("Not today.")
