"""A proof shows that a snapshot restores to what it recorded, and cleans up after itself."""

import logging
import socket
import threading
import uuid
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from django.conf import settings
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.lib.failure_causes import Cause
from backups_portal.projectdb.check_role import READ_ONLY, make_check_role
from backups_portal.projectdb.provisioning import create_database
from backups_portal.projects.models import DatabaseServer, MainDatabase, Project
from backups_portal.projects.project_creation import installation
from backups_portal.projects.servers import register_server
from restores import database_build
from restores.errors import RestoreRefusedError
from restores.index_build import BareTable
from restores.models import Proof, Restore
from restores.orphan_databases import drop_leftovers, drop_strays, has_leftovers
from restores.proof_queue import queue_proof
from restores.proof_run import run_proof
from snapshots.engine.errors import StorageError
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import Storage, open_storage
from snapshots.models import Snapshot
from snapshots.retention.expiry import prune_project
from snapshots.retention.retention_rules import IN_USE
from snapshots.run.incremental_base import find_base
from snapshots.run.snapshot_run import take
from tests.factories import make_snapshot
from tests.projectdatabases import Target
from tests.restores.test_restore_run import ask, damage, databases, run

Verdict = Snapshot.Verdict


def prove(snapshot: Snapshot) -> Proof:
    proof = queue_proof(snapshot.pk)
    assert proof is not None
    run_proof(proof.pk)
    snapshot.refresh_from_db()
    return Proof.objects.get(pk=proof.pk)


def take_next(project: Project) -> Snapshot:
    snapshot = make_snapshot(project, state=Snapshot.State.QUEUED)
    take(snapshot.pk)
    snapshot.refresh_from_db()
    assert snapshot.state == Snapshot.State.COMPLETED, snapshot.reason
    return snapshot


def test_a_good_snapshot_is_proven_and_the_time_of_a_restore_is_known(snapshot: Snapshot) -> None:
    before = databases()
    proof = prove(snapshot)
    assert proof.state == Proof.State.PASSED, proof.reason
    assert proof.restore_seconds > 0
    assert proof.compare_seconds > 0
    assert (snapshot.verdict, snapshot.restore_seconds) == (Verdict.PASSED, proof.restore_seconds)
    assert snapshot.proven_at is not None
    assert (proof.prefix, proof.lease, proof.rows_done) == ("", None, snapshot.rows)
    assert databases() == before
    event = AuditEvent.objects.get(action="proof.passed")
    assert event.details["snapshot"] == str(snapshot.pk)
    assert Project.objects.count() == 1


