"""Records as CSV in TagoIO's format: variable, value, group, unit, location, metadata, time.

A value that reads as a number is a number, `true` and `false` are booleans, an empty one is none:
the format has no types, so that a text such as "42" comes back as the number. A location is
"latitude,longitude".
"""

import csv
import io
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from backups_portal.projectdb.ids import new_group
from backups_portal.projectdb.records import Record, RecordError, parse_record

HEADERS = ("variable", "value", "group", "unit", "location", "metadata", "time")
MAX_BYTES = 200_000_000
MAX_ROWS = 1_000_000
LONGEST_FIELD = 128 * 1024


class CsvError(ValueError):
    """The file as a whole cannot be read; the message is fit for a page."""


@dataclass(frozen=True)
class BadLine:
    """A line that is no record.

    Attributes:
        number: Counted from 1, which is the line of headers.
    """

    number: int
    reason: str


def write_rows(rows: Iterable[tuple[Any, ...]]) -> Iterator[str]:
    """CSV text, in pieces.

    Args:
        rows: variable, value, group, unit, longitude, latitude, metadata as JSON text, time.
    """
    stream = io.StringIO()
    writer = csv.writer(stream)
    writer.writerow(HEADERS)
    for variable, value, group, unit, longitude, latitude, metadata, moment in rows:
        place = "" if latitude is None else f"{latitude!r},{longitude!r}"
        written = moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        writer.writerow(
            [variable, _written(value), group, unit or "", place, metadata or "", written]
        )
        if stream.tell() > 1 << 16:
            yield stream.getvalue()
            stream.seek(0)
            stream.truncate()
    yield stream.getvalue()


def _written(value: Any) -> str:
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, bool | int | float) else str(value)


def read_rows(
    lines: Iterable[str], *, now: datetime, others: bool = False
) -> Iterator[tuple[int, Record] | BadLine]:
    """The records of a file, and its bad lines, in their order.

    Args:
        others: Leave columns out that are not known, instead of refusing the file.

    Raises:
        CsvError: headers are missing or unknown, or there are too many rows.
    """
    csv.field_size_limit(LONGEST_FIELD)
    reader = csv.reader(lines, strict=True)
    group = new_group()
    try:
        names = _headers(next(reader, []), others=others)
        for count, values in enumerate(_rows(reader)):
            if count >= MAX_ROWS:
                raise CsvError(f"The file has more than {MAX_ROWS:,} rows.")
            yield _read(reader.line_num, names, values, now, group)
    except UnicodeDecodeError as error:
        raise CsvError("The file is not UTF-8 text.") from error
    except csv.Error as error:
        raise CsvError(f"Line {reader.line_num} is not CSV: {error}.") from error


def _rows(reader: Iterable[list[str]]) -> Iterator[list[str]]:
    return (values for values in reader if values)


def _headers(values: list[str], *, others: bool) -> list[str]:
    names = [value.strip().lower().removeprefix("\ufeff") for value in values]
    if "variable" not in names:
        raise CsvError(f"The first line must name the columns: {', '.join(HEADERS)}.")
    unknown = [name for name in names if name not in HEADERS]
    if unknown and not others:
        raise CsvError(f"There is no column {unknown[0]!r}; there are {', '.join(HEADERS)}.")
    if len(set(names)) < len(names):
        raise CsvError("The first line names a column twice.")
    return names


def _read(
    number: int, names: list[str], values: list[str], now: datetime, group: str
) -> tuple[int, Record] | BadLine:
    if len(values) != len(names):
        return BadLine(number, f"it has {len(values)} fields instead of {len(names)}")
    texts = dict(zip(names, values, strict=True))
    try:
        item = {name: text or None for name, text in texts.items()}
        item |= {
            "value": _value(texts.get("value", "")),
            "location": _location(texts.get("location", "")),
            "metadata": _metadata(texts.get("metadata", "")),
        }
        return number, parse_record(item, now=now, group=group)
    except RecordError as error:
        return BadLine(number, error.reason)


def _value(text: str) -> Any:
    if not text:
        return None
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    try:
        number = float(text)
    except ValueError:
        return text
    is_plain = math.isfinite(number) and text[-1].isdigit() and "_" not in text
    return number if is_plain else text


def _location(text: str) -> Any:
    if not text:
        return None
    if text.startswith("{"):
        return _json(text, "location")
    latitude, _, longitude = text.replace(";", ",").partition(",")
    return {"lat": latitude, "lng": longitude}


def _metadata(text: str) -> Any:
    return _json(text, "metadata") if text else None


def _json(text: str, name: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise RecordError(f"{name} is not JSON") from error
