"""Jobs that write and read CSV files for clients of a project's API.

Clients see the outcome in files next to the CSV file.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import psycopg
from django.db import transaction
from psycopg import Connection

from backups_portal.audit.recorder import record
from backups_portal.lib import pgsession
from backups_portal.lib.db_time import database_now
from backups_portal.lib.failure_causes import Cause, driver_cause
from backups_portal.lib.json_types import JsonObject
from backups_portal.lib.leased_job import GivenUpError, LeasedJob, Ran, back_off
from backups_portal.lib.leases import LeaseLostError, LeaseQuerySet
from backups_portal.lib.loggers import get_logger
from backups_portal.projectdb.devices import device_name
from backups_portal.projectdb.files import delete_files, find_file, put_file, spool_file
from backups_portal.projectdb.import_turns import TurnTakenError
from backups_portal.projectdb.tokens import still_may
from backups_portal.projects.database_dsn import UNREACHABLE, project_dsn, who_holds
from backups_portal.projects.models import Project
from backups_portal.transfers.commit_guard import guarded
from backups_portal.transfers.csv_files import csv_import
from backups_portal.transfers.csv_files.csv_format import MAX_BYTES, write_csv
from backups_portal.transfers.csv_files.csv_import import Imported, ImportOptions
from backups_portal.transfers.csv_files.import_line import (
    NO_FILE,
    ImportLineJob,
    marker_path,
    put_marker,
    read_marker,
)
from backups_portal.transfers.errors import TransferRefusedError
from backups_portal.transfers.models import CsvRequest
from backups_portal.ui.formats import count
from snapshots.schedule.task_limit import limit_seconds, too_long

log = get_logger(__name__)

# The most bad lines that are listed individually.
TOLD = 1000
# No owner is there to retry by hand, so the last wait outlasts the maintenance of a server.
RETRY_MINUTES = (1, 2, 4, 8, 60)
MAX_ATTEMPTS = len(RETRY_MINUTES) + 1
SHUT_DOWN = "The project was shut down in the meantime."
REVOKED = "The token that asked for this was revoked or lost its right."
LOCKED = "Another session has kept data locked for too long."
TRANSFER = "A transfer into this project is under way."
NO_ROOM = "The project's database server has no space left."
TRIED_AGAIN = "It will be tried again in a few minutes."
AWAY = (psycopg.OperationalError, psycopg.InterfaceError)
# A retry does not help against these: a full disk needs an operator.
FINAL = (Cause.NO_ROOM, Cause.TIME_LIMIT)
# The counts in the audit log for a refused file.
NOTHING_EXPORTED: JsonObject = {"bytes": 0}
NOTHING_IMPORTED: JsonObject = {"rows": 0, "already there": 0, "bad": 1}


def run_csv(request_id: uuid.UUID) -> Ran:
    """Write or read a CSV file, or record a lost import; see `LeasedJob.run`."""
    asked = CsvRequest.objects.filter(pk=request_id).values_list("path", flat=True).first()
    return (ImportLineJob if asked == NO_FILE else CsvJob)(request_id).run()


def errors_path(path: str) -> str:
    """Return the path of the file that lists what is wrong with a CSV file."""
    return f"{path}.errors.txt"


def skipped_path(path: str) -> str:
    """Return the path of the file that reports rows the device already had."""
    return f"{path}.skipped.txt"


class CsvJob(LeasedJob[CsvRequest]):
    """An attempt at a file: all of it, or only a file with the reason."""

    name = "csv"
    shown_errors = (TransferRefusedError, *AWAY)
    unexpected = (
        "Something unexpected went wrong. Try again; if it fails again, tell your operator."
    )
    max_attempts = MAX_ATTEMPTS
    interrupted = f"It was interrupted {MAX_ATTEMPTS} times."

    def __init__(self, pk: uuid.UUID) -> None:
        super().__init__(pk)
        # For the audit log: the device's name and the counts.
        self.subject = ""
        self.counts: JsonObject = {}

    @property
    def mark(self) -> str:
        """Return the path of the marker, which is stored with an import's rows."""
        return marker_path(self.pk)

    @property
    def is_export(self) -> bool:
        """Tell whether this is an export."""
        return bool(self.row.work == CsvRequest.Work.EXPORT)

    def facts(self) -> dict[str, object]:
        return {**super().facts(), "project": self.row.project_id, "device": self.row.device}

    def rows(self) -> LeaseQuerySet:
        return CsvRequest.objects.select_related("project__server")

    def begin(self) -> None:
        if self.row.project.state != Project.State.ACTIVE:
            raise GivenUpError(SHUT_DOWN, cause=Cause.SHUT_DOWN)
        super().begin()

    def work(self) -> None:
        dsn = project_dsn(self.row.project, statement_seconds=limit_seconds())
        with pgsession.connect(dsn, autocommit=True) as connection:
            self.subject = device_name(connection, self.row.device)
            self._check_right(connection)
            self.reach(self.row.work)
            with guarded(connection, self._published):
                self.counts = (self._export if self.is_export else self._import)(connection)
                self._check_right(connection)
                self.reach("publishing")

    def retry_at(self, error: Exception) -> datetime | None:
        if not isinstance(error, AWAY) or driver_cause(error) in FINAL:
            return None
        return back_off(RETRY_MINUTES, self.row.attempts - 1, database_now())

    def too_long(self) -> str:
        return too_long(f"The {self.row.work}")

    def explain(self, error: Exception) -> dict[str, object]:
        if not isinstance(error, AWAY):
            return super().explain(error)
        cause = driver_cause(error)
        known = {
            Cause.LOCKED: LOCKED,
            Cause.NO_ROOM: NO_ROOM,
            Cause.TIME_LIMIT: self.too_long(),
        }
        is_turn = isinstance(error, TurnTakenError)
        said = [TRANSFER if is_turn else known.get(cause, UNREACHABLE)]
        if self.retry_at(error):
            said.append(TRIED_AGAIN)
        if cause == Cause.LOCKED and not is_turn:
            said.append(who_holds(self.row.project, of_rows=True))
        return {"reason": " ".join(filter(None, said)), "cause": cause}

    def give_up(self, error: Exception, **fields: object) -> None:
        stored = None
        self.counts = NOTHING_EXPORTED if self.is_export else NOTHING_IMPORTED
        try:
            stored = self._stored_before()
        except psycopg.Error:
            log.warning("what was imported before is not known", csv=self.pk, exc_info=True)
            self.counts = {}
        if stored is not None:
            self.counts = stored
        self._end()
        if stored is None:
            self._tell_why()

    def postpone(self, then: datetime, **fields: object) -> None:
        super().postpone(then, reason=self.failure)
        self._tell_why()

    def finish(self, **fields: object) -> None:
        """Delete the row; files and the audit log report the outcome.

        Raises:
            LeaseLostError: another worker has taken the row.
        """
        if not self.rows().filter(pk=self.pk, lease=self.ticket).delete()[0]:
            raise LeaseLostError(str(self.pk))

    @contextmanager
    def _published(self) -> Iterator[None]:
        """Lock row and project while the file is committed, then record it."""
        with transaction.atomic():
            running = Project.objects.active().select_for_update(no_key=True)
            if running.filter(pk=self.row.project_id).first() is None:
                raise GivenUpError(SHUT_DOWN, cause=Cause.SHUT_DOWN)
            self.renew()
            yield
            self.reach("recording")
            self._end()

    def _export(self, connection: Connection) -> JsonObject:
        asked = self.row
        between = (asked.since, asked.until) if asked.since and asked.until else None
        size = write_csv(
            connection,
            asked.device,
            asked.path,
            headers=asked.headers,
            between=between,
            most=MAX_BYTES,
        )
        delete_files(connection, [errors_path(asked.path)])
        return {"bytes": size}

    def _import(self, connection: Connection) -> JsonObject:
        """Store a file's records, or none if a line is bad; return the counts.

        A marker is stored with them, so that after a worker was killed before it recorded the
        import, the next one only records it.
        """
        # A worker that lost its lease may still be importing.
        connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [self.mark])
        stored = read_marker(connection, self.pk)
        if stored is not None:
            return stored
        counts = self._store(connection).counts
        put_marker(connection, self.pk, counts)
        return counts

    def _stored_before(self) -> JsonObject | None:
        """Return what a killed attempt stored but did not record; None if nothing.

        It is recorded even if the right, the device or the project is gone by now.

        Raises:
            psycopg.Error: the project's database does not say.
        """
        asked = self.row
        if self.is_export or asked.attempts < 2 or asked.project.state == Project.State.REMOVED:
            return None
        with pgsession.connect(project_dsn(asked.project), settings=pgsession.PAGE) as connection:
            return read_marker(connection, self.pk)

    def _store(self, connection: Connection) -> Imported:
        """Store the records, and write files that explain what was left out."""
        path = self.row.path
        done = Imported(ImportOptions(again=self.row.again, others=True, max_listed=TOLD))
        delete_files(connection, [errors_path(path), skipped_path(path)])
        try:
            done = self._read_file(connection, done.options)
            problems = [f"Line {line.number}: {line.reason}" for line in done.errors]
            if more := done.bad - len(problems):
                problems.append(f"And {count(more, 'more bad line')}.")
        except TransferRefusedError as error:
            done.bad, problems = 1, [error.message]
        if problems:
            _put_lines(connection, errors_path(path), problems)
        elif done.known:
            _put_lines(connection, skipped_path(path), [done.in_words()])
        return done

    def _read_file(self, connection: Connection, options: ImportOptions) -> Imported:
        if find_file(connection, self.row.path) is None:
            raise TransferRefusedError(f"There is no file {self.row.path}.")
        with spool_file(connection, self.row.path) as file:
            return csv_import.import_file(connection, self.row.device, file, options)

    def _check_right(self, connection: Connection) -> None:
        """Check the token and the device again; hold both in the transaction."""
        if self.row.token and not still_may(connection, self.row.token, "write"):
            raise GivenUpError(REVOKED, cause=Cause.RIGHT_LOST)
        found = connection.execute(
            "SELECT FROM device WHERE id = %s FOR KEY SHARE", [self.row.device]
        )
        if found.fetchone() is None:
            raise GivenUpError(f"There is no device {self.row.device}.", cause=Cause.REMOVED)

    def _tell_why(self) -> None:
        """Write the reason to a file, if the project is running and reachable."""
        asked = self.row
        if asked.project.state != Project.State.ACTIVE:
            return
        try:
            dsn = project_dsn(asked.project)
            with pgsession.connect(dsn, settings=pgsession.PAGE) as connection:
                if not self.is_export:
                    delete_files(connection, [skipped_path(asked.path)])
                _put_lines(connection, errors_path(asked.path), [self.failure])
        except psycopg.Error:
            log.warning("could not say why it failed", csv=self.pk, exc_info=True)

    def _end(self) -> None:
        record(
            action="data.exported" if self.is_export else "data.imported",
            actor=None,
            project=self.row.project,
            subject=self.subject or self.row.device,
            details={"file": self.row.path, **self.counts, "by": "API"},
        )
        self.finish()


def _put_lines(connection: Connection, path: str, lines: list[str]) -> None:
    put_file(
        connection,
        path=path,
        content="\n".join([*lines, ""]).encode(),
        content_type="text/plain; charset=utf-8",
    )
