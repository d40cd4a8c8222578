"""Import a CSV file into a device, for pages, commands and jobs."""

import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import IO

import psycopg
from django.conf import settings
from psycopg import Connection

from backups_portal.lib.json_types import JsonObject
from backups_portal.projectdb.duplicate_records import Duplicates
from backups_portal.projectdb.ids import new_group
from backups_portal.projectdb.import_turns import exclude_moves
from backups_portal.projectdb.record_writer import (
    UnknownDeviceError,
    check_room,
    find_series,
    lock_device,
    store,
)
from backups_portal.projectdb.records import Record, RecordError
from backups_portal.transfers.csv_files.csv_format import (
    MAX_BYTES,
    BadLine,
    CsvError,
    open_text,
    read_rows,
)
from backups_portal.transfers.errors import TransferRefusedError
from backups_portal.ui.formats import count

ROWS_AT_ONCE = 10_000
# The most bad lines that are listed individually.
MAX_LISTED = 100
PREVIEWED = 10


@dataclass(frozen=True)
class ImportOptions:
    """The options of an import.

    Attributes:
        good_only: Skip bad lines; otherwise a single bad line prevents the whole import.
        again: Also store rows that the device already has.
        is_preview: Check everything, but store nothing.
        others: Ignore unknown columns instead of refusing the file.
        max_listed: The most bad lines that are listed individually.
    """

    good_only: bool = False
    again: bool = False
    is_preview: bool = False
    others: bool = False
    max_listed: int = MAX_LISTED


@dataclass
class Imported:
    """The outcome of an import, or of its preview.

    Attributes:
        rows: The number of records that were stored, or would be.
        known: The number of skipped records that the device already has.
        bad: The number of bad lines.
        errors: The first bad lines.
        preview: The first records.
    """

    options: ImportOptions
    rows: int = 0
    known: int = 0
    bad: int = 0
    errors: list[BadLine] = field(default_factory=list)
    preview: list[Record] = field(default_factory=list)

    @property
    def counts(self) -> JsonObject:
        """Return the counts that the activity shows."""
        return {"rows": self.rows, "already there": self.known, "bad": self.bad}

    @property
    def is_refused(self) -> bool:
        """Tell whether bad lines prevent the whole import."""
        return bool(self.bad) and not self.options.good_only

    def in_words(self) -> str:
        """Describe the outcome in sentences."""
        would_be = "would be" if self.options.is_preview else ""
        if self.is_refused or not (self.rows or self.known or self.bad):
            empty = "" if self.bad else ": the file has no rows"
            said = [f"Nothing {would_be or 'was'} imported{empty}."]
        else:
            said = [f"{count(self.rows, 'row')} {would_be or _were(self.rows)} imported."]
        if self.known and not self.is_refused:
            exist = "exists" if self.known == 1 else "exist"
            skipped = would_be or _were(self.known)
            said.append(f"{count(self.known, 'row')} already {exist} and {skipped} skipped.")
        if self.is_refused:
            said.append(f"{count(self.bad, 'row')} {'is' if self.bad == 1 else 'are'} bad.")
        elif self.bad:
            said.append(f"{count(self.bad, 'bad row')} {would_be or _were(self.bad)} skipped.")
        return " ".join(said)


def _were(number: int) -> str:
    return "was" if number == 1 else "were"


def import_file(
    connection: Connection, device: str, file: IO[bytes], options: ImportOptions
) -> Imported:
    """Store a file's records in one transaction: all, none, or the good ones.

    A preview makes the same checks without storing. An import waits for another one into the same
    device, so that a second press finds what the first one has stored; and for a transfer's batch
    or undo.

    Raises:
        TransferRefusedError: the file is unreadable or too large, the device does not exist, or it
            has no room for so many records.
        TurnTakenError: it has waited too long for a transfer.
        psycopg.errors.LockNotAvailable: it has waited too long for another session.
    """
    if file.seek(0, io.SEEK_END) > MAX_BYTES:
        raise TransferRefusedError(f"The file is larger than {MAX_BYTES / 1e6:g} MB.", field="file")
    file.seek(0)
    done = Imported(options)
    try:
        with connection.transaction() as transaction, open_text(file) as text:
            _import(connection, device, text, done)
            if done.is_refused:
                done.rows = 0
                raise psycopg.Rollback(transaction)
    except CsvError as error:
        raise TransferRefusedError(str(error), field="file") from error
    except RecordError as error:
        raise TransferRefusedError(f"Nothing was imported: {error}.", field="device") from error
    except UnknownDeviceError as error:
        raise TransferRefusedError(f"There is no device {device}.", field="device") from error
    return done


def _import(connection: Connection, device: str, text: io.TextIOWrapper, done: Imported) -> None:
    now, group, options = datetime.now(UTC), new_group(), done.options
    if options.is_preview:
        find_series(connection, device, [])
    else:
        exclude_moves(connection, device)
        lock_device(connection, device)
    duplicates = Duplicates(connection, device, any_group=group)
    records = _good(read_rows(text, now=now, group=group, others=options.others), done)
    while batch := list(islice(records, ROWS_AT_ONCE)):
        done.preview += batch[: PREVIEWED - len(done.preview)]
        if done.is_refused:
            # Only look for more bad lines.
            continue
        new = batch if options.again else duplicates.new_of(batch)
        done.known += len(batch) - len(new)
        done.rows += len(new)
        if new and not options.is_preview:
            store(connection, device, new, now=now, most=settings.MUTABLE_DEVICE_ROWS)
    if options.is_preview and done.rows and settings.MUTABLE_DEVICE_ROWS:
        check_room(connection, device, done.rows, settings.MUTABLE_DEVICE_ROWS)


def _good(items: Iterator[tuple[int, Record] | BadLine], done: Imported) -> Iterator[Record]:
    """Yield the good records, and collect the bad lines."""
    for item in items:
        if not isinstance(item, BadLine):
            yield item[1]
            continue
        done.bad += 1
        if len(done.errors) < done.options.max_listed:
            done.errors.append(item)
