"""Commands and pages that show copies in a second storage, or concern both storages."""

import re
import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from backups_portal.audit.models import AuditEvent
from backups_portal.celery import app
from backups_portal.projects.models import Project
from snapshots.engine.layout import MARKER
from snapshots.engine.storage import Storage
from snapshots.integrity.verification import verify, verify_copy
from snapshots.models import Snapshot, SnapshotCopy
from snapshots.replication import repair
from snapshots.replication.copy_run import queue_copies
from snapshots.replication.repair import needing_repair
from snapshots.storages.configured_storages import copy_place
from tests.conftest import database_of_this_test
from tests.factories import make_account, make_project_row, make_snapshot
from tests.killed import is_command_killed
from tests.s3 import bucket_url
from tests.snapshots.replication.copies import (
    NEW,
    NOWHERE,
    OLD,
    State,
    age,
    copied,
    names,
    restored,
)
from tests.takensnapshots import taken

pytestmark = pytest.mark.django_db


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
    assert "), as recorded" in called("verify_snapshot", str(snapshot.pk), "--copy")
    assert "1 backup read, 0 of them" in called("verify_snapshot", "--all", "--copy")


@pytest.mark.usefixtures("master_keys")
def test_a_lost_first_storage_is_filled_again_from_the_copy_when_asked_to(
    live_project: Project, stored: Storage, second: Storage, tmp_path: Path
) -> None:
    snapshot = taken(live_project)
    copied(snapshot)
    before = names(stored, live_project)
    shutil.rmtree(tmp_path / "storage")
    stored.put_stored(MARKER, b"")
    restored(snapshot)
    assert "bytes put back" in called("repair_snapshot", str(snapshot.pk))
    assert names(stored, live_project) == before
    assert verify(snapshot).rows == snapshot.rows
    event = AuditEvent.objects.get(action="snapshot.repaired")
    assert event.who.startswith("operator")
    assert event.details["put_back_bytes"] > 0
    assert " 0 bytes put back" in called("repair_snapshot", "--all")
    assert "0 backups checked" in called("repair_snapshot", "--needed")
    assert AuditEvent.objects.filter(action="snapshot.repaired").count() == 1


def test_a_storage_that_is_away_ends_the_repair_of_all(
    live_project: Project, second: Storage, settings: Any
) -> None:
    for days in (1, 0):
        copied(taken(live_project, days))
    settings.SNAPSHOT_COPY_STORAGE = NOWHERE
    with pytest.raises(CommandError, match=r"^1 of 2 .* cannot be used: 1 backup not checked\.$"):
        called("repair_snapshot", "--all")


@pytest.mark.django_db(transaction=True)
def test_a_repair_that_is_killed_goes_on(
    live_project: Project, stored: Storage, settings: Any, tmp_path: Path
) -> None:
    """It is killed before the manifest, and after everything except its audit event."""
    settings.SNAPSHOT_COPY_STORAGE = f"file://{tmp_path / 'copies'}"
    snapshot = taken(live_project)
    copied(snapshot)
    before = names(stored, live_project)
    SnapshotCopy.objects.update(needed_at=timezone.now())
    for key in before:
        stored.delete(key)
    environment = {
        **database_of_this_test(),
        "SNAPSHOT_STORAGE": settings.SNAPSHOT_STORAGE,
        "SNAPSHOT_COPY_STORAGE": settings.SNAPSHOT_COPY_STORAGE,
    }
    places = [
        "before snapshots.engine.snapshot_copy._copy_manifest",
        "before snapshots.models.record",
    ]
    assert is_command_killed(environment, places, "repair_snapshot", "--needed")
    assert "bytes put back" in called("repair_snapshot", "--needed")
    assert "0 backups checked" in called("repair_snapshot", "--needed")
    assert names(stored, live_project) == before
    assert verify(snapshot).rows == snapshot.rows
    assert AuditEvent.objects.filter(action="snapshot.repair_started").count() == 3
    assert AuditEvent.objects.filter(action="snapshot.repaired").count() == 1


@pytest.mark.parametrize("lost", ["keys", "segments", "manifests"])
def test_a_repair_by_hand_that_ends_before_its_line_gets_it_from_the_next(
    live_project: Project,
    stored: Storage,
    second: Storage,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    lost: str,
) -> None:
    settings.SNAPSHOT_MASTER_KEYS = f"one:{OLD}"
    snapshot = taken(live_project)
    copied(snapshot)
    assert "0 bytes put back" in called("repair_snapshot", str(snapshot.pk))
    lines = AuditEvent.objects.filter(action="snapshot.repaired", project_id=live_project.pk)
    assert (lines.count(), needing_repair()) == (0, [])
    stored.delete(next(iter(stored.list(f"{live_project.pk}/{lost}/"))).key)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(repair, "_end", killed)
        with pytest.raises(KeyboardInterrupt):
            called("repair_snapshot", str(snapshot.pk))
    assert verify(snapshot).rows == snapshot.rows
    assert (lines.count(), needing_repair()) == (0, [snapshot])
    assert "0 bytes put back" in called("repair_snapshot", str(snapshot.pk))
    assert (lines.count(), needing_repair()) == (1, [])


def test_the_catalogue_comes_back_out_of_the_copy(
    live_project: Project, stored: Storage, second: Storage, tmp_path: Path
) -> None:
    snapshot = taken(live_project)
    copied(snapshot)
    shutil.rmtree(tmp_path / "storage")
    stored.put_stored(MARKER, b"")
    Project.objects.all().delete()
    owner = make_account()
    assert "1 backup of 1 project" in called(
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
    with pytest.raises(CommandError, match=r"The second .* Keep every key"):
        called("rotate_keys")
    settings.SNAPSHOT_COPY_STORAGE = good
    told = called("rotate_keys")
    assert re.search(r"The backup storage .*: finished; 0 keys wrapped with new, 1 already", told)
    assert re.search(r"The second .*: finished; 1 key wrapped with new, 0 already", told)
    assert "You can remove master keys other than new" in told
    settings.SNAPSHOT_MASTER_KEYS = f"new:{NEW}"
    assert verify(snapshot).rows == verify_copy(snapshot).rows == snapshot.rows


@pytest.mark.parametrize("name", ["SNAPSHOT_STORAGE", "SNAPSHOT_COPY_STORAGE"])
def test_no_key_may_go_while_an_empty_folder_is_in_place_of_a_storage(
    live_project: Project,
    stored: Storage,
    second: Storage,
    settings: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    settings.SNAPSHOT_MASTER_KEYS = f"old:{OLD}"
    snapshot = taken(live_project)
    copied(snapshot)
    settings.SNAPSHOT_MASTER_KEYS = f"new:{NEW},old:{OLD}"
    right = getattr(settings, name)
    setattr(settings, name, f"file://{tmp_path / 'unmounted'}")
    if name == "SNAPSHOT_COPY_STORAGE":
        # An unmounted folder has the right one's address, too.
        SnapshotCopy.objects.update(place=copy_place())
    with pytest.raises(CommandError, match=r"could not be finished .* Keep every key"):
        called("rotate_keys")
    setattr(settings, name, right)
    assert "You can remove master keys other than new" in called("rotate_keys")


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
    assert "copies queued: 1; in all: 1 queued" in called("copy_snapshots")
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
