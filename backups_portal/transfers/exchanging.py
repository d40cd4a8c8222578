"""Export of a device's records as CSV, and import; for owners."""

import io
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import IO, Any

import psycopg
from django.conf import settings
from django.core.paginator import Page
from psycopg import Connection

from backups_portal.accounts.models import Account
from backups_portal.audit.services import record
from backups_portal.projectdb.records import Record, RecordError
from backups_portal.projectdb.variables import UnknownDeviceError, store
from backups_portal.projects.access import Permission, get_project
from backups_portal.projects.connections import project_dsn
from backups_portal.projects.models import Project
from backups_portal.transfers.csvfiles import (
    MAX_BYTES,
    BadLine,
    CsvError,
    read_rows,
    write_rows,
)
from backups_portal.transfers.errors import TransferRefusedError
from backups_portal.ui.paging import page_of

ROWS_AT_ONCE = 10_000
# Of bad lines, this many are told one by one.
TOLD = 100
PREVIEWED = 10
DEVICES_FOUND = """
    FROM device
    WHERE %(sought)s = '' OR strpos(lower(name), lower(%(sought)s)) > 0
          OR id::text = lower(%(sought)s)"""


@dataclass
class Imported:
    """What became of a file.

    Attributes:
        rows: Records that were stored.
        bad: How many lines are no records.
        errors: The first of them.
        preview: The first records, where nothing was to be stored.
    """

    rows: int = 0
    bad: int = 0
    errors: list[BadLine] = field(default_factory=list)
    preview: list[Record] = field(default_factory=list)


class _RefusedError(Exception):
    """Nothing is stored, because a line is bad."""


def page_of_devices(
    project: Project, *, sought: str, number: Any, size: int
) -> Page[tuple[str, str]]:
    """Some of a project's devices, ids and names, by name.

    Args:
        sought: A part of their names, or an id; "" for all.
        number: Of the page; the nearest that exists where it is wrong.

    Raises:
        psycopg.Error: the main database does not answer.
    """
    with psycopg.connect(project_dsn(project), connect_timeout=10) as connection:
        count = partial(_count_devices, connection, sought)
        return page_of(count, partial(_read_devices, connection, sought), number=number, size=size)


def _count_devices(connection: Connection[Any], sought: str) -> int:
    query = f"SELECT count(*) {DEVICES_FOUND}".encode()
    row = connection.execute(query, {"sought": sought}).fetchone()
    return int(row[0]) if row else 0


def _read_devices(
    connection: Connection[Any], sought: str, *, first: int, most: int
) -> list[tuple[str, str]]:
    rows = connection.execute(
        f"SELECT id::text, name {DEVICES_FOUND} ORDER BY name, id"
        " OFFSET %(first)s LIMIT %(most)s".encode(),
        {"sought": sought, "first": first, "most": most},
    )
    return [(str(key), str(name)) for key, name in rows]


def export_csv(
    project: Project, device: str, *, actor: Account, address: str | None = None
) -> Iterator[str]:
    """A device's records as CSV, oldest first, read while it is written.

    Raises:
        Http404, PermissionDenied: the actor does not own the project.
        TransferRefusedError: there is no such device.
    """
    get_project(actor, project.slug, Permission.MANAGE_BACKUPS)
    connection = psycopg.connect(project_dsn(project), connect_timeout=10)
    found = connection.execute("SELECT name FROM device WHERE id::text = %s", [device]).fetchone()
    if found is None:
        connection.close()
        raise TransferRefusedError(f"There is no device {device}.", field="device")
    record(
        action="data.exported",
        actor=actor,
        project=project,
        subject=str(found[0]),
        address=address,
    )
    return write_rows(_read_records(connection, device))


def _read_records(connection: Connection[Any], device: str) -> Iterator[tuple[Any, ...]]:
    with closing(connection), connection.cursor("records") as cursor:
        cursor.itersize = ROWS_AT_ONCE
        cursor.execute(
            """SELECT variable, value, "group", unit, location[0], location[1], metadata::text,
                      time
               FROM variable_record WHERE device = %s ORDER BY time, variable, id""",
            [device],
        )
        yield from cursor


def import_csv(
    project: Project,
    device: str,
    file: IO[bytes],
    *,
    actor: Account,
    good_only: bool = False,
    preview: bool = False,
    address: str | None = None,
) -> Imported:
    """Store the records of a CSV file in one transaction: all or nothing, or the good ones.

    Args:
        good_only: Leave bad lines out; else one bad line is enough that nothing is stored.
        preview: Read the first rows only, and store nothing.

    Raises:
        Http404, PermissionDenied: the actor does not own the project.
        TransferRefusedError: the file cannot be read, is too large, or there is no such device, or
            it does not take so many records.
    """
    get_project(actor, project.slug, Permission.MANAGE_BACKUPS)
    if file.seek(0, io.SEEK_END) > MAX_BYTES:
        raise TransferRefusedError("The file is larger than 200 MB.", field="file")
    file.seek(0)
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    done = Imported()
    try:
        if preview:
            _preview(text, done)
        else:
            _import(project, device, text, done, good_only=good_only)
            record(
                action="data.imported",
                actor=actor,
                project=project,
                subject=device,
                details={"rows": done.rows, "bad": done.bad},
                address=address,
            )
    except CsvError as error:
        raise TransferRefusedError(str(error), field="file") from error
    except RecordError as error:
        raise TransferRefusedError(f"Nothing was stored: {error}.", field="device") from error
    except UnknownDeviceError as error:
        raise TransferRefusedError(f"There is no device {device}.", field="device") from error
    except _RefusedError:
        done.rows = 0
    finally:
        text.detach()
    return done


def _preview(text: io.TextIOWrapper, done: Imported) -> None:
    for item in read_rows(text, now=datetime.now(UTC)):
        if isinstance(item, BadLine):
            _note(done, item)
        else:
            done.preview.append(item[1])
        if len(done.preview) + done.bad >= PREVIEWED:
            return


def _import(
    project: Project, device: str, text: io.TextIOWrapper, done: Imported, *, good_only: bool
) -> None:
    with psycopg.connect(project_dsn(project), connect_timeout=10) as connection:
        waiting: list[Record] = []
        for item in read_rows(text, now=datetime.now(UTC)):
            if isinstance(item, BadLine):
                _note(done, item)
                continue
            if done.bad and not good_only:
                # Only further bad lines are looked for.
                continue
            waiting.append(item[1])
            if len(waiting) >= ROWS_AT_ONCE:
                done.rows += _store(connection, device, waiting)
                waiting = []
        if done.bad and not good_only:
            raise _RefusedError
        done.rows += _store(connection, device, waiting)


def _store(connection: Connection[Any], device: str, records: list[Record]) -> int:
    if records:
        limit = settings.MUTABLE_DEVICE_ROWS
        store(connection, device, records, now=datetime.now(UTC), most=limit)
    return len(records)


def _note(done: Imported, line: BadLine) -> None:
    done.bad += 1
    if len(done.errors) < TOLD:
        done.errors.append(line)
