"""Encryption at rest: storage reveals nothing, and tampering is detected."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import StringIO
from pathlib import Path
from threading import Barrier
from typing import Any
from uuid import UUID

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command

from backups_portal.audit.models import AuditEvent
from backups_portal.ops import project_removal
from backups_portal.projects.database_dsn import project_dsn
from backups_portal.projects.models import Project
from restores.snapshot_loader import Target
from snapshots.apps import check_storage_settings
from snapshots.archive_download import fetch_download
from snapshots.engine.encryption import OVERHEAD_BYTES, MasterKeys, ProjectCipher
from snapshots.engine.errors import DamagedSnapshotError, EncryptionError, EngineError
from snapshots.engine.layout import segment_key
from snapshots.engine.manifest import Manifest
from snapshots.engine.snapshot_copy import copy_keys
from snapshots.engine.storage import Storage, open_storage
from snapshots.engine.zip_archive import check_complete
from snapshots.integrity.verification import verify
from snapshots.models import Snapshot
from snapshots.run.snapshot_run import take
from snapshots.storages.configured_storages import master_keys, snapshot_storage
from tests.factories import make_account, make_snapshot
from tests.projectdatabases import add_rows, open_database

OLD, NEW, OTHER = "a1" * 32, "b2" * 32, "c3" * 32
KEY, PLACE = "11111111-1111-4111-8111-111111111111/segments/ab", "elsewhere/segments/ab"


@pytest.fixture
def raw(stored: Storage) -> Storage:
    """The storage as a thief sees it."""
    return stored


def sealed(raw: Storage, keys: str) -> Storage:
    masters = MasterKeys.parse(keys)
    assert masters
    return raw.encrypted(ProjectCipher(raw, masters))


def key_of(raw: Storage) -> str:
    (name,) = [item.key for item in raw.list(f"{KEY.partition('/')[0]}/keys/")]
    return name


def test_a_damaged_key_takes_no_good_ones_place(raw: Storage, tmp_path: Path) -> None:
    """This holds in both storages, because with both keys damaged every backup is lost."""
    project_id = UUID(KEY.partition("/")[0])
    first = sealed(raw, f"2025:{OLD}")
    first.put(KEY, b"content")
    (tmp_path / "second").mkdir()
    second = sealed(open_storage(f"file://{tmp_path / 'second'}"), f"2026:{NEW},2025:{OLD}")
    copy_keys(first, second, project_id, compare=True)
    name = key_of(raw)
    good = first.get_stored(name)
    for damaged in (b"", good[:-9] + b"AAAA" + good[-5:]):
        second.put_stored(name, damaged)
        assert copy_keys(second, first, project_id, compare=True) == {}
        assert first.get_stored(name) == good
        # In the other direction the damaged key is repaired.
        assert copy_keys(first, second, project_id, compare=True) == {name: len(good)}
    masters = MasterKeys.parse(f"2026:{NEW},2025:{OLD}")
    assert masters
    again = masters.wrap(name, masters.unwrap(name, good)[1])
    second.put_stored(name, again)
    # A key that was rewrapped in one storage only is not reverted from the other.
    assert copy_keys(first, second, project_id, compare=True) == {}
    assert second.get_stored(name) == again


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("2026:abc", "entry 1 is not an id"),
        (f"2026:{OLD},{NEW}", "entry 2 is not an id"),
        (f"2026:{OLD},2026:{NEW}", "the id 2026 is listed twice"),
        ("plain", "no key besides `plain`"),
        (f"20 26:{OLD}", "entry 1"),
    ],
)
def test_keys_that_cannot_be_understood_are_refused_unseen(
    text: str, said: str, settings: Any
) -> None:
    settings.SNAPSHOT_MASTER_KEYS = text
    with pytest.raises(ImproperlyConfigured, match=said) as refused:
        master_keys()
    assert OLD not in str(refused.value)
    assert NEW not in str(refused.value)
    assert [error.id for error in check_storage_settings()] == ["snapshots.E001"]


def test_no_keys_and_good_keys(settings: Any) -> None:
    settings.SNAPSHOT_MASTER_KEYS = ""
    assert master_keys() is None
    settings.SNAPSHOT_MASTER_KEYS = f" new:{NEW}, old:{OLD} ,plain"
    masters = master_keys()
    assert masters is not None
    assert (masters.current, list(masters.keys), masters.plain) == ("new", ["new", "old"], True)
    assert NEW not in repr(masters)
    assert check_storage_settings() == []


def test_an_object_is_unreadable_in_storage_and_whole_for_us(raw: Storage) -> None:
    storage = sealed(raw, f"one:{OLD}")
    storage.put(KEY, b"meter readings" * 100)
    assert storage.get(KEY) == b"meter readings" * 100
    assert b"meter" not in raw.get_stored(KEY)
    assert len(raw.get_stored(KEY)) == 1400 + OVERHEAD_BYTES
    assert sealed(raw, f"one:{OLD}").get(KEY) == storage.get(KEY), "another process reads it"
    first = raw.get_stored(KEY)
    storage.put(KEY, b"meter readings" * 100)
    assert raw.get_stored(KEY) != first, "no nonce is used twice"


def swap(raw: Storage) -> str:
    raw.put_stored(f"{KEY}2", raw.get_stored(KEY))
    return f"{KEY}2"


def move_to_another_project(raw: Storage) -> str:
    raw.put_stored(PLACE, raw.get_stored(KEY))
    raw.put_stored(key_of(raw).replace(KEY.partition("/")[0], "elsewhere"), raw.get(key_of(raw)))
    return PLACE


def cut(raw: Storage) -> str:
    raw.put_stored(KEY, raw.get_stored(KEY)[:-1])
    return KEY


def cut_to_the_head(raw: Storage) -> str:
    raw.put_stored(KEY, raw.get_stored(KEY)[:10])
    return KEY


def flip(raw: Storage) -> str:
    content = bytearray(raw.get_stored(KEY))
    content[-20] ^= 1
    raw.put_stored(KEY, bytes(content))
    return KEY


def put_another(raw: Storage) -> str:
    raw.put_stored(KEY, b"PAR1 made up")
    return KEY


def destroy_key(raw: Storage) -> str:
    raw.delete(key_of(raw))
    return KEY


def change_key(raw: Storage) -> str:
    raw.put_stored(key_of(raw), b"{}")
    return KEY


@pytest.mark.parametrize(
    ("harm", "error", "said"),
    [
        (swap, DamagedSnapshotError, "changed, cut or swapped"),
        (move_to_another_project, EncryptionError, "not the one that it was locked with, or it"),
        (cut, DamagedSnapshotError, "changed, cut or swapped"),
        (cut_to_the_head, DamagedSnapshotError, "changed, cut or swapped"),
        (flip, DamagedSnapshotError, "changed, cut or swapped"),
        (put_another, EncryptionError, "is not encrypted"),
        (destroy_key, EncryptionError, "is not in the backup storage"),
        (change_key, EncryptionError, "was changed"),
    ],
)
def test_what_was_tampered_with_is_refused(
    raw: Storage, harm: Callable[[Storage], str], error: type[EngineError], said: str
) -> None:
    sealed(raw, f"one:{OLD}").put(KEY, b"meter readings" * 100)
    key = harm(raw)
    with pytest.raises(error, match=said):
        sealed(raw, f"one:{OLD}").get(key)


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (f"one:{OTHER}", "the master key one in SNAPSHOT_MASTER_KEYS is not the one"),
        (f"two:{OLD}", "locked with the master key one, which SNAPSHOT_MASTER_KEYS does not name"),
    ],
)
def test_a_wrong_or_missing_master_key_reads_and_writes_nothing(
    raw: Storage, keys: str, said: str
) -> None:
    sealed(raw, f"one:{OLD}").put(KEY, b"content")
    with pytest.raises(EncryptionError, match=said):
        sealed(raw, keys).get(KEY)
    with pytest.raises(EncryptionError, match=said):
        sealed(raw, keys).put(f"{KEY}2", b"content")
    with pytest.raises(EncryptionError, match="names no key to read it with"):
        raw.get(KEY)


def test_two_writers_that_both_make_the_first_key_read_each_other(
    raw: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = Barrier(2)
    found = ProjectCipher._new_key

    def later(self: ProjectCipher, folder: str) -> str:
        together.wait(timeout=10)
        return found(self, folder)

    monkeypatch.setattr(ProjectCipher, "_new_key", later)
    writers = [sealed(raw, f"one:{OLD}") for _ in range(2)]
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda n: writers[n].put(f"{KEY}{n}", b"content %d" % n), range(2)))
    assert len(list(raw.list(f"{KEY.partition('/')[0]}/keys/"))) == 2
    reader = sealed(raw, f"one:{OLD}")
    assert [reader.get(f"{KEY}{n}") for n in range(2)] == [b"content 0", b"content 1"]


def taken(project: Project) -> Snapshot:
    snapshot = make_snapshot(project, state=Snapshot.State.QUEUED)
    take(snapshot.id)
    snapshot.refresh_from_db()
    return snapshot


def objects(raw: Storage, project: Project, folder: str) -> dict[str, bytes]:
    return {item.key: raw.get_stored(item.key) for item in raw.list(f"{project.pk}/{folder}/")}


def rotate() -> dict[str, Any]:
    printed = StringIO()
    call_command("rotate_keys", "--json", stdout=printed)
    found: dict[str, Any] = json.loads(printed.getvalue())
    event = AuditEvent.objects.filter(action="keys.rotated").latest("id")
    assert (event.subject, event.details["rewrapped"]) == (found["master_key"], found["rewrapped"])
    return found


@pytest.mark.django_db
def test_a_snapshot_lies_encrypted_and_is_downloaded_open(
    live_project: Project, raw: Storage, settings: Any, tmp_path: Path
) -> None:
    settings.SNAPSHOT_MASTER_KEYS = f"one:{OLD}"
    snapshot = taken(live_project)
    assert snapshot.state == Snapshot.State.COMPLETED, snapshot.reason
    assert verify(snapshot).rows == snapshot.rows
    for path in (tmp_path / "storage").rglob("*"):
        if path.is_file():
            assert not any(word in path.read_bytes() for word in (b"PAR1", b"temperature", b"rows"))
    archive = b"".join(fetch_download(snapshot=snapshot, actor=make_account()).pieces)
    assert b"PAR1" in archive
    assert b"keys/" not in archive


@pytest.mark.django_db
def test_a_snapshot_with_a_wrong_key_fails_and_says_why(
    live_project: Project, settings: Any
) -> None:
    settings.SNAPSHOT_MASTER_KEYS = f"one:{OLD}"
    taken(live_project)
    Snapshot.objects.all().delete()
    settings.SNAPSHOT_MASTER_KEYS = f"one:{OTHER}"
    snapshot = taken(live_project)
    assert snapshot.state == Snapshot.State.FAILED
    assert "is not the one that it was locked with" in snapshot.reason


@pytest.mark.django_db
def test_rotation_rewraps_keys_and_rewrites_no_segment(
    live_project: Project, raw: Storage, settings: Any
) -> None:
    settings.SNAPSHOT_MASTER_KEYS = f"old:{OLD}"
    snapshot = taken(live_project)
    segments, keys = (objects(raw, live_project, name) for name in ("segments", "keys"))
    settings.SNAPSHOT_MASTER_KEYS = f"new:{NEW},old:{OLD}"
    assert verify(snapshot).rows == snapshot.rows, "between the change of settings and the rotation"
    done = rotate()
    (first,) = done.pop("storages")
    assert done == {
        "master_key": "new",
        "rewrapped": 1,
        "current": 0,
        "encrypted": 0,
        "failed": {},
        "left_out": [],
        "old_keys_may_go": True,
    }
    assert (first["name"], first["rewrapped"], first["is_finished"]) == (
        "The backup storage",
        1,
        True,
    )
    assert objects(raw, live_project, "segments") == segments
    assert objects(raw, live_project, "keys").keys() == keys.keys()
    settings.SNAPSHOT_MASTER_KEYS = f"new:{NEW}"
    assert verify(snapshot).rows == snapshot.rows
    assert (rotate()["rewrapped"], rotate()["current"]) == (0, 1)
    settings.SNAPSHOT_MASTER_KEYS = f"old:{OLD}"
    with pytest.raises(EncryptionError, match="locked with the master key new"):
        verify(snapshot)


@pytest.mark.django_db
def test_rotation_without_the_old_key_changes_nothing_and_says_so(
    live_project: Project, raw: Storage, settings: Any
) -> None:
    settings.SNAPSHOT_MASTER_KEYS = f"old:{OLD}"
    taken(live_project)
    keys = objects(raw, live_project, "keys")
    settings.SNAPSHOT_MASTER_KEYS = f"new:{NEW}"
    with pytest.raises(CommandError, match="Keep every key"):
        rotate()
    assert objects(raw, live_project, "keys") == keys
    settings.SNAPSHOT_MASTER_KEYS = ""
    with pytest.raises(CommandError, match="not encrypted"):
        rotate()


@pytest.mark.django_db
def test_encryption_can_be_turned_on_later(
    live_project: Project, raw: Storage, settings: Any
) -> None:
    first = taken(live_project)
    settings.SNAPSHOT_MASTER_KEYS = f"one:{OLD},plain"
    with open_database(Target(project_dsn(live_project), live_project.prefix)) as connection:
        add_rows(connection, 10, 5)
    first.local_date = first.local_date.replace(year=first.local_date.year - 1)
    first.save()
    second = taken(live_project)
    assert (second.state, second.is_full) == (Snapshot.State.COMPLETED, False), second.reason

    def complete() -> list[int]:
        storage = snapshot_storage()
        for row in (first, second):
            check_complete(storage, Manifest.load(storage, row.manifest))
        return [verify(row).rows for row in (first, second)]

    rows = complete()
    segments = objects(raw, live_project, "segments").values()
    lying_open = [content for content in segments if b"PAR1" in content]
    done = rotate()
    assert done["encrypted"] == len(lying_open) + 1, "and the first manifest"
    assert complete() == rows
    settings.SNAPSHOT_MASTER_KEYS = f"one:{OLD}"
    assert complete() == rows
    assert not any(b"PAR1" in one for one in objects(raw, live_project, "segments").values())


@pytest.mark.django_db
def test_what_a_sweep_removes_while_objects_are_encrypted_is_no_failure(
    live_project: Project, raw: Storage, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    orphan = segment_key(live_project.pk, "0" * 64)
    raw.put(orphan, b"PAR1")
    settings.SNAPSHOT_MASTER_KEYS = f"one:{OLD},plain"
    get = Storage.get_stored

    def sweep_then_get(self: Storage, key: str) -> bytes:
        if key == orphan:
            self.delete(key)
        return get(self, key)

    monkeypatch.setattr(Storage, "get_stored", sweep_then_get)
    assert rotate()["encrypted"] == 0
    assert objects(raw, live_project, "segments") == {}


@pytest.mark.django_db
def test_a_removed_project_loses_its_keys_first(
    live_project: Project, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SNAPSHOT_MASTER_KEYS = f"one:{OLD}"
    snapshot = taken(live_project)
    deleted: list[str] = []
    delete = Storage.delete

    def noting(self: Storage, key: str) -> None:
        deleted.append(key)
        delete(self, key)

    monkeypatch.setattr(Storage, "delete", noting)
    assert project_removal._delete_backups(live_project)
    assert deleted[0].startswith(f"{live_project.pk}/keys/")
    assert snapshot.manifest in deleted
