"""The move to another storage described in .github/docs/storage-and-keys.md."""

from importlib import import_module
from io import StringIO
from typing import Any

import pytest
from django.apps import apps
from django.core.management import call_command
from django.utils import timezone

from backups_portal.ops.metrics import exposition
from backups_portal.ops.tasks import sweep
from backups_portal.projects.models import Project
from snapshots.engine.storage import Storage
from snapshots.integrity.orphan_objects import sweep_project
from snapshots.models import SnapshotCopy
from snapshots.storages.configured_storages import copy_place, snapshot_storage
from tests.lockserver import LockServer
from tests.snapshots.replication.copies import add, age, copied, names, restored
from tests.takensnapshots import prune, taken

pytestmark = pytest.mark.django_db


def verified(*options: str) -> str:
    """Run the recipe's verification; it fails if anything is wrong."""
    out = StringIO()
    call_command("verify_snapshot", "--all", *options, stdout=out)
    return out.getvalue()


def swept_all() -> None:
    """Complete a round of the sweep in this process."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(sweep, "delay", lambda *_: None)
        sweep(None)


@pytest.mark.parametrize("next_copies", ["none", "the old place"])
@pytest.mark.usefixtures("master_keys")
def test_the_storage_of_the_copies_becomes_the_first_one(
    live_project: Project, stored: Storage, second: Storage, settings: Any, next_copies: str
) -> None:
    first = taken(live_project, 2)
    add(live_project, 2)
    latest = taken(live_project, 1)
    old, new = settings.SNAPSHOT_STORAGE, settings.SNAPSHOT_COPY_STORAGE
    for snapshot in (first, latest):
        copied(snapshot)
    assert b"backups_portal_snapshots_without_copy 0.0" in exposition()
    verified("--copy")

    settings.SNAPSHOT_STORAGE = new
    settings.SNAPSHOT_COPY_STORAGE = "" if next_copies == "none" else old
    if next_copies == "none":
        for name in names(stored, live_project):
            stored.delete(name)
    verified()
    for snapshot in (first, latest):
        restored(snapshot)
    add(live_project, 3)
    following = taken(live_project)
    restored(following)
    swept = sweep_project(live_project.pk)
    assert swept is not None
    assert not swept.is_doubtful
    if next_copies != "none":
        call_command("copy_snapshots", stdout=StringIO())
        for snapshot in (first, latest, following):
            copied(snapshot)
        verified("--copy")


def test_locks_of_the_old_place_are_not_taken_for_locks_of_the_new_one(
    live_project: Project, server: LockServer, prefix: str, settings: Any
) -> None:
    settings.SNAPSHOT_STORAGE = server.url(prefix, object_lock="governance")
    settings.SNAPSHOT_COPY_STORAGE = server.url(f"{prefix}-new")
    snapshot = taken(live_project)
    copied(snapshot)
    assert snapshot.locked_until

    settings.SNAPSHOT_STORAGE = server.url(f"{prefix}-new", object_lock="governance")
    settings.SNAPSHOT_COPY_STORAGE = ""
    swept_all()
    snapshot.refresh_from_db()
    lock = snapshot_storage().lock
    assert lock
    found = lock.found(snapshot.manifest)
    assert found
    assert found.until == snapshot.locked_until


def test_an_expired_copy_goes_from_the_place_that_is_the_first_one_now(
    live_project: Project, stored: Storage, second: Storage, settings: Any
) -> None:
    old, new = taken(live_project, 1), taken(live_project)
    for snapshot in (old, new):
        copied(snapshot)
    age(old)
    prune(timezone.now())
    assert old.manifest in names(second, live_project)

    settings.SNAPSHOT_STORAGE, settings.SNAPSHOT_COPY_STORAGE = settings.SNAPSHOT_COPY_STORAGE, ""
    swept_all()
    assert old.manifest not in names(second, live_project)
    assert new.manifest in names(second, live_project)


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("file:///srv/second/", "file:///srv/second/"),
        ("file:///srv//second/./x", "file:///srv//second/./x"),
        ("s3://second/prefix/", "s3://second/prefix/"),
        ("s3://second/", "s3://second/"),
        ("s3://second?endpoint=http://h:9/", "s3://second at http://h:9/"),
        ("s3://second/a%20at%20b/?endpoint=https://h", "s3://second/a at b/ at https://h"),
    ],
)
def test_an_update_keeps_copies_in_their_place(
    live_project: Project, settings: Any, address: str, place: str
) -> None:
    """Earlier versions' names, with all slashes, still refer to the same storage."""
    SnapshotCopy.objects.create(snapshot=taken(live_project), place=place)
    import_module("snapshots.migrations.0013_places").rewrite(apps, None)
    settings.SNAPSHOT_COPY_STORAGE = address
    assert SnapshotCopy.objects.get().place == copy_place()
