"""Export and import a device's records as CSV, for owners."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import IO

import django.db
import psycopg
from django.db import transaction
from psycopg import Connection, ServerCursor

from backups_portal.accounts.models import Account
from backups_portal.audit.recorder import record
from backups_portal.lib import pgsession
from backups_portal.lib.database_outage import DJANGO_ERRORS
from backups_portal.lib.leases import LeaseLostError
from backups_portal.lib.loggers import get_logger
from backups_portal.projectdb.devices import device_name
from backups_portal.projectdb.import_turns import TurnTakenError
from backups_portal.projectdb.record_csv import RecordRow, write_rows
from backups_portal.projects.access import Permission, get_project, hold_right
from backups_portal.projects.database_dsn import project_dsn, who_holds
from backups_portal.projects.models import Project
from backups_portal.transfers.commit_guard import guarded
from backups_portal.transfers.csv_files.csv_import import Imported, ImportOptions, import_file
from backups_portal.transfers.csv_files.import_line import (
    import_under_way,
    remove_marker,
    store_marker,
    write_line,
)
from backups_portal.transfers.errors import SHUT_DOWN, TransferRefusedError

log = get_logger(__name__)

ROWS_AT_ONCE = 10_000
RIGHT_SECONDS = 60.0
DEFAULT = ImportOptions()
LOCKED = "another session keeps data locked."
UNDER_WAY = "a transfer into this project is under way. Import the file once it has ended."
INTERRUPTED = "Nothing was imported: the import was interrupted. Try again."


def export_csv(project: Project, device: str, *, actor: Account) -> Iterator[str]:
    """Export a device's records as CSV, oldest first, in pieces.

    Raises:
        Http404, PermissionDenied: the actor does not own the project.
        TransferRefusedError: the device does not exist.
        RightLostError: the actor has lost the right meanwhile; raised by the pieces.
    """
    get_project(actor, project.slug, Permission.MANAGE_BACKUPS)
    connection = pgsession.connect(project_dsn(project), settings=pgsession.PAGE)
    try:
        name, records = _find_records(connection, device)
    except BaseException:
        connection.close()
        raise
    record(action="data.exported", actor=actor, project=project, subject=name)

    return write_rows(_read(connection, records, partial(_check_right, actor, project)))


def _check_right(actor: Account, project: Project) -> None:
    """Check again what was checked when the file was begun, maybe hours ago."""
    try:
        with transaction.atomic():
            hold_right(actor, Permission.MANAGE_BACKUPS, project)
    except DJANGO_ERRORS:
        # The database may be restarting; the file need not end for that.
        log.warning("could not check an export's right", project=project.pk, exc_info=True)
        django.db.connection.close()


def _find_records(connection: Connection, device: str) -> tuple[str, ServerCursor]:
    """Find a device's name, and open a cursor on its records.

    Raises:
        TransferRefusedError: the device does not exist.
    """
    found = connection.execute("SELECT name FROM device WHERE id::text = %s", [device]).fetchone()
    if found is None:
        raise TransferRefusedError(f"There is no device {device}.", field="device")
    cursor = connection.cursor("records")
    cursor.itersize = ROWS_AT_ONCE
    cursor.execute(
        """SELECT variable, value, "group", unit, location[0], location[1], metadata::text, time
           FROM variable_record WHERE device = %s ORDER BY time, variable, id""",
        [device],
    )
    return str(found[0]), cursor


def _read(
    connection: Connection, records: ServerCursor, check_right: Callable[[], None]
) -> Iterator[RecordRow]:
    checked = time.monotonic()
    with closing(connection), records:
        for row in records:
            # A slow client reads for hours.
            if time.monotonic() - checked > RIGHT_SECONDS:
                check_right()
                checked = time.monotonic()
            yield row


def import_csv(
    project: Project,
    device: str,
    file: IO[bytes],
    options: ImportOptions = DEFAULT,
    *,
    actor: Account,
) -> Imported:
    """Store the records of a CSV file, or preview it; see csv_import.py.

    Raises:
        Http404, PermissionDenied: the actor does not own the project.
        RightLostError: the actor was removed while the file was read.
        TransferRefusedError: the file or device is refused, a transfer is under way, or another
            session locks the device.
    """
    get_project(actor, project.slug, Permission.MANAGE_BACKUPS)
    try:
        with pgsession.connect(
            project_dsn(project), autocommit=True, settings=pgsession.PAGE
        ) as connection:
            if options.is_preview:
                with guarded(connection, partial(_owned, actor, project)):
                    return import_file(connection, device, file, options)
            return _import(connection, project, device, file, options, actor)
    except TurnTakenError as error:
        raise TransferRefusedError(f"Nothing was imported: {UNDER_WAY}", status=409) from error
    except psycopg.errors.LockNotAvailable as error:
        held = who_holds(project, of_rows=True)
        raise TransferRefusedError(f"Nothing was imported: {LOCKED} {held}".strip()) from error
    except LeaseLostError as error:
        raise TransferRefusedError(INTERRUPTED, status=409) from error


@contextmanager
def _owned(actor: Account, project: Project) -> Iterator[None]:
    """Hold the actor's right in a transaction of the portal's database."""
    with transaction.atomic():
        hold_right(actor, Permission.MANAGE_BACKUPS, project)
        yield


def _hold_running(project: Project) -> None:
    """Keep the project from being shut down until the transaction ends.

    Raises:
        TransferRefusedError: it is shut down already.
    """
    running = Project.objects.active().select_for_update(no_key=True)
    if running.filter(pk=project.pk).first() is None:
        raise TransferRefusedError(SHUT_DOWN.format(name=project.name), status=409)


def _import(
    connection: Connection,
    project: Project,
    device: str,
    file: IO[bytes],
    options: ImportOptions,
    actor: Account,
) -> Imported:
    """Store the records and their line in the activity; see import_line.py."""

    @contextmanager
    def published() -> Iterator[None]:
        with _owned(actor, project):
            _hold_running(project)
            write_line(row, actor, subject=subject, counts=done.counts)
            yield

    subject = device_name(connection, device)
    with import_under_way(project) as row:
        with guarded(connection, published):
            done = import_file(connection, device, file, options)
            store_marker(connection, row, actor, subject=subject, counts=done.counts)
        remove_marker(connection, row)
    return done
