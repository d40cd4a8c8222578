"""Read records from CSV in TagoIO's format, and let PostgreSQL write them.

The columns are variable, value, group, unit, location, metadata, time. An extra one, `value_type`,
tells whether a value is a number, a text (`string`), a boolean or none, so that a text such as
"007" stays one; other readers ignore it. Without it, a value that is written like a number is one
unless it would lose digits, `true` and `false` are booleans, and an empty value is none. A location
is "latitude,longitude" or JSON. A text that a spreadsheet would run is escaped by an apostrophe
(ui/csv_escaping.py).
"""

import csv
import difflib
import io
import json
import math
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import IO

from psycopg import Connection

from backups_portal.lib.json_types import JsonObject
from backups_portal.projectdb.files import put_file
from backups_portal.projectdb.record_csv import HEADERS
from backups_portal.projectdb.records import Record, RecordError, parse_record
from backups_portal.transfers.errors import TransferRefusedError
from backups_portal.ui.csv_escaping import FORMULA_PATTERN, as_meant

# Columns of exports that an import ignores, because each project generates its own.
MADE_BY_PROJECTS = frozenset({"id", "device", "created_at"})
TEXTS = ("variable", "group", "unit")
MAX_BYTES = 200_000_000
MAX_ROWS = 1_000_000
MAX_FIELD = 128 * 1024

# Numbers as in JSON, and ".5".
PLAIN_NUMBER = re.compile(
    r"-?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII
)
INTEGER = re.compile(r"-?[0-9]+", re.ASCII)
ANY_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?", re.ASCII)

SAVE_AS_CSV = "Save it as “CSV UTF-8” with commas between the columns."
UTF_16 = f"The file is UTF-16 text. {SAVE_AS_CSV}"
WORKBOOK = f"The file is a workbook of a spreadsheet, or a ZIP archive. {SAVE_AS_CSV}"
SIGNATURES = {
    b"PK\x03\x04": WORKBOOK,
    b"\xd0\xcf\x11\xe0": WORKBOOK,
    b"\x1f\x8b": "The file is compressed. Unpack it first.",
    b"\xff\xfe": UTF_16,
    b"\xfe\xff": UTF_16,
}
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars (|)"}


# A text that a spreadsheet would run gets an apostrophe, as ui/csv_escaping.py puts it.
HARMLESS = "CASE WHEN {0} ~ %(formula)s THEN chr(39) || {0} ELSE {0} END"
COLUMNS = f"""COPY (
    SELECT id, {HARMLESS.format("variable")} AS variable,
           CASE value_type WHEN 'string' THEN {HARMLESS.format("value_text")} ELSE value_text END
               AS value,
           {HARMLESS.format('"group"')} AS "group", {HARMLESS.format("unit")} AS unit,
           CASE WHEN location IS NOT NULL THEN json_build_object(
               'type', 'Point', 'coordinates', json_build_array(location[0], location[1])) END
               AS location,
           metadata, to_char(time, 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"') AS time, value_type
    FROM variable_record,
         LATERAL (SELECT value #>> '{{}}', coalesce(jsonb_typeof(value), 'none'))
             AS read (value_text, value_type)
    WHERE device = %(device)s"""  # noqa: S608 - constants
BETWEEN = " AND time >= %(start)s AND time < %(end)s"
ORDERED = " ORDER BY variable_record.time, id) TO STDOUT (FORMAT csv, HEADER {})"


class CsvError(ValueError):
    """The file as a whole cannot be read; the message can be shown on a page."""


@dataclass(frozen=True)
class BadLine:
    """A line that is not a valid record.

    Attributes:
        number: Its number in the file; the headers are line 1.
    """

    number: int
    reason: str


def write_csv(
    connection: Connection,
    device_id: str,
    path: str,
    *,
    headers: bool,
    between: tuple[datetime, datetime] | None,
    most: int,
) -> int:
    """Store a file of a device's records, oldest first, replacing an old one.

    PostgreSQL writes it, with the ids of the records and locations as GeoJSON.

    Args:
        between: Start (inclusive) and end (exclusive); None for all records.
        most: The maximum size of the file in bytes.

    Returns:
        The size of the file in bytes.

    Raises:
        TransferRefusedError: the file would be larger than `most`.
    """
    start, end = between or (None, None)
    statement = f"{COLUMNS}{BETWEEN if between else ''}{ORDERED.format(headers)}"
    values = {"device": device_id, "start": start, "end": end, "formula": FORMULA_PATTERN}
    file = io.BytesIO()
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL timezone = 'UTC'")
        with cursor.copy(statement.encode(), values) as copy:
            for piece in copy:
                file.write(piece)
                if file.tell() > most:
                    most_mb = f"{most / 1e6:g} MB"
                    raise TransferRefusedError(f"The records take more than {most_mb}.")
    content = file.getvalue()
    put_file(connection, path=path, content=content, content_type="text/csv")
    return len(content)


