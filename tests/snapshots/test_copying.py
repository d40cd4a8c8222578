"""Copies in a second storage: a folder first, a real S3 server second, and either of them lost."""

import shutil
from collections.abc import Iterator
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from backups_portal.celery import app
from backups_portal.lib import pulse
from backups_portal.ops import removing
from backups_portal.ops.metrics import exposition
from backups_portal.ops.tasks import clean_copies, look_at_copies
from backups_portal.projects.connections import project_dsn
from backups_portal.projects.models import Project
from restores.comparing import compare_with_manifest
from restores.loading import Target, load_snapshot
from restores.models import Proof
from restores.proof_queue import queue_proof
from restores.proving import run_proof
from snapshots import copying
from snapshots.apps import check_copy_storage
from snapshots.copy_sweeping import remove_copies, sweep_copies
from snapshots.copying import copies_overlooked, copy, next_copy, queue_copies
from snapshots.downloading import fetch_download
from snapshots.engine.errors import EngineError, StorageError
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import Storage, open_storage
from snapshots.expiry import prune
from snapshots.inside import look_inside
from snapshots.models import Snapshot, SnapshotCopy
from snapshots.orphans import sweep_project
from snapshots.storages import reading_storage
from snapshots.taking import take
from snapshots.verification import verify, verify_copy
from tests.factories import make_account, make_project_row, make_snapshot
from tests.projectdatabases import KEYS, add_rows, main_database, open_database, quiet
from tests.s3 import bucket_url, s3_server

pytestmark = pytest.mark.django_db
State = SnapshotCopy.State
OLD, NEW = "a1" * 32, "b2" * 32
# Nobody listens there, and nobody is asked twice.
NOWHERE = bucket_url("http://127.0.0.1:1", "p", max_retries="0")


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with s3_server(tmp_path_factory.mktemp("s3")) as address:
        yield address


@pytest.fixture(autouse=True)
def _no_trouble_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "KEY", f"test:{timezone.now()}")


@pytest.fixture
def second(stored: Storage, endpoint: str, settings: Any, tmp_path: Path) -> Storage:
    """A second storage, of which everything is in the setting."""
    settings.SNAPSHOT_COPY_STORAGE = bucket_url(endpoint, tmp_path.name)
    return open_storage(settings.SNAPSHOT_COPY_STORAGE)


def taken(project: Project, days_ago: int = 0) -> Snapshot:
    moment = timezone.now() - timedelta(days=days_ago)
    snapshot = make_snapshot(project, taken_at=moment, state=Snapshot.State.QUEUED)
    take(snapshot.id)
    snapshot.refresh_from_db()
    assert snapshot.state == Snapshot.State.COMPLETED, snapshot.reason
    return snapshot


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
    """It becomes a database in which every row is as it was recorded."""
    storage = reading_storage()
    manifest = Manifest.load(storage, snapshot.manifest)
    with main_database() as target:
        load_snapshot(manifest, storage, target, keys=KEYS, loaders=2, on_progress=quiet)
        compare_with_manifest(manifest, target, readers=2, on_progress=quiet)


@pytest.fixture(params=["", f"one:{OLD}"], ids=["open", "encrypted"])
def master_keys(request: pytest.FixtureRequest, settings: Any) -> str:
    settings.SNAPSHOT_MASTER_KEYS = request.param
    return str(request.param)


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


def cut(storage: Storage, key: str) -> None:
    storage.put_stored(key, storage.get_stored(key)[:-10])


