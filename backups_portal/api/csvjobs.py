"""CSV files of devices, written and read by a worker; clients see what became of them as files."""

import io
import logging
import uuid
from datetime import UTC, datetime

import psycopg
from django.conf import settings
from psycopg import Connection

from backups_portal.audit.services import record
from backups_portal.projectdb.csvrows import TooLargeError, stored_file, write_csv
from backups_portal.projectdb.files import WAITING, delete_files, find_file, put_file
from backups_portal.projectdb.records import Record, RecordError
from backups_portal.projectdb.variables import UnknownDeviceError, store
from backups_portal.projects.connections import project_dsn
from backups_portal.projects.models import Project
from backups_portal.transfers.csvfiles import MAX_BYTES, BadLine, CsvError, read_rows

log = logging.getLogger(__name__)

ROWS_AT_ONCE = 10_000
# Of bad lines, so many are told one by one.
TOLD = 1000
BY_API = {"by": "API"}


def export_file(
    project_id: uuid.UUID,
    device_id: str,
    path: str,
    *,
    headers: bool,
    between: tuple[datetime, datetime] | None,
) -> None:
    """Write a device's records into a file of the project; what stops it is in a file beside it."""
    project = Project.objects.active().filter(pk=project_id).first()
    if project is None:
        return
    with psycopg.connect(project_dsn(project), connect_timeout=10) as connection:
        try:
            with connection.transaction():
                size = write_csv(
                    connection, device_id, path, headers=headers, between=between, most=MAX_BYTES
                )
                delete_files(connection, [errors_path(path)])
        except TooLargeError:
            size = 0
            _tell(connection, path, [f"The records take more than {MAX_BYTES / 1e6:g} MB."])
    details = {"file": path, "bytes": size, **BY_API}
    record(action="data.exported", actor=None, project=project, subject=device_id, details=details)


def import_file(project_id: uuid.UUID, job_id: str, device_id: str, path: str) -> None:
    """Store the records of a file: all, or none where a line is bad; then a file beside it says
    which.

    The mark that a job is done is stored with its rows: one that is sent twice is done once.
    """
    project = Project.objects.active().filter(pk=project_id).first()
    if project is None:
        return
    mark = f"{WAITING}jobs/{job_id}"
    with psycopg.connect(project_dsn(project), connect_timeout=10) as connection:
        if find_file(connection, mark):
            return
        try:
            with connection.transaction():
                rows = _store(connection, device_id, path)
                put_file(connection, path=mark, content=b"")
                delete_files(connection, [errors_path(path)])
            problems: list[str] = []
        except _RefusedError as error:
            rows, problems = 0, error.problems
            _tell(connection, path, problems)
    details = {"file": path, "rows": rows, "bad": len(problems), **BY_API}
    record(action="data.imported", actor=None, project=project, subject=device_id, details=details)


def errors_path(path: str) -> str:
    """Where it is said what is wrong with a CSV file."""
    return f"{path}.errors.txt"


class _RefusedError(Exception):
    """Nothing is stored, for these reasons."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__(problems[0])
        self.problems = problems


def _tell(connection: "Connection[tuple[object, ...]]", path: str, problems: list[str]) -> None:
    put_file(
        connection,
        path=errors_path(path),
        content="\n".join([*problems, ""]).encode(),
        content_type="text/plain; charset=utf-8",
    )


def _store(connection: "Connection[tuple[object, ...]]", device_id: str, path: str) -> int:
    now = datetime.now(UTC)
    bad: list[str] = []
    waiting: list[Record] = []
    count = 0
    try:
        with stored_file(connection, path) as file:
            if file is None:
                raise _RefusedError([f"There is no file {path}."])
            text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
            for item in read_rows(text, now=now, others=True):
                if isinstance(item, BadLine):
                    bad.append(f"Line {item.number}: {item.reason}")
                else:
                    waiting.append(item[1])
                if len(waiting) >= ROWS_AT_ONCE:
                    count += _send(connection, device_id, waiting, now)
                    waiting = []
                if len(bad) >= TOLD:
                    break
        count += _send(connection, device_id, waiting, now)
    except (CsvError, RecordError) as error:
        raise _RefusedError([str(error)]) from error
    except UnknownDeviceError as error:
        raise _RefusedError([f"There is no device {device_id}."]) from error
    if bad:
        raise _RefusedError(bad)
    return count


def _send(
    connection: "Connection[tuple[object, ...]]",
    device_id: str,
    records: list[Record],
    now: datetime,
) -> int:
    if records:
        store(connection, device_id, records, now=now, most=settings.MUTABLE_DEVICE_ROWS)
    return len(records)