@contextmanager
def open_text(file: IO[bytes]) -> Iterator[io.TextIOWrapper]:
    """Open a file as UTF-8 text, with or without a byte order mark.

    Raises:
        CsvError: the file starts like another format.
    """
    head = file.read(4)
    file.seek(0)
    for signature, reason in SIGNATURES.items():
        if head.startswith(signature):
            raise CsvError(reason)
    if b"\0" in head:
        raise CsvError(UTF_16)
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    try:
        yield text
    finally:
        text.detach()


def read_rows(
    lines: Iterable[str], *, now: datetime, group: str, others: bool = False
) -> Iterator[tuple[int, Record] | BadLine]:
    """Read the records of a file and its bad lines, in order.

    Args:
        now: The time of a row without one.
        group: The group of a row without one.
        others: Ignore unknown columns instead of refusing the file.

    Raises:
        CsvError: headers are missing or unknown, or there are too many rows.
    """
    csv.field_size_limit(MAX_FIELD)
    reader = csv.reader(lines, strict=True)
    try:
        names = _headers(_first_row(reader), others=others)
        for count, values in enumerate(filter(None, reader)):
            if count >= MAX_ROWS:
                raise CsvError(f"The file has more than {MAX_ROWS:,} rows.")
            yield _read(reader.line_num, names, values, now, group)
    except UnicodeDecodeError as error:
        raise CsvError(f"The file is not UTF-8 text. {SAVE_AS_CSV}") from error
    except csv.Error as error:
        raise CsvError(f"Line {reader.line_num} is not CSV: {error}.") from error


def _first_row(reader: Iterator[list[str]]) -> list[str]:
    """Read the names of the columns; skip Excel's line `sep=,`."""
    first = next(reader, [])
    return next(reader, []) if first == ["sep=", ""] else first


def _headers(values: list[str], *, others: bool) -> list[str]:
    names = [value.strip().lower().removeprefix("\ufeff") for value in values]
    if "variable" not in names:
        raise CsvError(_no_headers(",".join(names), names))
    known = {*HEADERS, *MADE_BY_PROJECTS}
    unknown = [name for name in names if name not in known]
    if unknown and not others:
        raise CsvError(_unknown(unknown[0]))
    if len(set(names)) < len(names):
        raise CsvError("The first line names a column twice.")
    return names


def _no_headers(line: str, names: list[str]) -> str:
    for separator, what in SEPARATORS.items():
        cells = [cell.strip() for cell in line.split(separator)]
        if "variable" in cells or line.startswith(f"sep={separator}"):
            return f"The file has {what} between its columns instead of commas. {SAVE_AS_CSV}"
    wanted = f"The first line must name the columns: {', '.join(HEADERS)}."
    close = [name for name in names if difflib.get_close_matches(name, ["variable"])]
    if close:
        return f"{wanted} Is {close[0]!r} the column “variable”?"
    begin = f"It begins with {names[0][:40]!r}." if names and names[0] else "It is empty."
    return f"{wanted} {begin}"


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name, HEADERS, n=1)
    meant = f" Is it {close[0]!r}?" if close else ""
    return f"There is no column {name[:40]!r}; there are {', '.join(HEADERS)}.{meant}"


def _read(
    number: int, names: list[str], values: list[str], now: datetime, group: str
) -> tuple[int, Record] | BadLine:
    if len(values) != len(names):
        return BadLine(number, f"it has {len(values)} fields instead of {len(names)}")
    texts = dict(zip(names, values, strict=True))
    try:
        item: JsonObject = {name: as_meant(texts.get(name, "")) or None for name in TEXTS}
        item |= {
            "time": texts.get("time") or None,
            "value": _value(texts.get("value", ""), texts.get("value_type", "")),
            "location": _location(texts.get("location", "")),
            "metadata": _json(texts.get("metadata", ""), "metadata"),
        }
        return number, parse_record(item, now=now, group=group)
    except RecordError as error:
        return BadLine(number, error.reason)


def _value(text: str, kind: str) -> object:
    kind, word = kind.strip().lower(), text.strip().lower()
    if not kind:
        return _untyped(text)
    if kind == "string":
        return as_meant(text)
    if kind == "none" and not text:
        return None
    if kind == "boolean" and word in ("true", "false"):
        return word == "true"
    if kind == "number" and ANY_NUMBER.fullmatch(word):
        return float(word)
    if kind in ("none", "boolean", "number"):
        raise RecordError(f"the value {text[:40]!r} is not of the type {kind}")
    raise RecordError(f"value_type is {kind[:40]!r}: number, string, boolean and none are known")


def _untyped(text: str) -> object:
    if not text:
        return None
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    written = text.strip(" ")
    if not PLAIN_NUMBER.fullmatch(written):
        return as_meant(text)
    number = float(written)
    return number if math.isfinite(number) and not _loses_digits(written, number) else text


def _loses_digits(written: str, number: float) -> bool:
    """Tell whether a double would lose digits, as of a SIM card's number."""
    if not INTEGER.fullmatch(written):
        return False
    return Decimal(written) not in (Decimal(number), Decimal(repr(number)))


def _location(text: str) -> object:
    if not text or text.startswith("{"):
        return _json(text, "location")
    latitude, _, longitude = text.replace(";", ",").partition(",")
    return {"lat": latitude, "lng": longitude}


def _json(text: str, name: str) -> object:
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{name} is not JSON") from error
