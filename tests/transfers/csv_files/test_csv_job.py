"""A requested CSV file is written or read once, and files report the outcome."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from celery.exceptions import SoftTimeLimitExceeded
from django.db import OperationalError, connection
from django.utils import timezone

from backups_portal.audit.models import AuditEvent
from backups_portal.lib.json_types import JsonObject
from backups_portal.lib.leased_job import Ran
from backups_portal.ops.tasks import send_overlooked
from backups_portal.projectdb.files import find_file, put_file, spool_file
from backups_portal.projects.models import DatabaseServer, Project
from backups_portal.transfers.csv_files import csv_job
from backups_portal.transfers.csv_files.csv_job import MAX_ATTEMPTS, RETRY_MINUTES, TRIED_AGAIN
from backups_portal.transfers.csv_files.import_line import marker_path, put_marker
from backups_portal.transfers.models import CsvRequest
from backups_portal.transfers.tasks import run_csv as task
from tests.transfers.projects import DEVICE, count_rows, open_project, run_csv

FILE = b"variable,value\n" + b"later,1\n" * 3
ERRORS, SKIPPED = "in.csv.errors.txt", "in.csv.skipped.txt"


@pytest.fixture(autouse=True)
def _file(backup: Project) -> None:
    """A file of three rows, for a project of ten."""
    with open_project(backup) as database:
        put_file(database, path="in.csv", content=FILE)


@pytest.fixture
def request_row(backup: Project) -> CsvRequest:
    """Request an import of them without a message; importing twice would store them twice."""
    return CsvRequest.objects.create(
        project=backup, work="import", path="in.csv", device=DEVICE, again=True
    )


def said(project: Project, name: str = ERRORS) -> str | None:
    with open_project(project) as database:
        if find_file(database, name) is None:
            return None
        with spool_file(database, name) as file:
            return file.read().decode()


def events() -> list[JsonObject]:
    """Return the file's audit events without their constant parts."""
    found = AuditEvent.objects.filter(action="data.imported").values_list("details", flat=True)
    return [{k: v for k, v in details.items() if k not in ("file", "by")} for details in found]


def run_late(row: CsvRequest) -> None:
    """Run it in a worker after the first one was lost, or after a long wait."""
    CsvRequest.objects.update(lease_until=timezone.now() - timedelta(seconds=1))
    assert send_overlooked(CsvRequest, timezone.now()) == [row.pk]
    csv_job.run_csv(row.pk)


