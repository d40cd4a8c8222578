"""A leased job runs once, records its outcome, and if killed leaves its row to the next worker."""

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from celery.exceptions import OperationalError as BrokerError
from celery.exceptions import SoftTimeLimitExceeded
from django.db import IntegrityError, OperationalError
from django.utils import timezone
from pytest_django import DjangoCaptureOnCommitCallbacks, Settings

from backups_portal.lib.failure_causes import Cause
from backups_portal.lib.leased_job import GivenUpError, Heartbeat, LeasedJob, back_off
from backups_portal.lib.leased_job import send_on_commit as send
from backups_portal.lib.leases import LeaseLostError, LeaseQuerySet
from restores.tasks import run_restore
from snapshots.models import Snapshot
from tests.factories import make_project_row, make_snapshot

pytestmark = pytest.mark.django_db
State = Snapshot.State
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
UNEXPECTED = "Something went wrong."


class ShownError(Exception):
    """An error whose text is for owners."""

    cause = Cause.STORAGE


class Job(LeasedJob[Snapshot]):
    """A job whose work a test defines."""

    name = "snapshot"
    shown_errors = (ShownError,)
    unexpected = UNEXPECTED
    max_attempts = 3
    interrupted = "It was interrupted."

    def __init__(self, snapshot: Snapshot, act: Callable[["Job"], None] | None = None) -> None:
        super().__init__(snapshot.pk)
        self.act = act or (lambda job: job.finish(state="failed", reason="It is a test."))
        self.again: datetime | None = None
        # The calls in order.
        self.calls: list[str] = []

    def rows(self) -> LeaseQuerySet:
        return Snapshot.objects.all()

    def work(self) -> None:
        self.calls.append("work")
        self.act(self)

    def retry_at(self, error: Exception) -> datetime | None:
        return self.again

    def too_long(self) -> str:
        return "It took too long."

    def clean_up(self) -> dict[str, Any]:
        held = Snapshot.objects.filter(pk=self.pk, lease=self.ticket).exists()
        self.calls.append("clean_up" if held else "clean_up without a lease")
        return {"rows_done": 0}

    def abandon(self) -> None:
        self.calls.append("abandon")


@pytest.fixture
def snapshot() -> Snapshot:
    return make_snapshot(make_project_row(), state=State.QUEUED)


def raising(error: BaseException) -> Callable[[Job], None]:
    def act(job: Job) -> None:
        raise error

    return act


def taken_over(job: Job) -> None:
    Snapshot.objects.update(lease=uuid4())


def run(job: Job) -> Snapshot:
    """Run it as a worker does, and reload its row."""
    assert job.run().is_claimed
    return Snapshot.objects.get()


class TestClaim:
    def test_a_row_that_is_gone_is_normal(self, snapshot: Snapshot) -> None:
        Snapshot.objects.all().delete()
        assert not Job(snapshot).run().is_claimed

    @pytest.mark.parametrize("state", ["completed", "failed", "expired"])
    def test_what_is_done_is_left_alone(self, snapshot: Snapshot, state: str) -> None:
        other = make_snapshot(snapshot.project, state=state, taken_at=NOON)
        job = Job(other)
        assert not job.run().is_claimed
        assert job.calls == []

    def test_another_workers_row_is_left_to_it_until_its_lease_ends(
        self, snapshot: Snapshot
    ) -> None:
        now = timezone.now()
        Snapshot.objects.update(
            state="running", lease=uuid4(), lease_until=now + timedelta(hours=1)
        )
        assert not Job(snapshot).run().is_claimed
        Snapshot.objects.update(lease_until=now - timedelta(seconds=1))
        assert run(Job(snapshot)).attempts == 1

    def test_a_row_that_was_removed_behind_the_claim_is_normal(self, snapshot: Snapshot) -> None:
        class Late(Job):
            def rows(self) -> LeaseQuerySet:
                return Snapshot.objects.none()

            def claim(self) -> Any:
                return uuid4()

        assert not Late(snapshot).run().is_claimed


