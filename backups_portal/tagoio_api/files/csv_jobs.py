"""CSV files of devices, written and read by a worker; clients see what became of them as files."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from functools import partial

import psycopg
from django.db import transaction
from psycopg import Connection

from backups_portal.audit.recorder import record
from backups_portal.lib import pgsession
from backups_portal.projectdb.devices import device_name
from backups_portal.projectdb.files import WAITING, delete_files, find_file, put_file, spool_file
from backups_portal.projectdb.tokens import still_may
from backups_portal.projects.database_dsn import project_dsn, who_holds
from backups_portal.projects.models import Project
from backups_portal.transfers.commit_guard import guarded
from backups_portal.transfers.csv_files import csv_import
from backups_portal.transfers.csv_files.csv_format import MAX_BYTES, TooLargeError, write_csv
from backups_portal.transfers.csv_files.csv_import import Imported, Wishes
from backups_portal.transfers.errors import TransferRefusedError

# Of bad lines, so many are told one by one.
TOLD = 1000
LOCKED = (
    "Another session has kept data locked for too long. It will be tried again in a few minutes."
)
BY_API = {"by": "API"}


def export_file(
    project_id: uuid.UUID,
    device_id: str,
    path: str,
    *,
    headers: bool,
    between: tuple[datetime, datetime] | None,
    token_id: str = "",
) -> None:
    """Write a device's records into a file of the project; what stops it is in a file beside it.

    Args:
        token_id: Of the token that asked for it; "" in messages from before it was said.
    """
    project = Project.objects.active().filter(pk=project_id).first()
    if project is None:
        return
    with (
        pgsession.connect(project_dsn(project), autocommit=True) as connection,
        _told(connection, project, path),
    ):
        name = device_name(connection, device_id)
        try:
            _check_right(connection, token_id, device_id)
            with guarded(connection, partial(_running, project_id)):
                size = write_csv(
                    connection, device_id, path, headers=headers, between=between, most=MAX_BYTES
                )
                delete_files(connection, [errors_path(path)])
                _check_right(connection, token_id, device_id)
        except TooLargeError:
            size = 0
            most = f"The records take more than {MAX_BYTES / 1e6:g} MB."
            _tell(connection, errors_path(path), [most])
        except TransferRefusedError as error:
            size = 0
            _tell(connection, errors_path(path), [error.message])
    details = {"file": path, "bytes": size, **BY_API}
    record(action="data.exported", actor=None, project=project, subject=name, details=details)


def import_file(
    project_id: uuid.UUID,
    job_id: str,
    device_id: str,
    path: str,
    *,
    again: bool = False,
    token_id: str = "",
) -> None:
    """Store the records of a file: all of them, or none if a line is bad.

    A file beside it says which lines are bad, or how many rows were skipped because the device has
    them already.

    The mark that a job is done is stored with its rows: one that is sent twice is done once.

    Args:
        again: Store those rows too.
        token_id: As for export_file.
    """
    project = Project.objects.active().filter(pk=project_id).first()
    if project is None:
        return
    wishes = Wishes(again=again, others=True, told=TOLD)
    with (
        pgsession.connect(project_dsn(project), autocommit=True) as connection,
        _told(connection, project, path),
    ):
        name = device_name(connection, device_id)
        try:
            _check_right(connection, token_id, device_id)
            with guarded(connection, partial(_running, project_id)):
                mark = f"{WAITING}jobs/{job_id}"
                done = _import_once(connection, mark, device_id, path, wishes)
                _check_right(connection, token_id, device_id)
        except TransferRefusedError as error:
            done = Imported(wishes, bad=1)
            delete_files(connection, [skipped_path(path)])
            _tell(connection, errors_path(path), [error.message])
    if done is None:
        return
    counts = {"rows": done.rows, "already there": done.known, "bad": done.bad}
    details = {"file": path, **counts, **BY_API}
    record(action="data.imported", actor=None, project=project, subject=name, details=details)


def _import_once(
    connection: Connection, mark: str, device_id: str, path: str, wishes: Wishes
) -> Imported | None:
    """Do what a job asks for, unless it is done; say in files beside it what kept rows out."""
    done = Imported(wishes)
    # A job that is delivered twice at once waits for itself here.
    connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [mark])
    if find_file(connection, mark):
        return None
    delete_files(connection, [errors_path(path), skipped_path(path)])
    try:
        done = _import(connection, device_id, path, wishes)
        problems = [f"Line {line.number}: {line.reason}" for line in done.errors]
    except TransferRefusedError as error:
        done.bad, problems = 1, [error.message]
    if problems:
        _tell(connection, errors_path(path), problems)
    elif done.known:
        _tell(connection, skipped_path(path), [done.in_words()])
    put_file(connection, path=mark, content=b"")
    return done


def _import(connection: Connection, device_id: str, path: str, wishes: Wishes) -> Imported:
    if find_file(connection, path) is None:
        raise TransferRefusedError(f"There is no file {path}.")
    with spool_file(connection, path) as file:
        return csv_import.import_file(connection, device_id, file, wishes)


def errors_path(path: str) -> str:
    """Where it is said what is wrong with a CSV file."""
    return f"{path}.errors.txt"


def skipped_path(path: str) -> str:
    """Where it is said how many rows of a CSV file the device had already."""
    return f"{path}.skipped.txt"


@contextmanager
def _told(connection: Connection, project: Project, path: str) -> Iterator[None]:
    """Say in the file of errors who holds the lock that stops the work, which is tried again."""
    try:
        yield
    except psycopg.errors.LockNotAvailable:
        held = who_holds(project, of_rows=True)
        _tell(connection, errors_path(path), [f"{LOCKED} {held}".strip()])
        raise


@contextmanager
def _running(project_id: uuid.UUID) -> Iterator[None]:
    """Keep a project from being shut down."""
    with transaction.atomic():
        running = Project.objects.active().select_for_update(no_key=True).filter(pk=project_id)
        if running.first() is None:
            raise TransferRefusedError("The project was shut down in the meantime.")
        yield


def _check_right(connection: Connection, token_id: str, device_id: str) -> None:
    """Ask again what was asked when the job was queued, and hold it until a transaction ends.

    Raises:
        TransferRefusedError: the token was revoked, or the device deleted.
    """
    if token_id and not still_may(connection, token_id, "write"):
        raise TransferRefusedError("The token that asked for this was revoked or lost its right.")
    held = connection.execute("SELECT FROM device WHERE id = %s FOR KEY SHARE", [device_id])
    if held.fetchone() is None:
        raise TransferRefusedError(f"There is no device {device_id}.")


def _tell(connection: Connection, path: str, lines: list[str]) -> None:
    put_file(
        connection,
        path=path,
        content="\n".join([*lines, ""]).encode(),
        content_type="text/plain; charset=utf-8",
    )
