"""Check data records from clients, and convert them to the stored form.

The rules are those of the TagoIO API's data routes.
"""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from backups_portal.projectdb.stored_json import is_written_as

MAX_VARIABLE = 100
MAX_UNIT = 25
MAX_GROUP = 100
MAX_VALUE_BYTES = 6 * 1024
MAX_METADATA_BYTES = 10 * 1024
# Doubles represent every integer up to this one.
MAX_INTEGER = 2**53
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_as_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


class RecordError(ValueError):
    """A record that cannot be stored.

    Attributes:
        reason: Why, fit for the client.
        index: The record's position in the request, from 0; None for the request itself.
    """

    def __init__(self, reason: str, *, index: int | None = None) -> None:
        super().__init__(reason if index is None else f"record {index}: {reason}")
        self.reason = reason
        self.index = index


class Record(NamedTuple):
    """One record, ready for the table `variable` and its series.

    Attributes:
        type: number, string, boolean or none.
        number: The number, or 0 and 1 for a boolean.
        location: Longitude and latitude.
        metadata: JSON text.
    """

    variable: str
    type: str
    unit: str | None
    number: float | None
    text: str | None
    group: str
    time: datetime
    location: tuple[float, float] | None
    metadata: str | None


# Skips the constructor of named tuples, which is written in Python and doubles the time.
_new_tuple = tuple.__new__
# The variable, unit and group that a client sent.
Names = tuple[object, object, object]


class RecordParser:
    """Parses the records that a client sent; unknown keys are ignored.

    Records of one request have few variables and groups, so each is checked once.

    Args:
        now: The time of a record that has none.
        group: The group of a record that has none.
    """

    def __init__(self, *, now: datetime, group: str) -> None:
        self._now, self._group = now, group
        self._known: dict[Names, tuple[str, str | None, str]] = {}

    def parse(self, item: Mapping[str, object]) -> Record:
        """Parse a record.

        Raises:
            RecordError: a value is missing, of the wrong type, or too long.
        """
        get = item.get
        value = get("value")
        number: float | None
        if type(value) is float and math.isfinite(value):
            kind, number, text = "number", value, None
        else:
            kind, number, text = _value(value)
        group = get("group")
        names = get("variable"), get("unit"), get("serie") if group in (None, "") else group
        try:
            variable, unit, group = self._known[names]
        except (KeyError, TypeError):
            variable, unit, group = self._check(names)
        moment, location, metadata = get("time"), get("location"), get("metadata")
        return _new_tuple(
            Record,
            (
                variable,
                kind,
                unit,
                number,
                text,
                group,
                self._now if moment is None else parse_moment(moment),
                None if location is None else _location(location),
                None if metadata is None else _metadata(metadata),
            ),
        )

    def _check(self, names: Names) -> tuple[str, str | None, str]:
        variable, unit, group = names
        checked = (
            _text(variable, "variable", MAX_VARIABLE, required=True),
            _text(unit, "unit", MAX_UNIT) or None,
            _text(group, "group", MAX_GROUP) or self._group,
        )
        self._known[names] = checked
        return checked


def parse_record(item: Mapping[str, object], *, now: datetime, group: str) -> Record:
    """Parse a single record as `RecordParser` does."""
    return RecordParser(now=now, group=group).parse(item)


def _value(value: object) -> tuple[str, float | None, str | None]:
    if value is None:
        return "none", None, None
    if isinstance(value, str):
        if len(_storable(value, "value").encode()) > MAX_VALUE_BYTES:
            raise RecordError(f"value is longer than {MAX_VALUE_BYTES} bytes")
        return "string", None, value
    if isinstance(value, bool):
        return "boolean", float(value), None
    if isinstance(value, int | float):
        return "number", _double(value), None
    raise RecordError("value must be a string, a number or a boolean")


def _double(value: float) -> float:
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        try:
            double = float(value)
        except OverflowError as error:
            raise RecordError("value is beyond double precision") from error
        if not is_written_as(value, double):
            raise RecordError("value has more digits than double precision keeps")
        return double
    if not math.isfinite(value):
        raise RecordError("value is not a finite number")
    return float(value)


def _text(value: object, name: str, longest: int, *, required: bool = False) -> str:
    if value is None and not required:
        return ""
    if not isinstance(value, str) or (required and not value):
        raise RecordError(f"{name} must be text")
    if len(value) > longest:
        raise RecordError(f"{name} is longer than {longest} characters")
    return _storable(value, name)


def _storable(text: str, name: str) -> str:
    if "\0" in text:
        raise RecordError(f"{name} holds a NUL character, which PostgreSQL cannot store")
    if not text.isascii():
        # It may hold half of a surrogate pair, which JSON can express and UTF-8 cannot.
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise RecordError(f"{name} is not valid Unicode") from error
    return text


def parse_moment(value: object) -> datetime:
    """Parse a moment in UTC with milliseconds; finer digits are cut.

    Accepts a datetime, ISO 8601 with or without zone (without means UTC), a date, and
    milliseconds since 1970.

    Raises:
        RecordError: it is none of these.
    """
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value.strip())
        elif isinstance(value, datetime):
            moment = value
        elif isinstance(value, int | float) and not isinstance(value, bool):
            moment = EPOCH + timedelta(milliseconds=math.floor(value))
        else:
            raise TypeError
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        elif moment.tzinfo is not UTC:
            moment = moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError) as error:
        raise RecordError(f"{value!r:.100} is not a time") from error
    finer = moment.microsecond % 1000
    return moment.replace(microsecond=moment.microsecond - finer) if finer else moment


def _location(value: object) -> tuple[float, float]:
    try:
        if not isinstance(value, Mapping):
            raise TypeError
        if "coordinates" in value:
            longitude, latitude = map(_degrees, _point(value)[:2])
        else:
            longitude, latitude = _degrees(value["lng"]), _degrees(value["lat"])
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise RecordError("location must be {lat, lng} or a GeoJSON point") from error
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):
        raise RecordError("location must be within ±90 degrees latitude and ±180 longitude")
    return longitude, latitude


def _point(value: Mapping[str, object]) -> list[object]:
    coordinates = value["coordinates"]
    if not isinstance(coordinates, list) or value.get("type", "Point") != "Point":
        raise TypeError
    return coordinates


def _degrees(value: object) -> float:
    """Read a number; CSV files and some scripts have it as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise TypeError
    return float(value)


def _metadata(value: object) -> str:
    if not isinstance(value, dict | list):
        raise RecordError("metadata must be an object")
    try:
        text = _as_json(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise RecordError("metadata is not JSON") from error
    if len(_storable(text, "metadata").encode()) > MAX_METADATA_BYTES:
        raise RecordError(f"metadata is longer than {MAX_METADATA_BYTES} bytes")
    return text
