"""A snapshot's outcome if its engine, database or lease fails."""

import uuid
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone

from backups_portal.audit.models import AuditEvent
from snapshots.engine.errors import EngineError
from snapshots.engine.storage import Storage
from snapshots.integrity.orphan_objects import sweep_project
from snapshots.models import Snapshot
from snapshots.run import snapshot_run
from snapshots.run.snapshot_run import UNEXPECTED, take
from tests.factories import make_project_row
from tests.snapshots.run.test_snapshot_run import failed, manifests, queued

State = Snapshot.State


class TestFaults:
    """Faults that cannot be caused from outside are injected into the engine."""

    @pytest.fixture
    def snapshot(self, db: None, stored: Storage) -> Snapshot:
        return queued(make_project_row())

    @pytest.fixture
    def engine(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        monkeypatch.setattr(snapshot_run, "admin_dsn", lambda project, **_: "")

        def replace(work: Any) -> None:
            monkeypatch.setattr(snapshot_run, "take_snapshot", work)

        return replace

    def test_an_unexpected_error_is_logged_raised_and_told_without_its_details(
        self, snapshot: Snapshot, engine: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        def work(*args: Any, **kwargs: Any) -> None:
            raise ZeroDivisionError("secret detail")

        engine(work)
        with pytest.raises(ZeroDivisionError):
            take(snapshot.id)
        assert failed(snapshot) == UNEXPECTED
        assert "secret detail" in caplog.text
        assert str(snapshot.id) in caplog.text

    def test_a_failed_snapshot_leaves_no_manifest(
        self, snapshot: Snapshot, engine: Any, stored: Storage
    ) -> None:
        def work(*args: Any, **kwargs: Any) -> None:
            stored.put(f"{snapshot.project_id}/manifests/{snapshot.id}.json", b"{}")
            raise EngineError("The backup storage returned other bytes than were written.")

        engine(work)
        take(snapshot.id)
        assert failed(snapshot) == "The backup storage returned other bytes than were written."
        assert manifests(stored, snapshot.project) == []

    @pytest.mark.parametrize("retries", [[], [5]])
    def test_it_is_removed_while_the_snapshot_is_still_its_own(
        self,
        snapshot: Snapshot,
        engine: Any,
        settings: Any,
        retries: list[int],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        settings.SNAPSHOT_RETRY_MINUTES = retries
        holders = []

        def work(*args: Any, **kwargs: Any) -> None:
            # Once the lease is released, the next attempt may publish under the same name.
            monkeypatch.setattr(
                Storage, "delete", lambda *_: holders.append(Snapshot.objects.get().lease)
            )
            raise EngineError("The main database could not be read.")

        engine(work)
        take(snapshot.id)
        assert len(holders) == 1
        assert holders[0] is not None
        snapshot.refresh_from_db()
        assert (snapshot.state, snapshot.lease) == (
            State.QUEUED if retries else State.FAILED,
            None,
        )

    def test_a_worker_that_was_overtaken_leaves_the_other_ones_manifest(
        self, snapshot: Snapshot, engine: Any, stored: Storage
    ) -> None:
        key = f"{snapshot.project_id}/manifests/{snapshot.id}.json"

        def work(*args: Any, **kwargs: Any) -> None:
            stored.put(key, b"{}")
            Snapshot.objects.update(
                state=State.COMPLETED, lease=None, manifest=key, taken_at=timezone.now()
            )
            raise EngineError("The main database could not be read.")

        engine(work)
        take(snapshot.id)
        assert manifests(stored, snapshot.project) == [key]

    def test_when_the_lease_is_lost_nothing_is_said(
        self, snapshot: Snapshot, engine: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        other = uuid.uuid4()

        def work(*args: Any, **kwargs: Any) -> None:
            Snapshot.objects.update(lease=other)
            raise EngineError("Too late.")

        engine(work)
        take(snapshot.id)
        snapshot.refresh_from_db()
        assert (snapshot.state, snapshot.lease, snapshot.reason) == (State.RUNNING, other, "")
        assert "lease lost" in caplog.text
        assert not AuditEvent.objects.exists()

    def test_a_project_deleted_meanwhile_is_normal(self, snapshot: Snapshot, engine: Any) -> None:
        def work(*args: Any, **kwargs: Any) -> None:
            Snapshot.objects.all().delete()
            raise EngineError("The main database could not be read.")

        engine(work)
        take(snapshot.id)
        assert not Snapshot.objects.exists()

    def test_a_control_database_that_is_away_leaves_the_row_to_the_next_tick(
        self, snapshot: Snapshot, engine: Any
    ) -> None:
        def work(*args: Any, **kwargs: Any) -> None:
            raise OperationalError("the server closed the connection")

        engine(work)
        with pytest.raises(OperationalError):
            take(snapshot.id)
        snapshot.refresh_from_db()
        assert snapshot.state == State.RUNNING
        assert snapshot.lease_until is not None

    def test_no_sweep_runs_beside_a_snapshot(self, snapshot: Snapshot, engine: Any) -> None:
        swept = []

        def work(*args: Any, **kwargs: Any) -> None:
            swept.append(sweep_project(snapshot.project_id))
            raise EngineError("Enough.")

        engine(work)
        take(snapshot.id)
        assert swept == [None]