class TestEnd:
    def test_how_it_ended_is_stored_and_the_row_is_let_go(self, snapshot: Snapshot) -> None:
        def act(job: Job) -> None:
            # No heartbeat has stored it yet.
            job.heartbeat.report(rows_done=7, bytes_done=1)
            job.finish(state="failed", reason="It is a test.", bytes_done=2)

        row = run(Job(snapshot, act))
        assert (row.state, row.reason, row.rows_done, row.bytes_done) == (
            *("failed", "It is a test."),
            *(7, 2),
        )
        assert (row.lease, row.lease_until, row.attempts) == (None, None, 1)
        assert row.finished_at is not None
        assert not Job(snapshot).run().is_claimed, "a second message does nothing"

    @pytest.mark.parametrize(
        ("error", "reason", "cause"),
        [
            (ShownError("The storage is away."), "The storage is away.", Cause.STORAGE),
            (GivenUpError("It is gone.", cause=Cause.REMOVED), "It is gone.", Cause.REMOVED),
            (SoftTimeLimitExceeded(), "It took too long.", Cause.TIME_LIMIT),
        ],
    )
    def test_what_is_known_is_told_with_its_cause(
        self, snapshot: Snapshot, error: Exception, reason: str, cause: Cause
    ) -> None:
        job = Job(snapshot, raising(error))
        row = run(job)
        assert (row.state, row.reason, row.cause) == ("failed", reason, cause)
        assert (row.lease, row.lease_until) == (None, None)
        assert job.calls == ["work", "clean_up"], "while the row is still its own"

    @pytest.mark.parametrize("error", [ZeroDivisionError("secret"), IntegrityError("secret")])
    def test_what_nobody_foresaw_is_raised_and_told_without_its_details(
        self, snapshot: Snapshot, error: Exception, caplog: pytest.LogCaptureFixture
    ) -> None:
        with pytest.raises(type(error)):
            Job(snapshot, raising(error)).run()
        row = Snapshot.objects.get()
        assert (row.state, row.reason, row.cause) == ("failed", UNEXPECTED, Cause.UNEXPECTED)
        assert "secret" in caplog.text
        assert str(snapshot.pk) in caplog.text

    def test_what_cannot_be_recorded_is_not_stored(self, snapshot: Snapshot) -> None:
        class Unrecorded(Job):
            def give_up(self, error: Exception, **fields: Any) -> None:
                super().give_up(error, **fields)
                raise OperationalError("the audit log is away")

        with pytest.raises(OperationalError):
            Unrecorded(snapshot, raising(ShownError("x"))).run()
        assert Snapshot.objects.get().state == "running"


class TestAgain:
    def test_it_waits_for_its_time_in_the_queue(self, snapshot: Snapshot) -> None:
        job = Job(snapshot, raising(ShownError("The storage is away.")))
        job.again = NOON
        row = run(job)
        assert (row.state, row.lease, row.lease_until) == ("queued", None, NOON)
        assert (row.reason, row.cause) == ("The storage is away.", Cause.STORAGE)
        assert row.finished_at is None

    def test_what_no_attempt_can_do_is_not_tried_again(self, snapshot: Snapshot) -> None:
        job = Job(snapshot, raising(GivenUpError("It is gone.", cause=Cause.REMOVED)))
        job.again = NOON
        assert run(job).state == "failed"

    def test_after_too_many_lost_workers_it_is_given_up_before_it_begins(
        self, snapshot: Snapshot
    ) -> None:
        Snapshot.objects.update(attempts=2)
        assert run(Job(snapshot)).reason == "It is a test."
        Snapshot.objects.update(state="queued", attempts=3)
        job = Job(snapshot)
        row = run(job)
        assert (row.reason, row.cause) == ("It was interrupted.", Cause.INTERRUPTED)
        assert job.calls == ["clean_up"]

    def test_waits_grow_and_end(self) -> None:
        waits = [5, 15]
        found = [back_off(waits, tries, NOON) for tries in range(3)]
        assert found == [NOON + timedelta(minutes=5), NOON + timedelta(minutes=15), None]
        assert back_off([], 0, NOON) is None


class TestLost:
    """A worker that was presumed dead resumes."""

    @pytest.mark.parametrize(
        "then",
        [
            lambda job: job.finish(state="completed"),
            lambda job: job.store(rows_done=1),
            lambda job: job.renew(),
            raising(ShownError("Too late.")),
            raising(SoftTimeLimitExceeded()),
        ],
    )
    def test_it_says_nothing_more(
        self, snapshot: Snapshot, then: Callable[[Job], None], caplog: pytest.LogCaptureFixture
    ) -> None:
        def act(job: Job) -> None:
            taken_over(job)
            then(job)

        job = Job(snapshot, act)
        row = run(job)
        assert (row.state, row.reason, row.rows_done) == ("running", "", 0)
        assert row.lease not in (None, job.ticket)
        assert job.calls[-1] == "abandon"
        assert "lease lost" in caplog.text

    def test_a_row_that_is_removed_meanwhile_is_normal(self, snapshot: Snapshot) -> None:
        def act(job: Job) -> None:
            Snapshot.objects.all().delete()
            raise ShownError("It is gone.")

        assert Job(snapshot, act).run()


