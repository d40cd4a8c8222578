"""Every failure of a snapshot or its copy is logged with its cause."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.utils import timezone

from backups_portal.lib import liveness
from backups_portal.lib.failure_causes import Cause
from backups_portal.projectdb.schema_version import SCHEMA_VERSION
from backups_portal.projects.database_dsn import admin_dsn
from backups_portal.projects.models import DatabaseServer, Project
from snapshots.engine.encryption import keys_folder
from snapshots.engine.storage import Storage
from snapshots.models import Snapshot, SnapshotCopy
from snapshots.replication.copy_run import copy
from snapshots.run import snapshot_run
from snapshots.run.snapshot_run import MAX_ATTEMPTS, take
from tests.factories import make_snapshot

State = Snapshot.State
Break = Callable[[Project, Storage, pytest.MonkeyPatch, Any], None]


def queued(project: Project) -> Snapshot:
    return make_snapshot(project, state=State.QUEUED)


def attempt(snapshot: Snapshot) -> Snapshot:
    """Let a worker try it, and reload it."""
    with suppress(ZeroDivisionError):
        take(snapshot.pk)
    snapshot.refresh_from_db()
    return snapshot


def change(project: Project, statement: str) -> None:
    with psycopg.connect(admin_dsn(project)) as connection:
        connection.execute(statement.encode())


def away(project: Project, *_: object) -> None:
    now = timezone.now()
    DatabaseServer.objects.update(checked_at=now, unreachable_since=now)


def gone(project: Project, *_: object) -> None:
    Project.objects.update(database="bp_gone")


def closed(project: Project, *_: object) -> None:
    change(project, "REVOKE SELECT ON instance FROM CURRENT_USER")


def newer(project: Project, *_: object) -> None:
    change(project, f"UPDATE instance SET schema_version = {SCHEMA_VERSION + 1}")


def unwritable(project: Project, stored: Storage, patch: pytest.MonkeyPatch, settings: Any) -> None:
    place = Path(settings.SNAPSHOT_STORAGE.removeprefix("file://"))
    place.rename(place.with_name("elsewhere"))
    place.write_text("in the way")


def forgetful(project: Project, stored: Storage, patch: pytest.MonkeyPatch, _: Any) -> None:
    put = Storage.put_stored
    patch.setattr(Storage, "put_stored", lambda self, key, content: put(self, key, content[:-1]))


def keyless(project: Project, stored: Storage, patch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.SNAPSHOT_MASTER_KEYS = "one:" + "1" * 64
    stored.put(f"{keys_folder(project.pk)}{'0' * 16}", b"{}")


def full(project: Project, stored: Storage, patch: pytest.MonkeyPatch, _: Any) -> None:
    fail(
        patch,
        psycopg.errors.DiskFull("No space left on device"),
        "snapshots.engine.source_database",
    )


def slow(project: Project, stored: Storage, patch: pytest.MonkeyPatch, _: Any) -> None:
    fail(patch, SoftTimeLimitExceeded())


def killed(project: Project, *_: object) -> None:
    Snapshot.objects.update(attempts=MAX_ATTEMPTS)


def shut_down(project: Project, *_: object) -> None:
    Project.objects.update(state=Project.State.SHUT_DOWN)


def broken(project: Project, stored: Storage, patch: pytest.MonkeyPatch, _: Any) -> None:
    fail(patch, ZeroDivisionError())


def fail(patch: pytest.MonkeyPatch, error: Exception, where: str = "") -> None:
    """Let the engine raise an error, or the named call that precedes it."""

    def work(*_: object, **__: object) -> None:
        raise error

    if where:
        patch.setattr(f"{where}.export_instant", work)
    else:
        patch.setattr(snapshot_run, "take_snapshot", work)


BREAKS: list[tuple[Break, Cause]] = [
    (away, Cause.DATABASE_UNREACHABLE),
    (gone, Cause.DATABASE_UNREACHABLE),
    (closed, Cause.DATABASE_REFUSED),
    (newer, Cause.VERSION),
    (unwritable, Cause.STORAGE),
    (forgetful, Cause.STORAGE),
    (keyless, Cause.ENCRYPTION_KEY),
    (full, Cause.NO_ROOM),
    (slow, Cause.TIME_LIMIT),
    (killed, Cause.INTERRUPTED),
    (shut_down, Cause.SHUT_DOWN),
    (broken, Cause.UNEXPECTED),
]


@pytest.mark.parametrize(("cut", "cause"), BREAKS, ids=lambda one: getattr(one, "__name__", None))
def test_what_a_snapshot_fails_for(
    live_project: Project,
    stored: Storage,
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
    cut: Break,
    cause: Cause,
) -> None:
    snapshot = queued(live_project)
    cut(live_project, stored, monkeypatch, settings)
    failed = attempt(snapshot)
    assert (failed.state, failed.cause) == (State.FAILED, cause), failed.reason
    assert failed.reason


def test_what_is_tried_again_keeps_the_cause_until_it_worked(
    live_project: Project, settings: Any
) -> None:
    settings.SNAPSHOT_RETRY_MINUTES = [5]
    database = live_project.database
    gone(live_project)
    waiting = attempt(queued(live_project))
    assert (waiting.state, waiting.cause) == (State.QUEUED, Cause.DATABASE_UNREACHABLE)
    Project.objects.update(database=database)
    Snapshot.objects.update(retry_at=timezone.now())
    done = attempt(waiting)
    assert (done.state, done.reason, done.cause) == (State.COMPLETED, "", "")


class TestCopies:
    @pytest.fixture
    def snapshot(
        self, live_project: Project, settings: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> Snapshot:
        """A stored snapshot whose copy is pending."""
        monkeypatch.setattr(liveness, "KEY", f"test:{timezone.now()}")
        settings.SNAPSHOT_COPY_STORAGE = f"file://{tmp_path / 'second'}"
        stored = attempt(queued(live_project))
        assert stored.state == State.COMPLETED, stored.reason
        return stored

    def copied(self, snapshot: Snapshot) -> SnapshotCopy:
        copy(snapshot.pk)
        return SnapshotCopy.objects.get()

    def test_a_lost_object_of_the_first_storage(self, snapshot: Snapshot, stored: Storage) -> None:
        stored.delete(next(iter(stored.list(f"{snapshot.project_id}/segments/"))).key)
        row = self.copied(snapshot)
        assert (row.state, row.cause) == (SnapshotCopy.State.FAILED, Cause.DAMAGED)

    def test_a_second_storage_that_cannot_be_written(
        self, snapshot: Snapshot, tmp_path: Path, settings: Any
    ) -> None:
        settings.SNAPSHOT_RETRY_MINUTES = [5]
        (tmp_path / "second").write_text("in the way")
        row = self.copied(snapshot)
        assert (row.state, row.cause) == (SnapshotCopy.State.QUEUED, Cause.STORAGE)

    def test_a_copy_that_ends_its_workers(self, snapshot: Snapshot) -> None:
        SnapshotCopy.objects.update(attempts=9)
        assert self.copied(snapshot).cause == Cause.INTERRUPTED

    def test_one_that_is_made_has_none(self, snapshot: Snapshot) -> None:
        SnapshotCopy.objects.update(reason="It broke.", cause=Cause.STORAGE)
        assert (self.copied(snapshot).state, self.copied(snapshot).cause) == ("copied", "")
