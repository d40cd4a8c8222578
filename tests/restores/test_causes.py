"""Every failure of a restore or a proof is logged with its cause."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import psycopg
import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.lib.failure_causes import Cause
from backups_portal.projects.models import DatabaseServer, Project
from restores import database_build
from restores.index_build import BareTable
from restores.models import Proof, Restore
from restores.proof_queue import queue_proof
from restores.proof_run import run_proof
from restores.restore_requests import retry_restore
from restores.restore_run import run_restore
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import open_storage
from snapshots.models import Snapshot
from tests.factories import NOWHERE
from tests.restores.test_restore_run import ask, damage

Break = Callable[[Snapshot, pytest.MonkeyPatch, Any], None]


def restored(snapshot: Snapshot, owner: Account, attempts: int) -> Restore:
    restore = ask(snapshot, owner)
    Restore.objects.update(attempts=attempts)
    with suppress(ZeroDivisionError):
        run_restore(restore.pk)
    restore.refresh_from_db()
    return restore


def proven(snapshot: Snapshot, attempts: int) -> Proof:
    proof = queue_proof(snapshot.pk)
    assert proof is not None
    Proof.objects.update(attempts=attempts)
    with suppress(ZeroDivisionError):
        run_proof(proof.pk)
    proof.refresh_from_db()
    return proof


def raising(error: Exception) -> Callable[..., None]:
    def work(*_: object, **__: object) -> None:
        raise error

    return work


def unanswered(snapshot: Snapshot, patch: pytest.MonkeyPatch, _: Any) -> None:
    patch.setattr("backups_portal.projects.project_creation.server_url", lambda _: NOWHERE)


def refused(snapshot: Snapshot, patch: pytest.MonkeyPatch, _: Any) -> None:
    patch.setattr("restores.index_build.ENOUGH_TO_SORT", "SELECT * FROM what_is_not_there")


def full(snapshot: Snapshot, patch: pytest.MonkeyPatch, _: Any) -> None:
    patch.setattr(
        "restores.snapshot_loader._copy_variables", raising(psycopg.errors.DiskFull("full"))
    )


def full_at_once(snapshot: Snapshot, patch: pytest.MonkeyPatch, _: Any) -> None:
    error = psycopg.errors.DiskFull("full")
    patch.setattr("backups_portal.projectdb.provisioning.create_role", raising(error))


def closed(snapshot: Snapshot, *_: object) -> None:
    DatabaseServer.objects.update(is_open=False)


def unreadable(snapshot: Snapshot, patch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.SNAPSHOT_STORAGE = (
        "s3://nobody/?endpoint=http://127.0.0.1:1&allow_http=true&region=x"
        "&access_key_id=x&secret_access_key=x&max_retries=0&retry_seconds=1"
    )


def locked(snapshot: Snapshot, patch: pytest.MonkeyPatch, settings: Any) -> None:
    settings.SNAPSHOT_MASTER_KEYS = "one:" + "1" * 64


def damaged(snapshot: Snapshot, *_: object) -> None:
    damage(snapshot, "variable")


def lost(snapshot: Snapshot, patch: pytest.MonkeyPatch, settings: Any) -> None:
    storage = open_storage(settings.SNAPSHOT_STORAGE)
    storage.delete(Manifest.load(storage, snapshot.manifest).segments[0].key)


def unloadable(snapshot: Snapshot, patch: pytest.MonkeyPatch, _: Any) -> None:
    error = psycopg.errors.UniqueViolation("twice")
    patch.setattr("restores.snapshot_loader._copy_variables", raising(error))


def different(snapshot: Snapshot, patch: pytest.MonkeyPatch, _: Any) -> None:
    load = database_build.load_rows

    def lose_a_row(manifest: Manifest, storage: Any, target: Any, **kwargs: Any) -> BareTable:
        bare = load(manifest, storage, target, **kwargs)
        with psycopg.connect(target.dsn) as connection:
            connection.execute("DELETE FROM variable WHERE id = 3")
        return bare

    patch.setattr(database_build, "load_rows", lose_a_row)


def newer_schema(snapshot: Snapshot, patch: pytest.MonkeyPatch, _: Any) -> None:
    patch.setattr("snapshots.engine.manifest.SCHEMA_VERSION", 0)


def newer_format(snapshot: Snapshot, patch: pytest.MonkeyPatch, _: Any) -> None:
    patch.setattr("snapshots.engine.manifest.FORMAT", 0)


def slow(snapshot: Snapshot, patch: pytest.MonkeyPatch, _: Any) -> None:
    patch.setattr(database_build, "load_rows", raising(SoftTimeLimitExceeded()))


def left(snapshot: Snapshot, patch: pytest.MonkeyPatch, _: Any) -> None:
    patch.setattr(database_build, "drop_build", lambda *_: False)


def broken(snapshot: Snapshot, patch: pytest.MonkeyPatch, _: Any) -> None:
    patch.setattr(database_build, "complete_and_compare", raising(ZeroDivisionError()))


BREAKS: list[tuple[Break, Cause]] = [
    (unanswered, Cause.DATABASE_UNREACHABLE),
    (left, Cause.DATABASE_UNREACHABLE),
    (refused, Cause.DATABASE_REFUSED),
    (full, Cause.NO_ROOM),
    (full_at_once, Cause.NO_ROOM),
    (closed, Cause.NO_ROOM),
    (unreadable, Cause.STORAGE),
    (locked, Cause.ENCRYPTION_KEY),
    (damaged, Cause.DAMAGED),
    (lost, Cause.DAMAGED),
    (unloadable, Cause.DAMAGED),
    (different, Cause.DAMAGED),
    (newer_schema, Cause.VERSION),
    (newer_format, Cause.VERSION),
    (slow, Cause.TIME_LIMIT),
    (broken, Cause.UNEXPECTED),
]
EACH = pytest.mark.parametrize(
    ("cut", "cause"), BREAKS, ids=lambda one: getattr(one, "__name__", None)
)


@EACH
def test_what_a_proof_ends_for(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch, settings: Any, cut: Break, cause: Cause
) -> None:
    with monkeypatch.context() as patch:
        cut(snapshot, patch, settings)
        proof = proven(snapshot, 0)
    assert proof.cause == cause, proof.reason
    state = Proof.State.FAILED if cause == Cause.DAMAGED else Proof.State.GIVEN_UP
    assert (proof.state, bool(proof.reason)) == (state, True)


@pytest.mark.parametrize(
    ("cut", "cause"),
    [
        (full, Cause.NO_ROOM),
        (damaged, Cause.DAMAGED),
        (slow, Cause.TIME_LIMIT),
        (broken, Cause.UNEXPECTED),
    ],
)
def test_what_a_restore_fails_for(
    snapshot: Snapshot,
    owner: Account,
    monkeypatch: pytest.MonkeyPatch,
    settings: Any,
    cut: Break,
    cause: Cause,
) -> None:
    with monkeypatch.context() as patch:
        cut(snapshot, patch, settings)
        restore = restored(snapshot, owner, 0)
    assert (restore.state, restore.cause) == (Restore.State.FAILED, cause), restore.reason


def test_lost_workers(snapshot: Snapshot, owner: Account) -> None:
    assert restored(snapshot, owner, database_build.MAX_ATTEMPTS).cause == Cause.INTERRUPTED
    assert proven(snapshot, database_build.MAX_ATTEMPTS).cause == Cause.INTERRUPTED


def test_a_name_that_is_taken_meanwhile(
    snapshot: Snapshot, owner: Account, project: Project
) -> None:
    restore = ask(snapshot, owner)
    Project.objects.filter(pk=project.pk).update(name="Recovered")
    run_restore(restore.pk)
    assert Restore.objects.get().cause == Cause.NAME_REFUSED


def test_it_is_kept_while_it_is_tried_again_and_gone_when_that_worked(
    snapshot: Snapshot, owner: Account, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.RESTORE_RETRY_MINUTES = [5]
    error = psycopg.OperationalError("connection refused")
    with monkeypatch.context() as patch:
        patch.setattr("restores.snapshot_loader._copy_variables", raising(error))
        waiting = restored(snapshot, owner, 0)
    assert (waiting.state, waiting.cause) == (Restore.State.QUEUED, Cause.DATABASE_UNREACHABLE)
    Restore.objects.update(lease_until=timezone.now())
    run_restore(waiting.pk)
    done = Restore.objects.get()
    assert (done.state, done.reason, done.cause) == (Restore.State.COMPLETED, "", "")


def test_asking_again_forgets_it(
    snapshot: Snapshot, owner: Account, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    with monkeypatch.context() as patch:
        slow(snapshot, patch, settings)
        failed = restored(snapshot, owner, 0)
    assert retry_restore(restore=failed, actor=owner).cause == ""
