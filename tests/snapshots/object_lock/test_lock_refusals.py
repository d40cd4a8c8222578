"""A storage that cannot lock backups, or may not, fails a snapshot with a reason."""

from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from backups_portal.projects.models import Project
from snapshots.engine.storage import Storage, open_storage
from snapshots.models import Snapshot
from snapshots.storages.configured_storages import snapshot_storage
from tests.factories import make_snapshot
from tests.lockserver import PLAIN, WEAK_KEY, WEAK_SECRET, LockServer
from tests.s3 import bucket_url, s3_server
from tests.snapshots.object_lock.test_lock_extension import DAY, attempted, taken

pytestmark = pytest.mark.django_db


def test_a_bucket_without_object_lock_fails_the_snapshot_with_a_reason(
    live_project: Project, stored: Storage, server: LockServer, settings: Any, prefix: str
) -> None:
    settings.SNAPSHOT_STORAGE = server.url(prefix, bucket=PLAIN, object_lock="governance")
    snapshot = attempted(live_project)
    assert snapshot.state == Snapshot.State.FAILED
    assert snapshot.reason == (
        "The backup storage cannot lock backups: the bucket plain has no object lock. Turn it on "
        "for the bucket, or take `object_lock` out of the storage's URL."
    )
    # No trace of it is left, and the next one builds on the previous one.
    settings.SNAPSHOT_STORAGE = server.url(prefix, bucket=PLAIN)
    assert not list(snapshot_storage().list(f"{live_project.pk}/manifests/"))
    assert taken(live_project, -1).locked_until is None


def test_a_key_that_may_not_lock_fails_the_snapshot_with_a_reason(
    live_project: Project, stored: Storage, server: LockServer, settings: Any, prefix: str
) -> None:
    settings.SNAPSHOT_STORAGE = server.url(
        prefix,
        object_lock="governance",
        access_key_id=WEAK_KEY,
        secret_access_key=WEAK_SECRET,
    )
    snapshot = attempted(live_project)
    assert snapshot.state == Snapshot.State.FAILED
    assert "s3:PutObjectRetention" in snapshot.reason


def test_a_server_that_knows_no_locks_is_not_made_to_overwrite_objects(
    live_project: Project, stored: Storage, settings: Any, tmp_path: Path
) -> None:
    """`rclone serve s3` takes the request for a lock as an object's new content."""
    with s3_server(tmp_path / "s3") as endpoint:
        settings.SNAPSHOT_STORAGE = bucket_url(endpoint, "p", object_lock="governance")
        snapshot = attempted(live_project)
        assert snapshot.state == Snapshot.State.FAILED
        assert "has no object lock" in snapshot.reason
        storage = open_storage(bucket_url(endpoint, "p"))
        for item in storage.list(f"{live_project.pk}/segments/"):
            assert not storage.get_stored(item.key).startswith(b"<"), item.key


def test_the_page_says_until_when_it_is_locked(client: Client, live_project: Project) -> None:
    snapshot = make_snapshot(live_project)
    client.force_login(live_project.created_by)
    url = f"/projects/{live_project.slug}/backups/{snapshot.pk}/"
    assert "Locked" not in client.get(url).content.decode()
    for days, is_shown in ((3, True), (-3, False)):
        Snapshot.objects.filter(pk=snapshot.pk).update(locked_until=timezone.now() + days * DAY)
        assert ("Locked in storage until" in client.get(url).content.decode()) is is_shown
