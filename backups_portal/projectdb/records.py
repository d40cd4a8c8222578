"""Data records as clients send them: checked, and brought into the form that the database keeps.

The rules are those of the TagoIO API's data routes.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

MAX_VARIABLE = 100
MAX_UNIT = 25
MAX_GROUP = 100
MAX_VALUE_BYTES = 6 * 1024
MAX_METADATA_BYTES = 10 * 1024
# Integers beyond this lose digits as a double.
MAX_INTEGER = 2**53


class RecordError(ValueError):
    """A record that cannot be stored; the message says which and why."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record, ready for the table `variable` and its series.

    Attributes:
        type: number, string, boolean or none.
        number: The number, or 0 and 1 for a boolean.
        location: PostgreSQL's text of a point: (longitude,latitude).
        metadata: JSON text.
    """

    variable: str
    type: str
    unit: str | None
    number: float | None
    text: str | None
    group: str
    time: datetime
    location: str | None
    metadata: str | None


def parse_record(item: Mapping[str, Any], *, now: datetime, group: str) -> Record:
    """The record behind what a client sent; keys that are not known are ignored.

    Args:
        now: The time of a record that has none.
        group: The group of a record that has none.

    Raises:
        RecordError: a value is missing, of the wrong type, or too long.
    """
    kind, number, text = _value(item.get("value"))
    return Record(
        variable=_text(item.get("variable"), "variable", MAX_VARIABLE, required=True),
        type=kind,
        unit=_text(item.get("unit"), "unit", MAX_UNIT) or None,
        number=number,
        text=text,
        group=_text(item.get("group") or item.get("serie"), "group", MAX_GROUP) or group,
        time=parse_moment(item["time"]) if item.get("time") is not None else now,
        location=_location(item.get("location")),
        metadata=_metadata(item.get("metadata")),
    )


def _value(value: object) -> tuple[str, float | None, str | None]:
    if value is None:
        return "none", None, None
    if isinstance(value, bool):
        return "boolean", float(value), None
    if isinstance(value, int | float):
        if not math.isfinite(value) or (isinstance(value, int) and abs(value) > MAX_INTEGER):
            raise RecordError("value is not a finite number of double precision")
        return "number", float(value), None
    if isinstance(value, str):
        if len(value.encode()) > MAX_VALUE_BYTES:
            raise RecordError(f"value is longer than {MAX_VALUE_BYTES} bytes")
        return "string", None, _storable(value, "value")
    raise RecordError("value must be a string, a number or a boolean")


def _text(value: object, name: str, longest: int, *, required: bool = False) -> str:
    if value is None and not required:
        return ""
    if not isinstance(value, str) or (required and not value):
        raise RecordError(f"{name} must be a text")
    if len(value) > longest:
        raise RecordError(f"{name} is longer than {longest} characters")
    return _storable(value, name)


def _storable(text: str, name: str) -> str:
    if "\0" in text:
        raise RecordError(f"{name} holds a NUL character, which PostgreSQL cannot store")
    return text


def parse_moment(value: object) -> datetime:
    """A moment in UTC with milliseconds; finer digits are cut.

    Accepts a datetime, ISO 8601 with or without zone (without means UTC), a date, and
    milliseconds since 1970.

    Raises:
        RecordError: it is none of these.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        if isinstance(value, int | float):
            moment = datetime.fromtimestamp(value / 1000, UTC)
        elif isinstance(value, str):
            moment = datetime.fromisoformat(value.strip())
        elif isinstance(value, datetime):
            moment = value
        else:
            raise TypeError
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return moment.astimezone(UTC).replace(microsecond=moment.microsecond // 1000 * 1000)
    except (TypeError, ValueError, OverflowError, OSError) as error:
        raise RecordError(f"{value!r} is not a time") from error


def _location(value: object) -> str | None:
    if value is None:
        return None
    try:
        if not isinstance(value, Mapping):
            raise TypeError
        if "coordinates" in value:
            longitude, latitude = (float(number) for number in value["coordinates"][:2])
        else:
            longitude, latitude = float(value["lng"]), float(value["lat"])
    except (KeyError, TypeError, ValueError) as error:
        raise RecordError("location must be {lat, lng} or a GeoJSON point") from error
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):
        raise RecordError("location must be within ±90 degrees latitude and ±180 longitude")
    return f"({longitude!r},{latitude!r})"


def _metadata(value: object) -> str | None:
    if value is None:
        return None
    if not isinstance(value, dict | list):
        raise RecordError("metadata must be an object")
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    if len(text.encode()) > MAX_METADATA_BYTES:
        raise RecordError(f"metadata is longer than {MAX_METADATA_BYTES} bytes")
    return _storable(text, "metadata")
