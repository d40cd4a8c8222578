"""A queued snapshot is taken once, by one worker, and records its outcome."""

import logging
import uuid
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.utils import timezone

from backups_portal.audit.models import AuditEvent
from backups_portal.projects.database_dsn import admin_dsn, project_dsn
from backups_portal.projects.models import MainDatabase, Project
from restores.snapshot_loader import Target
from snapshots.engine.errors import EngineError
from snapshots.engine.manifest import Manifest
from snapshots.engine.snapshot_writer import Source
from snapshots.engine.storage import Storage
from snapshots.models import Snapshot
from snapshots.run import snapshot_run
from snapshots.run.snapshot_run import INTERRUPTED, MAX_ATTEMPTS, SHUT_DOWN, take
from snapshots.schedule.schedule_tick import queue_due
from tests.at_once import at_once
from tests.factories import make_snapshot
from tests.projectdatabases import add_rows, open_database

State = Snapshot.State


def queued(project: Project, *, days_ago: int = 0) -> Snapshot:
    """Make a queued snapshot."""
    moment = timezone.now() - timedelta(days=days_ago)
    return make_snapshot(project, taken_at=moment, state=State.QUEUED)


def taken(project: Project, *, days_ago: int = 0) -> Snapshot:
    """Queue a snapshot and take it."""
    snapshot = queued(project, days_ago=days_ago)
    take(snapshot.id)
    snapshot.refresh_from_db()
    assert snapshot.state == State.COMPLETED, snapshot.reason
    return snapshot


def failed(snapshot: Snapshot) -> str:
    """Assert that the snapshot has failed without a lease; return its reason."""
    snapshot.refresh_from_db()
    assert snapshot.state == State.FAILED
    assert (snapshot.lease, snapshot.lease_until) == (None, None)
    return snapshot.reason


def manifests(storage: Storage, project: Project) -> list[str]:
    return [item.key for item in storage.list(f"{project.id}/manifests/")]


def test_a_due_project_gets_a_snapshot_that_says_what_it_holds(
    live_project: Project, stored: Storage
) -> None:
    now = timezone.now()
    MainDatabase.objects.update(next_snapshot_at=now)
    (snapshot_id,) = queue_due(now)
    take(snapshot_id)
    snapshot = Snapshot.objects.get()
    manifest = Manifest.load(stored, snapshot.manifest)
    assert snapshot.state == State.COMPLETED
    assert snapshot.table_rows["variable"] == 10
    assert snapshot.rows == snapshot.rows_done == snapshot.rows_total == manifest.rows
    assert snapshot.taken_at == manifest.taken_at
    assert snapshot.stored_bytes == snapshot.new_bytes == manifest.stored_bytes > 0
    assert snapshot.logical_bytes > 0
    assert snapshot.is_full
    assert snapshot.postgresql_version
    assert snapshot.schema_version
    assert snapshot.duration is not None
    assert (snapshot.lease, snapshot.attempts, snapshot.reason) == (None, 1, "")
    assert AuditEvent.objects.get().action == "snapshot.completed"


