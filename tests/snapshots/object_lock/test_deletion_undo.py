"""Recovery after an attack on a bucket with object lock, on a real server (tests/lockserver.py)."""

import json
import time
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from botocore.exceptions import ClientError
from django.core.management import CommandError, call_command
from django.utils import timezone

from backups_portal.audit.models import AuditEvent
from backups_portal.projects.models import Project
from snapshots.engine.errors import EngineError, MissingObjectError
from snapshots.engine.layout import PROBES, keys_folder
from snapshots.engine.object_versions import bring_back
from snapshots.engine.storage import Storage
from snapshots.integrity.verification import verify
from snapshots.models import Snapshot
from snapshots.object_lock import deletion_undo
from snapshots.object_lock.lock_extension import extend_locks
from snapshots.storages.configured_storages import snapshot_storage
from tests.conftest import database_of_this_test
from tests.killed import is_command_killed
from tests.lockserver import LOCKING, LockServer
from tests.snapshots.object_lock.test_lock_extension import DAY, OLD, add, age, restored, taken
from tests.takensnapshots import prune

pytestmark = pytest.mark.django_db


@pytest.fixture
def locking(stored: Storage, server: LockServer, settings: Any, prefix: str) -> Storage:
    """The storage that the services use."""
    settings.SNAPSHOT_MASTER_KEYS = f"one:{OLD}"
    settings.SNAPSHOT_STORAGE = server.url(prefix, object_lock="compliance")
    return snapshot_storage()


def a_moment() -> datetime:
    """Wait for a new second and return it, since servers report whole seconds."""
    time.sleep(1.01 - time.time() % 1)
    return datetime.now(UTC).replace(microsecond=0)


def attack(server: LockServer, prefix: str) -> int:
    """Do everything that an attacker with every right can: overwrite, delete, lock rubbish."""
    refused = 0
    versions = server.versions(prefix)
    for number, version in enumerate(versions):
        place = {"Bucket": LOCKING, "Key": version["Key"]}
        try:
            server.admin.delete_object(**place, VersionId=version["VersionId"])
        except ClientError:
            refused += 1
        if number % 3 == 0:
            server.admin.put_object(**place, Body=b"rubbish")
            until = timezone.now() + 365 * DAY
            server.admin.put_object_retention(
                **place, Retention={"Mode": "COMPLIANCE", "RetainUntilDate": until}
            )
        if number % 3 != 1:
            server.admin.delete_object(**place)
    for version in versions:
        if "/keys/" in version["Key"]:
            server.admin.put_object(Bucket=LOCKING, Key=version["Key"], Body=b"rubbish")
    return refused


def undone(since: datetime, *options: str) -> dict[str, Any]:
    out = StringIO()
    call_command("undo_deletions", "--since", since.isoformat(), "--json", *options, stdout=out)
    return dict(json.loads(out.getvalue()))


def test_what_was_deleted_and_overwritten_restores_equal(
    live_project: Project,
    locking: Storage,
    server: LockServer,
    prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # An object's versions are spread over several pages.
    monkeypatch.setattr("snapshots.engine.object_versions.PAGE", 4)
    snapshot = taken(live_project)
    before = a_moment()
    assert attack(server, prefix) > 5
    with pytest.raises(EngineError):
        verify(snapshot)

    found = undone(before)
    assert found["deleted"] > 5
    assert found["overwritten"] > 0
    with pytest.raises(EngineError):
        verify(snapshot)

    assert not AuditEvent.objects.filter(action="storage.deletions_undone").exists()

    assert undone(before, "--yes") == {**found, "brought_back": True}
    event = AuditEvent.objects.get(action="storage.deletions_undone")
    assert event.who.startswith("operator")
    assert (event.subject, event.details["deleted"]) == ("The backup storage", found["deleted"])
    assert verify(snapshot).rows == snapshot.rows
    restored(snapshot)
    # The current versions are locked again, too.
    assert extend_locks(live_project.pk, timezone.now()) == 1
    assert locking.lock
    retention = locking.lock.found(snapshot.manifest)
    assert retention is not None
    snapshot.refresh_from_db()
    assert retention.until == snapshot.locked_until

    assert undone(before) == {"deleted": 0, "overwritten": 0, "brought_back": False}


def test_what_the_portal_itself_removed_stays_removed(
    live_project: Project, locking: Storage
) -> None:
    first = taken(live_project, 1)
    add(live_project, 10)
    second = taken(live_project)
    probe = f"{PROBES}/{'0' * 16}"
    locking.put(probe, b"Written, read and deleted again each minute.")
    before = a_moment()
    locking.delete(probe)
    age(first, 99)
    assert any(item.goes for item in prune(timezone.now()))
    locking.delete(second.manifest)
    assert undone(before, "--yes")["deleted"] == 1
    assert verify(second).rows == second.rows
    with pytest.raises(MissingObjectError):
        locking.get(first.manifest)

    Project.objects.filter(pk=live_project.pk).update(state=Project.State.REMOVED)
    (key,) = locking.list(keys_folder(live_project.pk))
    locking.delete(key.key)
    assert undone(before, "--yes")["deleted"] == 0


def test_a_storage_without_versions_is_told(live_project: Project, stored: Storage) -> None:
    assert Snapshot.objects.count() == 0
    with pytest.raises(CommandError, match="object_lock"):
        call_command("undo_deletions", "--since", "2026-11-25T03:00Z")
    with pytest.raises(CommandError, match="no second storage"):
        call_command("undo_deletions", "--since", "2026-11-25T03:00Z", "--copy")


@pytest.mark.django_db(transaction=True)
def test_one_that_is_killed_goes_on(
    live_project: Project, locking: Storage, server: LockServer, prefix: str, settings: Any
) -> None:
    snapshot = taken(live_project)
    before = a_moment()
    for version in server.versions(prefix):
        server.admin.delete_object(Bucket=LOCKING, Key=version["Key"])
    lost = undone(before)["deleted"]
    environment = {
        **database_of_this_test(),
        "SNAPSHOT_STORAGE": settings.SNAPSHOT_STORAGE,
        "SNAPSHOT_MASTER_KEYS": settings.SNAPSHOT_MASTER_KEYS,
    }
    assert is_command_killed(
        environment,
        ["behind snapshots.object_lock.deletion_undo.bring_back 2"],
        *("undo_deletions", "--since", before.isoformat(), "--yes"),
    )
    assert undone(before, "--yes")["deleted"] == lost - 2
    assert undone(before)["deleted"] == 0
    assert verify(snapshot).rows == snapshot.rows
    assert extend_locks(live_project.pk, timezone.now()) == 1
    assert AuditEvent.objects.filter(action="storage.undo_started").count() == 2
    assert AuditEvent.objects.get(action="storage.deletions_undone").details["deleted"] == lost - 2


def test_what_was_brought_back_is_locked_again_though_the_command_was_killed(
    live_project: Project, locking: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot = taken(live_project)
    before = a_moment()
    locking.delete(snapshot.manifest)

    def killed(*arguments: Any) -> None:
        bring_back(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(deletion_undo, "bring_back", killed)
        with pytest.raises(KeyboardInterrupt):
            undone(before, "--yes")
    undone(before, "--yes")
    assert extend_locks(live_project.pk, timezone.now()) == 1
    assert locking.lock
    assert locking.lock.found(snapshot.manifest)