class TestKilled:
    @pytest.mark.parametrize(
        "end", [KeyboardInterrupt(), OperationalError("the server closed the connection")]
    )
    def test_the_row_stays_with_it_until_the_lease_ends_and_the_next_one_goes_on(
        self, snapshot: Snapshot, end: BaseException
    ) -> None:
        job = Job(snapshot, raising(end))
        job.again = NOON
        with pytest.raises(type(end)):
            job.run()
        row = Snapshot.objects.get()
        assert (row.state, row.lease, row.reason) == ("running", job.ticket, "")
        assert job.calls == ["work"]
        assert Snapshot.objects.send_again(timezone.now(), limit=9) == []
        assert not Job(snapshot).run().is_claimed

        Snapshot.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
        assert Snapshot.objects.send_again(timezone.now(), limit=9) == [snapshot.pk]
        assert run(Job(snapshot)).attempts == 2


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.django_db(transaction=True)
class TestHeartbeat:
    @pytest.fixture(autouse=True)
    def _fast(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("backups_portal.lib.leased_job.BEAT_SECONDS", 0.02)

    def test_it_keeps_the_lease_and_stores_how_far_the_work_is(
        self, snapshot: Snapshot, settings: Settings
    ) -> None:
        settings.LEASE = timedelta(seconds=30)

        def act(job: Job) -> None:
            job.heartbeat.report(rows_done=5)
            until(lambda: Snapshot.objects.get().rows_done == 5)
            before = Snapshot.objects.get().lease_until
            until(lambda: Snapshot.objects.get().lease_until > before)
            job.finish(state="failed", reason="It is a test.")
            # No heartbeat takes the row back.
            time.sleep(0.1)

        row = run(Job(snapshot, act))
        assert (row.lease, row.lease_until, row.rows_done) == (None, None, 5)

    def test_a_worker_that_was_overtaken_is_stopped_at_its_next_report(
        self, snapshot: Snapshot
    ) -> None:
        def act(job: Job) -> None:
            taken_over(job)
            until(lambda: job.heartbeat.report(rows_done=1))

        job = Job(snapshot, act)
        assert run(job).rows_done == 0
        assert job.calls == ["work", "abandon"]

    def test_a_control_database_that_is_away_for_some_beats_stops_nothing(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        answers: Iterator[Exception | None] = iter([OperationalError("away"), None])
        stored: list[dict[str, Any]] = []

        def renew(**fields: Any) -> None:
            if error := next(answers, None):
                raise error
            stored.append(fields)

        with Heartbeat(renew, "a row") as heartbeat:
            heartbeat.report(rows_done=3)
            until(lambda: len(stored) > 2)
            heartbeat.check()
        assert stored[-1] == {"rows_done": 3}
        assert "could not renew the lease of a row" in caplog.text

    def test_one_that_lost_its_row_says_so_whenever_asked(self) -> None:
        def renew(**fields: Any) -> None:
            raise LeaseLostError

        def is_lost() -> bool:
            try:
                heartbeat.check()
            except LeaseLostError:
                return True
            return False

        with Heartbeat(renew, "a row") as heartbeat:
            until(is_lost)
        with pytest.raises(LeaseLostError):
            heartbeat.report(rows_done=1)


class TestSend:
    def test_it_is_sent_once_it_is_committed(
        self,
        monkeypatch: pytest.MonkeyPatch,
        django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    ) -> None:
        sent: list[str] = []
        monkeypatch.setattr(run_restore, "delay", sent.append)
        pk = uuid4()
        with django_capture_on_commit_callbacks(execute=True):
            send(run_restore, pk)
            assert sent == []
        assert sent == [str(pk)]

    def test_a_broker_that_is_away_is_no_error(
        self,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        django_capture_on_commit_callbacks: DjangoCaptureOnCommitCallbacks,
    ) -> None:
        def away(*_: object) -> None:
            raise BrokerError("connection refused")

        monkeypatch.setattr(run_restore, "delay", away)
        pk = uuid4()
        with django_capture_on_commit_callbacks(execute=True):
            send(run_restore, pk)
        assert "broker is away" in caplog.text
        assert str(pk) in caplog.text
