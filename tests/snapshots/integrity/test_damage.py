"""A full backup trusts nothing in storage: it reads everything, and stores it again."""

import logging
from collections.abc import Callable
from datetime import timedelta
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from backups_portal.audit.models import AuditEvent
from backups_portal.projects.database_dsn import project_dsn
from backups_portal.projects.models import Project
from backups_portal.ui import formats
from restores.snapshot_loader import Target
from snapshots.engine.errors import EngineError, StorageError
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import Storage, open_storage
from snapshots.integrity.verdicts import fail_snapshot
from snapshots.integrity.verification import verify, verify_copy
from snapshots.models import Snapshot, SnapshotCopy
from snapshots.replication.copy_run import copy, queue_copies
from snapshots.run.snapshot_run import take
from snapshots.storages.configured_storages import snapshot_storage
from tests.factories import make_snapshot
from tests.projectdatabases import add_rows, open_database
from tests.takensnapshots import taken

pytestmark = pytest.mark.django_db
Harm = Callable[[Storage, str], None]


def flip(stored: Storage, key: str) -> None:
    content = bytearray(stored.get_stored(key))
    content[len(content) // 2] ^= 1
    stored.put_stored(key, bytes(content))


def cut(stored: Storage, key: str) -> None:
    stored.put_stored(key, stored.get_stored(key)[:-1])


def empty(stored: Storage, key: str) -> None:
    stored.put_stored(key, b"")


def lose(stored: Storage, key: str) -> None:
    stored.delete(key)


def objects_of(snapshot: Snapshot) -> list[str]:
    return sorted(Manifest.load(snapshot_storage(), snapshot.manifest).objects)


@pytest.mark.parametrize("keys", ["", f"one:{'a1' * 32}"])
def test_a_full_backup_heals_every_object_that_it_shares(
    live_project: Project, stored: Storage, settings: Any, keys: str
) -> None:
    settings.SNAPSHOT_MASTER_KEYS = keys
    first, second = taken(live_project, 2), taken(live_project, 1)
    settings.SNAPSHOT_FULL_EVERY = timedelta(0)
    shared = objects_of(first)
    for harm, key in zip(cycle([flip, cut, empty, lose]), shared, strict=False):
        harm(stored, key)
    for snapshot in (first, second):
        with pytest.raises(EngineError):
            verify(snapshot)
    third = taken(live_project)
    assert third.is_full
    for snapshot in (first, second, third):
        assert verify(snapshot).rows == snapshot.rows
    assert f"lost or damaged {len(shared)} objects of earlier backups" in third.storage_note
    # Stored notes name the year, since they are read in later ones.
    days = [formats.day(one.local_date) for one in (second, first)]
    assert f"the backups of {' and '.join(days)} can be" in third.storage_note
    event = AuditEvent.objects.get(action="snapshot.storage_healed")
    assert event.details["objects"] == shared[:20]
    assert third.new_bytes == third.stored_bytes


def test_what_is_in_order_is_read_and_not_written_again(
    live_project: Project, stored: Storage, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = taken(live_project, 1)
    settings.SNAPSHOT_FULL_EVERY = timedelta(0)
    written: list[str] = []
    put = Storage.put_stored

    def noting(self: Storage, key: str, content: bytes) -> None:
        written.append(key)
        put(self, key, content)

    monkeypatch.setattr(Storage, "put_stored", noting)
    second = taken(live_project)
    assert (second.is_full, second.new_bytes, second.storage_note) == (True, 0, "")
    assert not {*written} & {*objects_of(first)}
    assert not AuditEvent.objects.filter(action="snapshot.storage_healed").exists()


@pytest.mark.parametrize("harm", [cut, lose])
def test_what_a_listing_shows_is_noticed_by_the_next_backup_of_any_kind(
    live_project: Project, stored: Storage, harm: Harm, caplog: pytest.LogCaptureFixture
) -> None:
    first = taken(live_project, 1)
    (key, *_) = objects_of(first)
    harm(stored, key)
    with caplog.at_level(logging.ERROR):
        second = taken(live_project)
    assert second.is_full
    assert key in caplog.text
    assert "lost or damaged 1 object of earlier backups" in second.storage_note
    assert verify(first).rows == first.rows


def test_after_a_failed_proof_the_next_backup_says_what_to_do(
    live_project: Project, stored: Storage, client: Client
) -> None:
    first = taken(live_project, 1)
    flip(stored, Manifest.load(stored, first.manifest).of("variable")[0].key)
    fail_snapshot(first, reason="A part of this backup was changed.")
    second = taken(live_project)
    assert "can be restored again, unless it has other damage." in second.storage_note
    assert "once an operator proves it" in second.storage_note
    client.force_login(live_project.created_by)
    page = client.get(f"/projects/{live_project.slug}/backups/{second.pk}/").content.decode()
    assert "The backup storage had lost or damaged parts of earlier backups" in page
    activity = client.get(f"/projects/{live_project.slug}/activity/").content.decode()
    assert "Damaged parts of backups repaired" in activity


def test_what_is_in_the_second_storage_is_read_with_a_full_backup_too(
    live_project: Project, stored: Storage, settings: Any, tmp_path: Path
) -> None:
    settings.SNAPSHOT_COPY_STORAGE = f"file://{tmp_path / 'copies'}"
    second_storage = open_storage(settings.SNAPSHOT_COPY_STORAGE)

    def copied(snapshot: Snapshot) -> Snapshot:
        queue_copies([live_project.pk], timezone.now(), failed_before=timezone.now())
        copy(snapshot.pk)
        assert SnapshotCopy.objects.get(pk=snapshot.pk).state == "copied"
        return snapshot

    first = copied(taken(live_project, 2))
    flip(second_storage, Manifest.load(stored, first.manifest).of("variable")[0].key)
    with open_database(Target(project_dsn(live_project), live_project.prefix)) as connection:
        add_rows(connection, 40, 5)
    copied(taken(live_project, 1))
    with pytest.raises(EngineError):
        verify_copy(first)
    SnapshotCopy.objects.filter(pk=first.pk).update(state="copied")
    settings.SNAPSHOT_FULL_EVERY = timedelta(0)
    # Restore the rows of the first backup, so that the object is the same.
    with open_database(Target(project_dsn(live_project), live_project.prefix)) as connection:
        connection.execute("DELETE FROM variable WHERE id > 10")
    third = copied(taken(live_project))
    assert third.storage_note == ""
    assert verify_copy(first).rows == first.rows
    event = AuditEvent.objects.get(action="snapshot.storage_healed")
    assert "The second backup storage had damaged 1 object" in event.details["reason"]


def test_a_try_that_heals_and_then_fails_tells(
    live_project: Project, stored: Storage, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = taken(live_project, 1)
    flip(stored, Manifest.load(stored, first.manifest).of("variable")[0].key)
    settings.SNAPSHOT_FULL_EVERY = timedelta(0)
    second = make_snapshot(live_project, taken_at=timezone.now(), state=Snapshot.State.QUEUED)
    with monkeypatch.context() as failing:

        def fail(self: Storage, key: str, content: bytes) -> None:
            raise StorageError(f"could not write {key}")

        failing.setattr(Storage, "put_new", fail)
        take(second.pk)
    second.refresh_from_db()
    assert second.state != Snapshot.State.COMPLETED
    assert "lost or damaged 1 object of earlier backups" in second.storage_note
    assert AuditEvent.objects.filter(action="snapshot.storage_healed").count() == 1
    Snapshot.objects.filter(pk=second.pk).update(state="queued", lease_until=None, retry_at=None)
    take(second.pk)
    note = second.storage_note
    second.refresh_from_db()
    assert (second.state, second.storage_note) == (Snapshot.State.COMPLETED, note)
    assert AuditEvent.objects.filter(action="snapshot.storage_healed").count() == 1