def flip(storage: Storage, key: str) -> None:
    content = bytearray(storage.get_stored(key))
    content[len(content) // 2] ^= 1
    storage.put_stored(key, bytes(content))


@pytest.mark.usefixtures("master_keys")
@pytest.mark.parametrize(
    ("folder", "harm"),
    [
        ("segments", Storage.delete),
        ("segments", cut),
        ("segments", flip),
        ("manifests", Storage.delete),
        ("manifests", cut),
    ],
)
def test_an_object_that_is_lost_or_damaged_comes_from_the_copy(
    live_project: Project,
    stored: Storage,
    second: Storage,
    harm: Any,
    folder: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    snapshot = taken(live_project)
    copied(snapshot)
    keys = [item.key for item in stored.list(f"{live_project.pk}/{folder}/")]
    for key in keys:
        harm(stored, key)
    restored(snapshot)
    # Not each of them: a restore does not read what tells of the contents.
    assert any(f"read from the copy key={key}" in caplog.text for key in keys)
    with pytest.raises(EngineError):
        verify(snapshot)


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
    # It may be there: nothing is said against the snapshot.
    with pytest.raises(StorageError, match="second backup storage could not read") as away:
        look_inside(snapshot)
    assert type(away.value) is StorageError


def test_a_proof_that_needed_the_copy_passes_and_nothing_is_built_upon_it(
    live_project: Project, stored: Storage, second: Storage
) -> None:
    snapshot = taken(live_project, 1)
    copied(snapshot)
    # Of a table: what lists the contents for people is not restored, and no proof reads it.
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
        patched.setattr(copying, "_complete", killed)
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
    assert pulse.is_in_trouble(pulse.COPIES)
    copy(snapshot.id)
    assert SnapshotCopy.objects.get().attempts == 1, "neither too early nor while it is away"
    SnapshotCopy.objects.update(retry_at=timezone.now())
    pulse._redis().delete(f"{pulse._key(pulse.COPIES)}:trouble")
    copy(snapshot.id)
    assert SnapshotCopy.objects.get().state == State.FAILED
    Snapshot.objects.update(finished_at=timezone.now() - timedelta(hours=4))
    assert b"backups_portal_snapshots_without_copy 1.0" in exposition()
    assert prune(timezone.now()) == []
    assert sweep_project(live_project.pk) is not None
    assert verify(snapshot).rows == snapshot.rows

    settings.SNAPSHOT_COPY_STORAGE = good
    pulse._redis().delete(f"{pulse._key(pulse.COPIES)}:trouble")
    following = taken(live_project)
    assert next_copy(following.pk) == [following.pk]
    copied(following)
    assert next_copy(following.pk) == [snapshot.pk], "the next day tries yesterday's again"
    copied(snapshot)
    assert b"backups_portal_snapshots_without_copy 0.0" in exposition()


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


def age(snapshot: Snapshot) -> None:
    Snapshot.objects.filter(pk=snapshot.pk).update(taken_at=timezone.now() - timedelta(days=99))


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


def test_a_snapshot_that_expires_while_it_is_copied_does_not_come_back(
    live_project: Project, second: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = taken(live_project, 1), taken(live_project)
    copied(new)
    finish = copying._complete

    def expires_first(*arguments: Any) -> None:
        age(old)
        prune(timezone.now())
        finish(*arguments)

    monkeypatch.setattr(copying, "_complete", expires_first)
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
    assert not removing._delete_backups(live_project)
    assert names(stored, live_project) == set()
    settings.SNAPSHOT_COPY_STORAGE = good
    assert removing._delete_backups(live_project)
    assert names(second, live_project) == set()
    assert not SnapshotCopy.objects.exists()


def test_a_first_storage_that_is_away_keeps_no_copy_from_being_destroyed(
    live_project: Project, second: Storage, settings: Any
) -> None:
    copied(taken(live_project))
    settings.SNAPSHOT_STORAGE = NOWHERE
    assert not removing._delete_backups(live_project)
    assert names(second, live_project) == set()


def test_the_second_storage_is_tried_like_the_first(
    second: Storage, settings: Any, tmp_path: Path
) -> None:
    look_at_copies()
    assert pulse.last_sign(pulse.COPIES) is not None
    assert 'of="copies"' in exposition().decode()
    settings.SNAPSHOT_COPY_STORAGE = ""
    assert 'of="copies"' not in exposition().decode()


def test_a_copy_beside_the_original_is_refused(settings: Any) -> None:
    settings.SNAPSHOT_STORAGE = "s3://bucket/prefix?region=eu-central-1"
    settings.SNAPSHOT_COPY_STORAGE = "s3://bucket/prefix"
    assert [error.id for error in check_copy_storage()] == ["snapshots.E002"]
    settings.SNAPSHOT_COPY_STORAGE = "s3://bucket/copies"
    assert check_copy_storage() == []


@pytest.mark.parametrize("fields", [{"state": "copied"}, {"state": "failed"}])
def test_a_copy_has_its_moment_or_a_reason(fields: dict[str, str]) -> None:
    snapshot = make_snapshot(make_project_row())
    with pytest.raises(IntegrityError, match="snapshotcopy_"), transaction.atomic():
        SnapshotCopy.objects.create(snapshot=snapshot, place="p", **fields)


def called(name: str, *arguments: str) -> str:
    printed = StringIO()
    call_command(name, *arguments, stdout=printed, stderr=printed)
    return printed.getvalue()


def test_verify_reports_each_storage_by_itself(
    live_project: Project, stored: Storage, second: Storage
) -> None:
    snapshot = taken(live_project)
    assert "copy in the second storage: queued" in called("verify_snapshot", str(snapshot.pk))
    copied(snapshot)
    assert "second storage: copied, last read" in called("verify_snapshot", str(snapshot.pk))
    stored.delete(next(iter(stored.list(f"{live_project.pk}/segments/"))).key)
    with pytest.raises(CommandError, match="The backup storage lacks"):
        called("verify_snapshot", str(snapshot.pk))
    with pytest.raises(CommandError, match="1 of 1"):
        called("verify_snapshot", "--all")
    assert "are as recorded" in called("verify_snapshot", str(snapshot.pk), "--copy")
    assert "1 backups read, 0 of them" in called("verify_snapshot", "--all", "--copy")


@pytest.mark.usefixtures("master_keys")
def test_a_lost_first_storage_is_filled_again_from_the_copy_when_asked_to(
    live_project: Project, stored: Storage, second: Storage, tmp_path: Path
) -> None:
    snapshot = taken(live_project)
    copied(snapshot)
    before = names(stored, live_project)
    shutil.rmtree(tmp_path / "storage")
    restored(snapshot)
    assert "bytes put back" in called("repair_snapshot", str(snapshot.pk))
    assert names(stored, live_project) == before
    assert verify(snapshot).rows == snapshot.rows
    assert " 0 bytes put back" in called("repair_snapshot", "--all")
    assert "0 backups looked at" in called("repair_snapshot", "--needed")


def test_the_catalogue_comes_back_out_of_the_copy(
    live_project: Project, second: Storage, tmp_path: Path
) -> None:
    snapshot = taken(live_project)
    copied(snapshot)
    shutil.rmtree(tmp_path / "storage")
    Project.objects.all().delete()
    owner = make_account()
    assert "1 backups of 1 projects" in called(
        "rebuild_catalogue", "--owner", owner.email, "--from-copy"
    )
    again = Snapshot.objects.get(pk=snapshot.pk)
    restored(again)
    assert again.copy.state == State.COPIED
    now = timezone.now()
    assert queue_copies([again.project_id], now, failed_before=now) == 0
    called("repair_snapshot", "--needed")
    assert verify(again).rows == snapshot.rows


def test_keys_are_wrapped_anew_in_both(
    live_project: Project, stored: Storage, second: Storage, settings: Any
) -> None:
    settings.SNAPSHOT_MASTER_KEYS = f"old:{OLD}"
    snapshot = taken(live_project)
    copied(snapshot)
    settings.SNAPSHOT_MASTER_KEYS = f"new:{NEW},old:{OLD}"
    good = settings.SNAPSHOT_COPY_STORAGE
    settings.SNAPSHOT_COPY_STORAGE = NOWHERE
    with pytest.raises(CommandError, match="Leave every key where it is"):
        called("rotate_keys")
    settings.SNAPSHOT_COPY_STORAGE = good
    assert "1 keys wrapped with new, 1 were already" in called("rotate_keys")
    settings.SNAPSHOT_MASTER_KEYS = f"new:{NEW}"
    assert verify(snapshot).rows == verify_copy(snapshot).rows == snapshot.rows


def test_what_lay_open_is_encrypted_in_both(
    live_project: Project, stored: Storage, second: Storage, settings: Any
) -> None:
    snapshot = taken(live_project)
    copied(snapshot)
    settings.SNAPSHOT_MASTER_KEYS = f"one:{OLD},plain"
    called("rotate_keys")
    settings.SNAPSHOT_MASTER_KEYS = f"one:{OLD}"
    assert verify(snapshot).rows == verify_copy(snapshot).rows == snapshot.rows


def test_retention_by_command_reaches_the_copies(
    live_project: Project, second: Storage, settings: Any
) -> None:
    old, new = taken(live_project, 1), taken(live_project)
    for snapshot in (old, new):
        copied(snapshot)
    age(old)
    called("prune_snapshots")
    assert old.manifest not in names(second, live_project)
    age(new)
    settings.SNAPSHOT_COPY_STORAGE = NOWHERE
    called("prune_snapshots")


def test_all_that_has_no_copy_is_queued_at_once(
    live_project: Project, stored: Storage, endpoint: str, settings: Any, tmp_path: Path
) -> None:
    with pytest.raises(CommandError, match="SNAPSHOT_COPY_STORAGE is empty"):
        called("copy_snapshots")
    taken(live_project)
    settings.SNAPSHOT_COPY_STORAGE = bucket_url(endpoint, tmp_path.name)
    assert "1 copies queued; in all: 1 queued" in called("copy_snapshots")
    app.control.purge()


def test_the_pages_say_what_became_of_the_copy(
    client: Client, second: Storage, settings: Any
) -> None:
    owner = make_account()
    project = make_project_row(owner=owner)
    snapshot = make_snapshot(project)
    client.force_login(owner)

    def pages() -> list[str]:
        base = f"/projects/{project.slug}/backups/"
        return [client.get(path).content.decode() for path in (base, f"{base}{snapshot.pk}/")]

    now = timezone.now()
    row = SnapshotCopy.objects.create(
        snapshot=snapshot, place="p", state=State.FAILED, reason="The bucket is full."
    )
    for page in pages():
        assert "Copy failed" in page
        assert "The bucket is full." in page
    SnapshotCopy.objects.filter(pk=row.pk).update(
        state=State.COPIED, copied_at=now, verified_at=now
    )
    assert all("Copied" in page for page in pages())
    settings.SNAPSHOT_COPY_STORAGE = ""
    assert not any("Copied" in page for page in pages())