@pytest.mark.parametrize("table", ["variable", "device"])
def test_one_changed_byte_marks_the_snapshot(
    snapshot: Snapshot, table: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = databases()
    damage(snapshot, table)
    with caplog.at_level(logging.ERROR):
        proof = prove(snapshot)
    assert proof.state == Proof.State.FAILED
    assert snapshot.verdict == Verdict.FAILED
    assert "changed in storage" in snapshot.verdict_reason
    assert str(snapshot.pk) in caplog.text
    event = AuditEvent.objects.get(action="proof.failed")
    assert event.details["reason"] == snapshot.verdict_reason
    assert databases() == before


def test_rows_that_do_not_arrive_mark_the_snapshot(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    load = database_build.load_rows

    def lose_a_row(
        manifest: Manifest, storage: Storage, target: Target, **kwargs: object
    ) -> BareTable:
        bare = load(manifest, storage, target, **kwargs)
        with psycopg.connect(target.dsn) as connection:
            connection.execute("DELETE FROM variable WHERE id = 3")
        return bare

    monkeypatch.setattr(database_build, "load_rows", lose_a_row)
    assert prove(snapshot).state == Proof.State.FAILED
    assert "9 rows, but the backup recorded 10" in snapshot.verdict_reason


def test_a_server_at_fault_says_nothing_of_the_snapshot(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = databases()

    def away(*args: object, **kwargs: object) -> None:
        raise StorageError("The backup storage could not read a key: timeout")

    monkeypatch.setattr(database_build, "complete_and_compare", away)
    proof = prove(snapshot)
    assert (proof.state, "timeout" in proof.reason) == (Proof.State.GIVEN_UP, True)
    assert snapshot.verdict == Verdict.UNPROVEN
    assert databases() == before


def test_a_folder_that_is_not_mounted_says_nothing_of_the_snapshot(
    snapshot: Snapshot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    restore = ask(snapshot, snapshot.project.created_by)
    monkeypatch.setattr(settings, "SNAPSHOT_STORAGE", f"file://{tmp_path / 'unmounted'}")
    proof = prove(snapshot)
    assert (proof.state, "the right one" in proof.reason) == (Proof.State.GIVEN_UP, True)
    assert snapshot.verdict == Verdict.UNPROVEN
    assert "the right one" in run(restore).reason
    assert Proof.objects.get() == proof, "nothing speaks against it that another one would decide"


def test_an_error_that_nobody_expected_leaves_nothing(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = databases()

    def work(*args: object, **kwargs: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(database_build, "complete_and_compare", work)
    with pytest.raises(ZeroDivisionError):
        prove(snapshot)
    assert Proof.objects.get().state == Proof.State.GIVEN_UP
    assert databases() == before


def test_a_worker_that_died_is_followed_by_one_that_drops_its_database(
    project: Project, snapshot: Snapshot
) -> None:
    before = databases()
    proof = queue_proof(snapshot.pk)
    assert proof is not None
    create_database(
        settings.PROJECT_DATABASE_URL,
        prefix="0badf00e",
        password="x",
        project_name="half",
        installation=installation(),
    )
    # It was running the owner's checks.
    make_check_role(settings.PROJECT_DATABASE_URL, prefix="0badf00e", settings=READ_ONLY)
    Proof.objects.filter(pk=proof.pk).update(
        state=Proof.State.RUNNING,
        lease=uuid.uuid4(),
        lease_until=timezone.now() - timedelta(seconds=1),
        server=project.server,
        prefix="0badf00e",
        database="bp_0badf00e",
        attempts=1,
    )
    run_proof(proof.pk)
    proof.refresh_from_db()
    assert (proof.state, proof.attempts) == (Proof.State.PASSED, 2)
    assert databases() == before


def test_workers_that_die_again_and_again_leave_nothing_and_no_verdict(
    snapshot: Snapshot,
) -> None:
    proof = queue_proof(snapshot.pk)
    assert proof is not None
    Proof.objects.update(attempts=3)
    run_proof(proof.pk)
    proof.refresh_from_db()
    assert (proof.state, "interrupted" in proof.reason) == (Proof.State.GIVEN_UP, True)


def test_a_worker_that_was_thought_dead_decides_nothing(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = databases()

    def taken_over(*args: object, **kwargs: object) -> float:
        Proof.objects.update(lease=uuid.uuid4())
        return 0.0

    monkeypatch.setattr(database_build, "complete_and_compare", taken_over)
    prove(snapshot)
    assert Proof.objects.get().state == Proof.State.RUNNING
    assert snapshot.verdict == Verdict.UNPROVEN
    assert databases() == before


def test_delivered_twice_at_once_it_is_one_proof(snapshot: Snapshot) -> None:
    proof = queue_proof(snapshot.pk)
    assert proof is not None
    assert queue_proof(snapshot.pk) is None
    threads = [threading.Thread(target=run_and_close, args=[proof.pk]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    proof.refresh_from_db()
    assert (proof.state, proof.attempts) == (Proof.State.PASSED, 1)


def run_and_close(proof_id: uuid.UUID) -> None:
    from django.db import connection

    run_proof(proof_id)
    connection.close()


def test_a_database_that_could_not_be_dropped_is_dropped_later(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = databases()

    def away(*args: object, **kwargs: object) -> None:
        raise psycopg.OperationalError("the server is restarting")

    with monkeypatch.context() as patch:
        patch.setattr(database_build, "drop_database", away)
        proof = prove(snapshot)
    assert proof.state == Proof.State.PASSED
    assert len(databases() - before) == 2
    assert has_leftovers(timezone.now())
    assert drop_leftovers(timezone.now()) == [proof.database]
    assert databases() == before
    assert not has_leftovers(timezone.now())


def test_a_server_that_is_away_is_not_waited_for_every_minute(snapshot: Snapshot) -> None:
    """Each of its databases would take ten seconds of a worker's time."""
    now = timezone.now()
    with socket.create_server(("127.0.0.1", 0)) as silence:
        server = register_server("away", f"postgresql://p@127.0.0.1:{silence.getsockname()[1]}/p")
        DatabaseServer.objects.filter(pk=server.pk).update(unreachable_since=now, checked_at=now)
        Proof.objects.create(
            snapshot=snapshot,
            state=Proof.State.GIVEN_UP,
            server=server,
            prefix="0a0a0a0a",
            database="bp_0a0a0a0a",
            reason="The server went away.",
            finished_at=now,
        )
        assert not has_leftovers(now)
        assert drop_leftovers(now) == []
        assert drop_strays() == []
        silence.setblocking(False)
        with pytest.raises(BlockingIOError):
            silence.accept()
    DatabaseServer.objects.filter(pk=server.pk).update(unreachable_since=None)
    assert has_leftovers(now), "when it is back"


class TestAfterAFailure:
    @pytest.fixture
    def failed(self, snapshot: Snapshot) -> Snapshot:
        self.key, self.good = damage(snapshot, "variable")
        prove(snapshot)
        assert snapshot.verdict == Verdict.FAILED
        return snapshot

    def test_the_next_snapshot_is_full_and_good_again(
        self, failed: Snapshot, project: Project
    ) -> None:
        following = take_next(project)
        assert following.is_full
        assert prove(following).state == Proof.State.PASSED
        # Unchanged segments keep their name and were rewritten, which repairs the failed backup,
        # too.
        assert open_storage(settings.SNAPSHOT_STORAGE).get(self.key) == self.good
        assert prove(failed).state == Proof.State.PASSED
        assert failed.verdict == Verdict.PASSED

    def test_one_that_was_built_upon_it_before_it_failed_is_no_base_either(
        self, snapshot: Snapshot, project: Project
    ) -> None:
        damage(snapshot, "variable")
        second = take_next(project)
        assert not second.is_full
        assert prove(snapshot).state == Proof.State.FAILED
        third = make_snapshot(
            project, state="queued", local_date=snapshot.local_date + timedelta(days=1)
        )
        storage = open_storage(settings.SNAPSHOT_STORAGE)
        assert not find_base(storage, third).is_sound
        take(third.pk)
        third.refresh_from_db()
        assert third.is_full
        fourth = make_snapshot(
            project, state="queued", local_date=snapshot.local_date + timedelta(days=2)
        )
        base = find_base(storage, fourth)
        assert base.is_sound
        assert base.manifest is not None
        assert base.manifest.snapshot_id == third.pk

    def test_it_is_not_the_last_good_one(self, failed: Snapshot, project: Project) -> None:
        now = timezone.now()
        Snapshot.objects.filter(pk=failed.pk).update(taken_at=now - timedelta(days=8))
        older = make_snapshot(project, taken_at=now - timedelta(days=9))
        oldest = make_snapshot(project, taken_at=now - timedelta(days=10))
        verdicts = {item.snapshot_id: item for item in prune_project(project.pk, now)}
        assert not verdicts[older.pk].goes
        assert verdicts[older.pk].reason == "the newest good backup"
        assert verdicts[failed.pk].goes
        assert verdicts[oldest.pk].goes

    def test_it_is_not_restored_and_the_refusal_says_why(
        self, failed: Snapshot, owner: Account
    ) -> None:
        with pytest.raises(RestoreRefusedError, match="failed its proof") as refusal:
            ask(failed, owner)
        assert refusal.value.status == 409
        assert failed.verdict_reason in refusal.value.message


def test_a_snapshot_being_proven_is_not_removed(project: Project, snapshot: Snapshot) -> None:
    now = timezone.now()
    Snapshot.objects.filter(pk=snapshot.pk).update(taken_at=now - timedelta(days=30))
    make_snapshot(project, taken_at=now)
    assert queue_proof(snapshot.pk) is not None
    (verdict,) = prune_project(project.pk, now)
    assert (verdict.goes, verdict.reason) == (False, IN_USE)
    Proof.objects.all().delete()
    assert prune_project(project.pk, now)[0].goes


def test_a_snapshot_removed_meanwhile_is_not_proven(snapshot: Snapshot) -> None:
    proof = queue_proof(snapshot.pk)
    assert proof is not None
    Snapshot.objects.update(state=Snapshot.State.EXPIRED)
    run_proof(proof.pk)
    proof.refresh_from_db()
    assert (proof.state, proof.cause) == (Proof.State.GIVEN_UP, Cause.REMOVED)
    assert "removed" in proof.reason
    assert queue_proof(snapshot.pk) is None


def test_a_restore_counts_as_a_proof(snapshot: Snapshot, owner: Account) -> None:
    restore = run(ask(snapshot, owner))
    assert restore.state == Restore.State.COMPLETED, restore.reason
    snapshot.refresh_from_db()
    assert snapshot.verdict == Verdict.PASSED
    assert snapshot.restore_seconds > 0


def test_a_restore_that_finds_damage_asks_for_a_proof(snapshot: Snapshot, owner: Account) -> None:
    MainDatabase.objects.update(proof_policy="off")
    damage(snapshot, "variable")
    assert run(ask(snapshot, owner)).state == Restore.State.FAILED
    snapshot.refresh_from_db()
    assert snapshot.verdict == Verdict.UNPROVEN
    run_proof(Proof.objects.get(state=Proof.State.QUEUED).pk)
    snapshot.refresh_from_db()
    assert snapshot.verdict == Verdict.FAILED
