"""Make, damage and check copies of snapshots."""

from datetime import timedelta

from django.utils import timezone

from backups_portal.projects.database_dsn import project_dsn
from backups_portal.projects.models import Project
from restores.snapshot_loader import Target
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import Storage
from snapshots.models import Snapshot, SnapshotCopy
from snapshots.replication.copy_run import copy
from snapshots.storages.configured_storages import reading_storage
from tests.projectdatabases import add_rows, main_database, open_database, restore_into
from tests.s3 import bucket_url

State = SnapshotCopy.State
OLD, NEW = "a1" * 32, "b2" * 32
# No server listens there, and no request is retried.
NOWHERE = bucket_url("http://127.0.0.1:1", "p", max_retries="0")


def copied(snapshot: Snapshot) -> SnapshotCopy:
    copy(snapshot.id)
    row = SnapshotCopy.objects.get(pk=snapshot.pk)
    assert row.state == State.COPIED, row.reason
    return row


def names(storage: Storage, project: Project) -> set[str]:
    return {item.key for item in storage.list(f"{project.pk}/")}


def add(project: Project, day: int) -> None:
    with open_database(Target(project_dsn(project), project.prefix)) as connection:
        add_rows(connection, day, 5)


def restored(snapshot: Snapshot) -> None:
    """Assert that the snapshot restores to exactly the recorded rows."""
    storage = reading_storage()
    manifest = Manifest.load(storage, snapshot.manifest)
    with main_database() as target:
        restore_into(target, manifest, storage)


def cut(storage: Storage, key: str) -> None:
    storage.put_stored(key, storage.get_stored(key)[:-10])


def flip(storage: Storage, key: str) -> None:
    content = bytearray(storage.get_stored(key))
    content[len(content) // 2] ^= 1
    storage.put_stored(key, bytes(content))


def age(snapshot: Snapshot) -> None:
    Snapshot.objects.filter(pk=snapshot.pk).update(taken_at=timezone.now() - timedelta(days=99))