def test_the_server_ends_each_statement_at_the_limit_of_the_task(
    live_project: Project, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.TASK_LIMIT = timedelta(seconds=777)
    limits = []

    def work(read: Source, *args: Any) -> None:
        with open_database(Target(read.dsn, live_project.prefix)) as source:
            limits.append(source.execute("SHOW statement_timeout").fetchone())
        raise EngineError("Enough.")

    monkeypatch.setattr(snapshot_run, "take_snapshot", work)
    take(queued(live_project).id)
    assert limits == [("777s",)]


def test_a_second_delivery_does_nothing(live_project: Project) -> None:
    snapshot = taken(live_project)
    take(snapshot.id)
    again = Snapshot.objects.get()
    assert (again.finished_at, again.attempts) == (snapshot.finished_at, 1)


def test_a_row_that_has_gone_is_normal(db: None) -> None:
    take(uuid.uuid4())


@pytest.mark.django_db(transaction=True)
def test_two_workers_with_the_same_message_take_it_once(live_project: Project) -> None:
    snapshot = queued(live_project)
    at_once(*[lambda: take(snapshot.id)] * 2)
    snapshot.refresh_from_db()
    assert (snapshot.state, snapshot.attempts) == (State.COMPLETED, 1)
    assert AuditEvent.objects.count() == 1


def test_a_snapshot_whose_worker_was_killed_is_taken_by_the_next(live_project: Project) -> None:
    snapshot = queued(live_project)
    Snapshot.objects.update(
        state=State.RUNNING, lease=uuid.uuid4(), lease_until=timezone.now() - timedelta(seconds=1)
    )
    take(snapshot.id)
    snapshot.refresh_from_db()
    assert snapshot.state == State.COMPLETED


def test_a_snapshot_that_another_worker_is_taking_is_left_to_it(live_project: Project) -> None:
    snapshot = queued(live_project)
    lease = {"lease": uuid.uuid4(), "lease_until": timezone.now() + timedelta(minutes=1)}
    Snapshot.objects.update(state=State.RUNNING, **lease)
    take(snapshot.id)
    snapshot.refresh_from_db()
    assert (snapshot.state, snapshot.lease) == (State.RUNNING, lease["lease"])


def test_the_next_snapshot_stores_only_what_changed(live_project: Project) -> None:
    taken(live_project, days_ago=1)
    with open_database(Target(project_dsn(live_project), live_project.prefix)) as source:
        add_rows(source, 40, 5)
    second = taken(live_project)
    assert not second.is_full
    assert second.table_rows["variable"] == 15
    assert second.new_bytes < second.stored_bytes


@pytest.mark.parametrize(
    "setting",
    [
        "SET statement_timeout = 1",
        "SET search_path = nowhere",
        "SET default_transaction_read_only = on",
        "PASSWORD 'another'",
    ],
)
def test_what_a_project_sets_for_its_own_role_stops_no_backup(
    live_project: Project, setting: str
) -> None:
    with psycopg.connect(project_dsn(live_project)) as connection:
        connection.execute(f"ALTER ROLE CURRENT_USER {setting}".encode())
    assert taken(live_project).table_rows["variable"] == 10


def test_everything_is_read_again_when_the_last_full_snapshot_is_old(
    live_project: Project, settings: Any
) -> None:
    taken(live_project, days_ago=1)
    settings.SNAPSHOT_FULL_EVERY = timedelta(0)
    assert taken(live_project).is_full


def test_nothing_is_built_upon_a_snapshot_that_storage_lost_a_part_of(
    live_project: Project, stored: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    first = taken(live_project, days_ago=1)
    lost = Manifest.load(stored, first.manifest).of("variable")[0].key
    stored.delete(lost)
    with caplog.at_level(logging.ERROR):
        second = taken(live_project)
    assert second.is_full
    assert lost in caplog.text
    for segment in Manifest.load(stored, second.manifest).segments:
        stored.get(segment.key)


def test_a_base_that_cannot_be_read_is_done_without(live_project: Project, stored: Storage) -> None:
    stored.put(taken(live_project, days_ago=1).manifest, b"no manifest")
    assert taken(live_project).is_full


def test_a_main_database_that_is_away_is_a_reason(live_project: Project) -> None:
    Project.objects.update(database="bp_gone")
    snapshot = queued(live_project)
    take(snapshot.id)
    assert failed(snapshot).startswith("The main database could not be read")
    event = AuditEvent.objects.get()
    assert (event.action, event.details["reason"]) == ("snapshot.failed", snapshot.reason)


def test_a_storage_that_cannot_be_written_is_a_reason(
    live_project: Project, settings: Any, tmp_path: Any
) -> None:
    (tmp_path / "file").write_text("in the way")
    settings.SNAPSHOT_STORAGE = f"file://{tmp_path / 'file' / 'storage'}"
    snapshot = queued(live_project)
    take(snapshot.id)
    assert "storage" in failed(snapshot)


def test_a_project_that_was_shut_down_is_not_read(live_project: Project) -> None:
    Project.objects.update(state=Project.State.SHUT_DOWN)
    snapshot = queued(live_project)
    take(snapshot.id)
    assert failed(snapshot) == SHUT_DOWN


def test_one_that_is_queued_again_removes_what_its_failed_attempt_could_not(
    live_project: Project, stored: Storage
) -> None:
    """The storage was away when the manifest had to be removed."""
    now = timezone.now()
    MainDatabase.objects.update(next_snapshot_at=now)
    (snapshot_id,) = queue_due(now)
    stored.put(f"{live_project.id}/manifests/{snapshot_id}.json", b"{}")
    Snapshot.objects.update(
        state=State.FAILED,
        reason="The storage is away.",
        attempts=4,
        scheduled_for=now - timedelta(hours=1),
    )
    MainDatabase.objects.update(next_snapshot_at=now)
    assert queue_due(now) == [snapshot_id]
    take(snapshot_id)
    snapshot = Snapshot.objects.get()
    assert (snapshot.state, snapshot.reason) == (State.COMPLETED, "")


def test_a_snapshot_that_kills_its_workers_is_given_up(live_project: Project) -> None:
    snapshot = queued(live_project)
    Snapshot.objects.update(attempts=MAX_ATTEMPTS)
    take(snapshot.id)
    assert failed(snapshot) == INTERRUPTED


def test_a_full_read_that_finds_what_tracking_missed_is_good_and_says_so_loudly(
    live_project: Project, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    taken(live_project, days_ago=1)
    with open_database(Target(admin_dsn(live_project), live_project.prefix)) as source:
        source.execute("ALTER TABLE variable DISABLE TRIGGER USER")
        source.execute("DELETE FROM variable WHERE id = 1")
        source.execute("ALTER TABLE variable ENABLE TRIGGER USER")
    settings.SNAPSHOT_FULL_EVERY = timedelta(0)
    with caplog.at_level(logging.ERROR):
        snapshot = taken(live_project)
    assert snapshot.table_rows["variable"] == 9
    (change,) = snapshot.untracked
    assert change == {
        "first_day": "2026-03-01",
        "end_day": "2026-03-02",
        "rows_expected": 10,
        "rows_found": 9,
    }
    assert str(snapshot.id) in caplog.text
    event = AuditEvent.objects.get(action="snapshot.untracked_change")
    assert (event.details["changes"], event.details["total"]) == ([change], 1)
