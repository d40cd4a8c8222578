"""Copies in a second storage, a folder or a real S3 server, and the loss of either storage."""

from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from backups_portal.lib import liveness
from backups_portal.lib.redis_client import redis_client
from backups_portal.ops.metrics import exposition
from backups_portal.ops.storage_state import storage_state
from backups_portal.ops.tasks import look_at_copies
from backups_portal.projects.models import Project
from restores.models import Proof
from restores.proof_queue import queue_proof
from restores.proof_run import run_proof
from snapshots.apps import check_storage_settings
from snapshots.archive_download import fetch_download
from snapshots.engine.errors import EngineError, StorageError
from snapshots.engine.layout import is_segment
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import Storage, open_storage
from snapshots.integrity.orphan_objects import sweep_project
from snapshots.integrity.verification import verify, verify_copy
from snapshots.models import Snapshot, SnapshotCopy
from snapshots.replication import copy_run
from snapshots.replication.copy_run import copies_overlooked, copy, next_copy, queue_copies
from snapshots.reports.contents import look_inside
from snapshots.storages.configured_storages import SECOND
from snapshots.storages.storage_signs import copies_sign
from snapshots.tasks import copy_snapshot
from tests.factories import make_account, make_project_row, make_snapshot
from tests.s3 import bucket_url
from tests.snapshots.replication.copies import (
    NOWHERE,
    State,
    add,
    copied,
    cut,
    flip,
    names,
    restored,
)
from tests.takensnapshots import prune, taken

pytestmark = pytest.mark.django_db


@pytest.mark.usefixtures("master_keys")
def test_a_copy_is_what_the_first_storage_has(
    live_project: Project, stored: Storage, second: Storage
) -> None:
    snapshot = taken(live_project)
    assert SnapshotCopy.objects.get(pk=snapshot.pk).state == State.QUEUED
    assert names(second, live_project) == set()
    row = copied(snapshot)
    assert names(second, live_project) == names(stored, live_project)
    for key in names(stored, live_project):
        assert second.get_stored(key) == stored.get_stored(key)
    assert row.verified_at == row.copied_at is not None
    assert row.new_bytes
    assert verify_copy(snapshot).rows == snapshot.rows