@pytest.fixture(autouse=True)
def _unsent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send no messages to workers."""
    monkeypatch.setattr(task, "delay", lambda pk: None)


Break = Callable[[Callable[[psycopg.Connection[Any]], None]], None]


@pytest.fixture
def break_once(monkeypatch: pytest.MonkeyPatch) -> Iterator[Break]:
    """Return a way to fail the next import after its rows, before they are committed."""
    import_file = csv_job.csv_import.import_file

    with monkeypatch.context() as patch:

        def break_by(fault: Callable[[psycopg.Connection[Any]], None]) -> None:
            def broken(database: psycopg.Connection[Any], *arguments: Any) -> Any:
                patch.undo()
                done = import_file(database, *arguments)
                fault(database)
                return done

            patch.setattr(csv_job.csv_import, "import_file", broken)

        yield break_by


def raising(error: BaseException) -> Callable[[object], None]:
    def fault(_: object) -> None:
        raise error

    return fault


class TestOutcome:
    def test_it_skips_what_is_there_and_says_so(self, backup: Project) -> None:
        rows = b"variable,value,group,time\n" + b"t,1,g,2026-01-01T00:00:00Z\n" * 2
        with open_project(backup) as database:
            put_file(database, path="in.csv", content=rows)
        run_csv(backup, "import", "in.csv")
        assert run_csv(backup, "import", "in.csv").failure == ""
        assert count_rows(backup) == 12
        assert said(backup) is None
        assert said(backup, SKIPPED) == (
            "0 rows were imported. 2 rows already exist and were skipped.\n"
        )
        # The report is about the last job.
        run_csv(backup, "import", "in.csv", "0" * 24)
        assert said(backup, SKIPPED) is None
        assert said(backup) == f"There is no device {'0' * 24}.\n"
        assert [event["rows"] for event in events()] == [2, 0, 0]
        assert not CsvRequest.objects.exists()

    def test_what_nobody_foresaw_is_raised_and_told(
        self, backup: Project, request_row: CsvRequest, break_once: Break
    ) -> None:
        break_once(raising(ZeroDivisionError("secret")))
        with pytest.raises(ZeroDivisionError):
            csv_job.run_csv(request_row.pk)
        assert said(backup) == f"{csv_job.CsvJob.unexpected}\n"
        assert not CsvRequest.objects.exists()

    @pytest.mark.parametrize(
        ("error", "says"),
        [
            (SoftTimeLimitExceeded(), "The import took longer than 6\xa0h and"),
            (psycopg.errors.QueryCanceled(), "The import took longer than 6\xa0h and"),
            (psycopg.errors.DiskFull(), "The project's database server has no space left."),
        ],
    )
    def test_what_time_does_not_heal_is_told_at_once(
        self,
        backup: Project,
        request_row: CsvRequest,
        break_once: Break,
        error: Exception,
        says: str,
    ) -> None:
        break_once(raising(error))
        assert csv_job.run_csv(request_row.pk).failure
        assert (said(backup) or "").startswith(says)
        assert TRIED_AGAIN not in (said(backup) or "")
        assert (count_rows(backup), CsvRequest.objects.count()) == (10, 0)
        assert events() == [{"rows": 0, "already there": 0, "bad": 1}]


def run_and_hang_up(row: CsvRequest) -> Ran:
    """Run it in another thread."""
    try:
        return csv_job.run_csv(row.pk)
    finally:
        connection.close()


def waits_for_lock(database: psycopg.Connection[Any]) -> bool:
    """Return whether a session waits for a lock of this session."""
    waiting = "SELECT FROM pg_locks WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))"
    return database.execute(waiting).fetchone() is not None


class TestTwice:
    def test_delivered_twice_at_once_it_is_done_once(
        self, backup: Project, request_row: CsvRequest
    ) -> None:
        with ThreadPoolExecutor(3) as workers:
            ran = list(workers.map(run_and_hang_up, [request_row] * 3))
        claimed = sorted(one.is_claimed for one in ran)
        assert (claimed, count_rows(backup)) == ([False, False, True], 13)

    def test_a_worker_that_was_thought_dead_stores_nothing(
        self, backup: Project, request_row: CsvRequest, break_once: Break
    ) -> None:
        other = uuid4()
        break_once(lambda _: CsvRequest.objects.update(lease=other) and None)
        csv_job.run_csv(request_row.pk)
        assert (count_rows(backup), events(), said(backup)) == (10, [], None)
        assert CsvRequest.objects.get().lease == other
        run_late(request_row)
        assert (count_rows(backup), len(events())) == (13, 1)

    def test_a_worker_that_commits_late_is_waited_for(
        self, backup: Project, request_row: CsvRequest
    ) -> None:
        """The portal's own database, which held the row's lock, has restarted in the meantime."""
        mark = f".uploads/jobs/{request_row.pk.hex[-24:]}"
        with ThreadPoolExecutor(1) as workers:
            with open_project(backup) as late:
                late.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [mark])
                put_marker(late, request_row.pk, {"rows": 7})
                second = workers.submit(run_and_hang_up, request_row)
                while not waits_for_lock(late):
                    assert not second.done()
            assert second.result().failure == ""
        assert (count_rows(backup), events()) == (10, [{"rows": 7}])

    @pytest.fixture
    def _unrecorded(
        self, backup: Project, request_row: CsvRequest, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Lose the portal's own database right after the commit of the project's."""

        def away(**_: object) -> None:
            raise OperationalError("the server closed the connection unexpectedly")

        with monkeypatch.context() as patch:
            patch.setattr(csv_job, "record", away)
            with pytest.raises(OperationalError):
                csv_job.run_csv(request_row.pk)
        assert (count_rows(backup), events()) == (13, [])

    @pytest.mark.usefixtures("_unrecorded")
    @pytest.mark.parametrize("gone", ["device", "project", "attempts"])
    def test_what_was_stored_is_recorded_also_if_the_next_attempt_is_refused(
        self, backup: Project, request_row: CsvRequest, gone: str
    ) -> None:
        if gone == "device":
            with open_project(backup) as database:
                database.execute("DELETE FROM device WHERE id = %s", [DEVICE])
        elif gone == "project":
            Project.objects.update(state=Project.State.SHUT_DOWN)
        else:
            CsvRequest.objects.update(attempts=MAX_ATTEMPTS)
        run_late(request_row)
        assert events() == [{"rows": 3, "already there": 0, "bad": 0}]
        assert (CsvRequest.objects.count(), said(backup)) == (0, None)

    @pytest.mark.usefixtures("_unrecorded")
    @pytest.mark.parametrize("content", [b'{"seal": "\\ud800"}', b'[[1, 2], ["a", 3]]'])
    @pytest.mark.parametrize("attempts", [1, MAX_ATTEMPTS])
    def test_sql_that_replaced_the_counts_leaves_them_unknown(
        self, backup: Project, request_row: CsvRequest, content: bytes, attempts: int
    ) -> None:
        CsvRequest.objects.update(attempts=attempts)
        with open_project(backup) as database:
            put_file(database, path=marker_path(request_row.pk), content=content)
        run_late(request_row)
        assert (count_rows(backup), events(), CsvRequest.objects.count()) == (13, [{}], 0)

    @pytest.mark.usefixtures("_unrecorded")
    def test_counts_are_unknown_if_the_database_is_away_at_the_last_attempt(
        self, backup: Project, request_row: CsvRequest, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(*_: object) -> None:
            raise psycopg.OperationalError("the server closed the connection unexpectedly")

        monkeypatch.setattr(csv_job, "read_marker", away)
        CsvRequest.objects.update(attempts=MAX_ATTEMPTS)
        run_late(request_row)
        # Three rows were stored, so “0 rows” would be false.
        assert (count_rows(backup), events(), CsvRequest.objects.count()) == (13, [{}], 0)

    @pytest.mark.usefixtures("_unrecorded")
    def test_what_was_stored_but_not_recorded_is_only_recorded(
        self, backup: Project, request_row: CsvRequest
    ) -> None:
        run_late(request_row)
        assert (count_rows(backup), events()) == (
            *(13, [{"rows": 3, "already there": 0, "bad": 0}]),
        )
        assert not CsvRequest.objects.exists()


def cut(database: psycopg.Connection[Any]) -> None:
    """End a session from outside, as a server shutdown does."""
    with psycopg.connect(database.info.dsn, password=database.info.password) as other:
        other.execute("SELECT pg_terminate_backend(%s, 10000)", [database.info.backend_pid])


class TestAway:
    def test_it_goes_on_when_the_server_is_back(
        self, backup: Project, request_row: CsvRequest, break_once: Break
    ) -> None:
        break_once(cut)
        assert csv_job.run_csv(request_row.pk).failure
        row = CsvRequest.objects.get()
        wait = timedelta(minutes=RETRY_MINUTES[0])
        assert (row.state, row.lease) == ("queued", None)
        assert row.lease_until is not None
        assert wait - timedelta(seconds=9) < row.lease_until - timezone.now() < wait
        assert said(backup) == f"{row.reason}\n"
        assert TRIED_AGAIN in row.reason
        assert (count_rows(backup), events()) == (10, [])
        run_late(row)
        assert (count_rows(backup), said(backup), len(events())) == (13, None, 1)

    def test_a_server_that_is_known_to_be_away_is_waited_for(
        self, backup: Project, request_row: CsvRequest
    ) -> None:
        now = timezone.now()
        DatabaseServer.objects.update(checked_at=now, unreachable_since=now)
        csv_job.run_csv(request_row.pk)
        assert CsvRequest.objects.get().state == "queued"
        DatabaseServer.objects.update(unreachable_since=None)
        run_late(request_row)
        assert count_rows(backup) == 13

    def test_the_waits_end(
        self, backup: Project, request_row: CsvRequest, break_once: Break
    ) -> None:
        CsvRequest.objects.update(attempts=MAX_ATTEMPTS - 1)
        break_once(cut)
        csv_job.run_csv(request_row.pk)
        assert said(backup) == "The project's database is not responding.\n"
        assert (len(events()), CsvRequest.objects.count()) == (1, 0)

    def test_a_file_that_kills_its_workers_is_given_up(
        self, backup: Project, request_row: CsvRequest
    ) -> None:
        CsvRequest.objects.update(
            state="running",
            lease=uuid4(),
            attempts=MAX_ATTEMPTS,
            lease_until=timezone.now() - timedelta(seconds=1),
        )
        csv_job.run_csv(request_row.pk)
        assert said(backup) == f"It was interrupted {MAX_ATTEMPTS} times.\n"
        assert (count_rows(backup), CsvRequest.objects.count()) == (10, 0)

    def test_a_marker_of_the_owners_sql_does_not_keep_it_from_being_given_up(
        self, backup: Project, request_row: CsvRequest
    ) -> None:
        with open_project(backup) as database:
            forged = b'[[1, 2], ["a", 3]]'
            put_file(database, path=marker_path(request_row.pk), content=forged)
        CsvRequest.objects.update(attempts=MAX_ATTEMPTS)
        csv_job.run_csv(request_row.pk)
        assert (count_rows(backup), CsvRequest.objects.count()) == (10, 0)


class TestShutDown:
    def test_before_it_began(self, backup: Project, request_row: CsvRequest) -> None:
        Project.objects.update(state=Project.State.SHUT_DOWN)
        csv_job.run_csv(request_row.pk)
        assert (count_rows(backup), CsvRequest.objects.count()) == (10, 0)

    def test_a_project_that_was_removed_has_no_password(
        self, backup: Project, request_row: CsvRequest
    ) -> None:
        Project.objects.update(state=Project.State.REMOVED, sealed_password=b"")
        csv_job.run_csv(request_row.pk)
        assert not CsvRequest.objects.exists()

    def test_while_the_file_was_read(
        self, backup: Project, request_row: CsvRequest, break_once: Break
    ) -> None:
        break_once(lambda _: Project.objects.update(state=Project.State.SHUT_DOWN) and None)
        csv_job.run_csv(request_row.pk)
        assert (count_rows(backup), CsvRequest.objects.count()) == (10, 0)
        assert said(backup) == "The project was shut down in the meantime.\n"