def test_the_next_copy_writes_what_is_new_and_reads_nothing_else(
    live_project: Project, second: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = copied(taken(live_project, 1))
    add(live_project, 10)
    snapshot = taken(live_project)
    asked: list[str] = []
    get = Storage.get_stored

    def noting(self: Storage, key: str) -> bytes:
        asked.append(key)
        return get(self, key)

    monkeypatch.setattr(Storage, "get_stored", noting)
    row = copied(snapshot)
    assert (row.new_bytes, first.new_bytes) < (first.new_bytes, row.new_bytes)
    manifest = Manifest.load(second, snapshot.manifest)
    old = set(manifest.objects) - manifest.new_keys
    assert old
    assert not old & set(asked)
    assert verify_copy(snapshot).rows == snapshot.rows


@pytest.mark.usefixtures("master_keys")
def test_a_lost_first_storage_is_read_from_the_copy(
    live_project: Project, stored: Storage, second: Storage
) -> None:
    snapshot = taken(live_project)
    copied(snapshot)
    for key in names(stored, live_project):
        stored.delete(key)
    restored(snapshot)
    assert look_inside(snapshot).devices
    assert b"".join(fetch_download(snapshot=snapshot, actor=make_account()).pieces)
    with pytest.raises(EngineError):
        verify(snapshot)
    assert verify_copy(snapshot).rows == snapshot.rows


def test_a_message_that_is_refused_sends_no_other(
    live_project: Project, second: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two such messages would send each other endlessly."""
    under_way, waiting = taken(live_project, 1), taken(live_project)
    SnapshotCopy.objects.filter(pk=under_way.pk).update(
        state=State.RUNNING, lease=uuid4(), lease_until=timezone.now() + timedelta(hours=1)
    )
    sent: list[str] = []
    monkeypatch.setattr(copy_snapshot, "delay", sent.append)
    copy_snapshot(str(under_way.pk))
    assert sent == []
    SnapshotCopy.objects.filter(pk=under_way.pk).update(state=State.QUEUED, lease=None)
    copy_snapshot(str(under_way.pk))
    assert sent == [str(waiting.pk)]


HARMS = [
    ("segments", Storage.delete),
    ("segments", cut),
    ("segments", flip),
    ("manifests", Storage.delete),
    ("manifests", cut),
]


@pytest.mark.usefixtures("master_keys")
def test_an_object_that_is_lost_or_damaged_comes_from_the_copy(
    live_project: Project,
    stored: Storage,
    second: Storage,
    caplog: pytest.LogCaptureFixture,
    subtests: pytest.Subtests,
) -> None:
    snapshot = taken(live_project)
    copied(snapshot)
    for folder, harm in HARMS:
        keys = [item.key for item in stored.list(f"{live_project.pk}/{folder}/")]
        good = {key: stored.get_stored(key) for key in keys}
        caplog.clear()
        for key in keys:
            harm(stored, key)
        with subtests.test(f"{folder} {harm.__name__}"):
            restored(snapshot)
            # Not all of them: a restore does not read the list of contents.
            assert any(f"read from the copy key={key}" in caplog.text for key in keys)
            with pytest.raises(EngineError):
                verify(snapshot)
        for key, content in good.items():
            stored.put_stored(key, content)


def test_a_first_storage_that_is_away_is_asked_once_and_not_for_each_object(
    live_project: Project, second: Storage, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = taken(live_project)
    copied(snapshot)
    settings.SNAPSHOT_STORAGE = NOWHERE
    asked: list[str] = []
    get = Storage.get_stored

    def noting(self: Storage, key: str) -> bytes:
        asked.append(self.name)
        return get(self, key)

    monkeypatch.setattr(Storage, "get_stored", noting)
    restored(snapshot)
    assert asked.count("The backup storage") == 1
    assert not SnapshotCopy.objects.filter(needed_at__isnull=False).exists()


def test_a_folder_that_cannot_be_opened_is_read_from_the_copy(
    live_project: Project, second: Storage, settings: Any, tmp_path: Path
) -> None:
    snapshot = taken(live_project)
    copied(snapshot)
    (tmp_path / "file").touch()
    settings.SNAPSHOT_STORAGE = f"file://{tmp_path / 'file' / 'below'}"
    restored(snapshot)
    assert b"".join(fetch_download(snapshot=snapshot, actor=make_account()).pieces)


def test_without_a_copy_the_reason_is_that_of_the_first_storage(
    live_project: Project, stored: Storage, second: Storage, settings: Any
) -> None:
    snapshot = taken(live_project)
    stored.delete(snapshot.manifest)
    with pytest.raises(EngineError, match=r"^The backup storage lacks"):
        look_inside(snapshot)
    settings.SNAPSHOT_COPY_STORAGE = NOWHERE
    # It may exist, so the snapshot is not called damaged.
    with pytest.raises(StorageError, match="second backup storage could not read") as away:
        look_inside(snapshot)
    assert type(away.value) is StorageError


def test_a_proof_that_needed_the_copy_passes_and_nothing_is_built_upon_it(
    live_project: Project, stored: Storage, second: Storage
) -> None:
    snapshot = taken(live_project, 1)
    copied(snapshot)
    # This is a segment of a table: restores and proofs do not read the list of contents.
    flip(stored, Manifest.load(stored, snapshot.manifest).segments[0].key)
    proof = queue_proof(snapshot.pk)
    assert proof
    run_proof(proof.pk)
    assert Proof.objects.get().state == Proof.State.PASSED
    assert SnapshotCopy.objects.get().needed_at
    assert b"backups_portal_snapshots_needing_copy 1.0" in exposition()
    following = taken(live_project)
    assert following.is_full
    assert verify(following).rows == following.rows, "what was damaged is stored again"


def test_called_twice_and_killed_before_it_could_say_so(
    live_project: Project, second: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = taken(live_project)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(copy_run, "_complete", killed)
        with pytest.raises(KeyboardInterrupt):
            copy(snapshot.id)
    assert SnapshotCopy.objects.get().state == State.RUNNING
    copy(snapshot.id)
    assert SnapshotCopy.objects.get().state == State.RUNNING, "its lease still counts"
    SnapshotCopy.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert copies_overlooked(timezone.now()) == [snapshot.pk]
    row = copied(snapshot)
    assert (row.attempts, row.new_bytes) == (2, 0)
    copied_at = row.copied_at
    assert copied(snapshot).copied_at == copied_at


def test_a_copy_that_was_cut_by_a_kill_is_found_and_made_whole(
    live_project: Project, second: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = taken(live_project)
    put = Storage.put_stored

    def half(self: Storage, key: str, content: bytes) -> None:
        put(self, key, content[: len(content) // 2])

    with monkeypatch.context() as patched:
        patched.setattr(Storage, "put_stored", half)
        copy(snapshot.id)
    failed = SnapshotCopy.objects.get()
    assert failed.state == State.FAILED
    assert "did not keep" in failed.reason
    queue_copies([live_project.pk], timezone.now(), failed_before=timezone.now())
    copied(snapshot)
    assert verify_copy(snapshot).rows == snapshot.rows


def test_a_second_storage_that_is_away_keeps_no_backup_and_is_made_up_for(
    live_project: Project, second: Storage, settings: Any
) -> None:
    good = settings.SNAPSHOT_COPY_STORAGE
    settings.SNAPSHOT_COPY_STORAGE = NOWHERE
    settings.SNAPSHOT_RETRY_MINUTES = [5]
    snapshot = taken(live_project, 1)
    copy(snapshot.id)
    row = SnapshotCopy.objects.get()
    assert (row.state, row.failures) == (State.QUEUED, 1)
    assert row.reason.startswith("The second backup storage could not")
    assert liveness.is_in_trouble(copies_sign())
    copy(snapshot.id)
    assert SnapshotCopy.objects.get().attempts == 1, "neither too early nor while it is away"
    SnapshotCopy.objects.update(retry_at=timezone.now())
    redis_client().delete(f"{liveness._key(copies_sign())}:trouble")
    copy(snapshot.id)
    assert SnapshotCopy.objects.get().state == State.FAILED
    Snapshot.objects.update(finished_at=timezone.now() - timedelta(hours=4))
    assert b"backups_portal_snapshots_without_copy 1.0" in exposition()
    assert prune(timezone.now()) == []
    assert sweep_project(live_project.pk) is not None
    assert verify(snapshot).rows == snapshot.rows

    # What was recorded about the other storage does not count here.
    settings.SNAPSHOT_COPY_STORAGE = good
    following = taken(live_project)
    assert next_copy(following.pk) == [following.pk]
    copied(following)
    assert next_copy(following.pk) == [snapshot.pk], "the next day tries yesterday's again"
    copied(snapshot)
    assert b"backups_portal_snapshots_without_copy 0.0" in exposition()


def test_a_second_storage_that_goes_away_after_it_was_written_to_is_not_called_a_liar(
    live_project: Project, second: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = taken(live_project)
    read = Storage.get_stored

    def away(self: Storage, key: str) -> bytes:
        if self.name == SECOND and is_segment(key):
            raise StorageError(f"{self.name} could not read {key}: timed out")
        return read(self, key)

    monkeypatch.setattr(Storage, "get_stored", away)
    copy(snapshot.id)
    assert SnapshotCopy.objects.get().reason.endswith("timed out")
    assert liveness.is_in_trouble(copies_sign())


def test_snapshots_from_before_the_setting_are_copied_too(
    live_project: Project, endpoint: str, settings: Any, tmp_path: Path
) -> None:
    older, newer = taken(live_project, 1), taken(live_project)
    bad = make_snapshot(
        live_project,
        taken_at=timezone.now() - timedelta(days=3),
        verdict="failed",
        verdict_reason="x",
        proven_at=timezone.now(),
    )
    now = timezone.now()
    assert queue_copies([live_project.pk], now, failed_before=now) == 0
    settings.SNAPSHOT_COPY_STORAGE = bucket_url(endpoint, tmp_path.name)
    assert queue_copies([live_project.pk], now, failed_before=now) == 2
    assert queue_copies([live_project.pk], now, failed_before=now) == 0
    assert not SnapshotCopy.objects.filter(pk=bad.pk).exists()
    assert copies_overlooked(now) == []
    assert set(copies_overlooked(now + timedelta(hours=1))) == {older.pk, newer.pk}


def test_another_place_gets_copies_of_everything(
    live_project: Project, second: Storage, endpoint: str, settings: Any, tmp_path: Path
) -> None:
    snapshot = taken(live_project)
    copied(snapshot)
    settings.SNAPSHOT_COPY_STORAGE = bucket_url(endpoint, f"{tmp_path.name}-other")
    now = timezone.now()
    assert queue_copies([live_project.pk], now, failed_before=now) == 1
    copied(snapshot)
    assert names(open_storage(settings.SNAPSHOT_COPY_STORAGE), live_project)


def test_the_second_storage_is_tried_like_the_first(
    second: Storage, settings: Any, tmp_path: Path
) -> None:
    look_at_copies()
    assert storage_state(copies_sign()) == "ok"
    assert 'backups_portal_up{of="copies"} 1.0' in exposition().decode()
    settings.SNAPSHOT_COPY_STORAGE = ""
    assert 'of="copies"' not in exposition().decode()


def test_a_copy_beside_the_original_is_refused(settings: Any) -> None:
    settings.SNAPSHOT_STORAGE = "s3://bucket/prefix?region=eu-central-1"
    settings.SNAPSHOT_COPY_STORAGE = "s3://bucket/prefix"
    assert [error.id for error in check_storage_settings()] == ["snapshots.E002"]
    settings.SNAPSHOT_COPY_STORAGE = "s3://bucket/copies"
    assert check_storage_settings() == []


def test_another_address_of_the_first_storage_gets_no_copy(
    live_project: Project, settings: Any, tmp_path: Path
) -> None:
    (tmp_path / "elsewhere").symlink_to(tmp_path / "storage")
    settings.SNAPSHOT_COPY_STORAGE = f"file://{tmp_path / 'elsewhere'}"
    snapshot = taken(live_project)
    copy(snapshot.pk)
    row = SnapshotCopy.objects.get()
    assert row.state == State.FAILED
    assert "is the first one under another address" in row.reason
    assert not [item.key for item in open_storage(settings.SNAPSHOT_STORAGE).list("probes/")]


@pytest.mark.parametrize("fields", [{"state": "copied"}, {"state": "failed"}])
def test_a_copy_has_its_moment_or_a_reason(fields: dict[str, str]) -> None:
    snapshot = make_snapshot(make_project_row())
    with pytest.raises(IntegrityError, match="snapshotcopy_"), transaction.atomic():
        SnapshotCopy.objects.create(snapshot=snapshot, place="p", **fields)
