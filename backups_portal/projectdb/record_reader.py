"""Read data records: pages of them as JSON, and aggregates.

PostgreSQL writes the JSON: decoding rows here and encoding them again would double the time.
"""

import re
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from psycopg import Connection

from backups_portal.projectdb.ids import variable_number
from backups_portal.projectdb.record_filter import (
    NUMERIC,
    Position,
    Selection,
    Series,
    Window,
    find,
)
from backups_portal.projectdb.record_writer import UnknownDeviceError
from backups_portal.projectdb.records import parse_moment

STAMP = """'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'"""
# SQL can store moments that no answer can represent; see stored_json.py.
CREATED = "greatest('0001-01-01Z', least(created_at, '9999-12-31 23:59:59.999Z'))"
# A record; keys without a value are left out. Numbers that JSON lacks, such as NaN, become texts.
COLUMNS = "variable.*, series.type AS type, series.head AS head"
RECORD = f"""concat('{{"id":"', %(prefix)s::text, lpad(to_hex(id), 16, '0'), '","device":"',
    %(device)s::text, head, to_char(time, {STAMP}), '","group":', to_json(group_key),
    CASE type WHEN 'number' THEN ',"value":' || to_json(number_value)
              WHEN 'string' THEN ',"value":' || to_json(text_value)
              WHEN 'boolean' THEN ',"value":' || to_json(number_value <> 0) END,
    ',"location":{{"type":"Point","coordinates":[' || to_json(location[0]) || ','
        || to_json(location[1]) || ']}}',
    ',"metadata":' || metadata, ',"created_at":"', to_char({CREATED}, {STAMP}), '"}}')"""
# The same text as `head_of` writes, for series that are looked up in the same statement.
HEAD = """concat('","variable":', to_json(series.variable), ',"unit":' || to_json(series.unit),
    ',"time":"')"""
AGGREGATES = ("avg", "sum", "min", "max")
INTERVALS = ("minute", "hour", "day", "month", "quarter", "year")
MAX_BUCKETS = 10_000
# The most records of a reading that is limited per variable: all are held in memory at once.
MAX_TOGETHER = 250_000


# A whole surrogate pair, half of one, and any other escape.
ESCAPES = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(?P<half>u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
# These come before everything else in a record, and no text holds unescaped quotes.
PLACE = re.compile(r'\{"id":"([0-9a-f]+)".*?,"time":"([^"]+)"', re.DOTALL)


class Wanted(NamedTuple):
    """Which series of a device to read: by names, all if empty, and by type."""

    variables: Sequence[str]
    types: Sequence[str]


class Device(NamedTuple):
    """A device, and those of its series that a request asks for."""

    id: str
    prefix: str
    is_mutable: bool
    series: list[Series]

    def of_types(self, types: Sequence[str]) -> "Device":
        """Return the device with only its series of some types."""
        return self._replace(series=[item for item in self.series if item.type in types])


def as_array(records: Sequence[str]) -> bytes:
    """Write records, each as JSON, as an array.

    Halves of surrogate pairs, which PostgreSQL's type json accepts and strict parsers of answers
    do not, become the replacement character.
    """
    text = f"[{','.join(records)}]"
    if "\\ud" in text or "\\uD" in text:
        text = ESCAPES.sub(lambda found: "\\ufffd" if found["half"] else found[0], text)
    return text.encode()


def find_device(
    connection: Connection, device_id: str, *, prefix: str, variables: Sequence[str] = ()
) -> Device:
    """Find a device with its series: all, or those of some variables.

    Raises:
        UnknownDeviceError: there is no such device.
    """
    rows = connection.execute(
        """SELECT device.type, series.id, series.variable, series.type, series.unit
           FROM device LEFT JOIN series ON device_id = device.id
               AND (%(all)s OR series.variable = ANY(%(variables)s))
           WHERE device.id = %(device)s ORDER BY series.id""",
        {"all": not variables, "variables": list(variables), "device": device_id},
    ).fetchall()
    if not rows:
        raise UnknownDeviceError(device_id)
    series = [Series(*row[1:]) for row in rows if row[1] is not None]
    return Device(device_id, prefix, rows[0][0] == "mutable", series)


def read_page(
    connection: Connection, device: Device, selection: Selection, *, limit: int, skip: int = 0
) -> list[str]:
    """Read records of all series of the device together, each as JSON."""
    if not device.series:
        return []
    found = find(device.series, selection, columns=COLUMNS, window=Window(limit, skip))
    return _read(connection, device, [found], selection.order)


def read_each(
    connection: Connection, device: Device, selection: Selection, *, limit: int
) -> list[str]:
    """Read `limit` records per variable as JSON, MAX_TOGETHER + 1 at most."""
    found = [
        find(group, selection, columns=COLUMNS, window=Window(limit), name=f"v{number}s")
        for number, group in enumerate(by_variable(device.series))
    ]
    most = MAX_TOGETHER + 1
    return _read(connection, device, found, selection.order, most) if found else []


def read_one_each(
    connection: Connection,
    device_id: str,
    selection: Selection,
    *,
    prefix: str,
    wanted: Wanted,
    order: str,
) -> list[str]:
    """Read a record of each variable as JSON, MAX_TOGETHER + 1 at most.

    Args:
        order: Names of columns to order a variable's records by; the first one is read.
    """
    where, values = selection.conditions()
    # The series need not be fetched first: the statement looks up each through its index.
    statement = f"""SELECT {RECORD} FROM (
        SELECT DISTINCT ON (name) * FROM (
            SELECT series.variable AS name, series.type, {HEAD} AS head, one.*
            FROM series CROSS JOIN LATERAL (
                SELECT variable.* FROM variable WHERE series_id = series.id{where}
                ORDER BY {order} LIMIT 1) AS one
            WHERE device_id = %(device)s AND series.type = ANY(%(of_types)s)
              AND (%(all)s OR series.variable = ANY(%(variables)s))) AS found
        ORDER BY name, {order}) AS page
        ORDER BY {selection.order} LIMIT %(most)s"""  # noqa: S608 - our own words
    more = {
        "most": MAX_TOGETHER + 1,
        "prefix": prefix,
        "device": device_id,
        "all": not wanted.variables,
        "variables": list(wanted.variables),
        "of_types": list(wanted.types),
    }
    return [record for (record,) in connection.execute(statement, {**values, **more})]


def by_variable(series: Sequence[Series]) -> list[list[Series]]:
    """Group series by their variable."""
    groups: dict[str, list[Series]] = {}
    for item in series:
        groups.setdefault(item.variable, []).append(item)
    return list(groups.values())


def _read(
    connection: Connection,
    device: Device,
    found: Sequence[tuple[str, dict[str, object]]],
    order: str,
    most: int | None = None,
) -> list[str]:
    values: dict[str, object] = {"prefix": device.prefix, "device": device.id, "most": most}
    for _, more in found:
        values |= more
    together = " UNION ALL ".join(f"({text})" for text, _ in found)
    ending = f" ORDER BY {order}" if len(found) > 1 else ""
    ending += " LIMIT %(most)s" if most is not None else ""
    statement = f"SELECT {RECORD} FROM ({together}) AS page{ending}"  # noqa: S608
    return [record for (record,) in connection.execute(statement, values)]


def position_of(record: str, prefix: str) -> Position:
    """Return the position of a record that has been read."""
    found = PLACE.match(record)
    if found is None:
        raise ValueError("a record begins with its id and its time")
    return Position(parse_moment(found[2]), variable_number(prefix, found[1]) or 0)


def count(connection: Connection, device: Device, selection: Selection) -> int:
    """Count the records."""
    if not device.series:
        return 0
    where, values = selection.conditions()
    return int(_over(connection, device, f"SELECT count(*) FROM {FROM}{where}", values)[0][0])  # noqa: S608


FROM = (
    "variable JOIN unnest(%(series)s::integer[], %(types)s::text[]) AS series (id, type)"
    " ON series_id = series.id WHERE true"
)


def _over(
    connection: Connection, device: Device, statement: str, values: dict[str, object]
) -> list[Any]:
    series = {
        "series": [item.id for item in device.series],
        "types": [item.type for item in device.series],
    }
    return connection.execute(statement, {**values, **series}).fetchall()


def aggregate(
    connection: Connection, device: Device, selection: Selection, function: str
) -> float | None:
    """Aggregate all numeric values; None if there are none."""
    device = device.of_types(NUMERIC)
    where, values = selection.conditions()
    number = f"{_checked(function, AGGREGATES)}(number_value)"
    found = _over(connection, device, f"SELECT {number} FROM {FROM}{where}", values)[0][0]  # noqa: S608
    return None if found is None else float(found)


def aggregate_by(
    connection: Connection, device: Device, selection: Selection, *, function: str, interval: str
) -> list[tuple[datetime, float]]:
    """Aggregate each interval that has numbers, MAX_BUCKETS + 1 at most.

    Returns each with its start; newest first.
    """
    device = device.of_types(NUMERIC)
    where, values = selection.conditions()
    bucket = f"date_trunc('{_checked(interval, INTERVALS)}', time, 'UTC')"
    number = f"{_checked(function, AGGREGATES)}(number_value)"
    statement = (
        f"SELECT {bucket}, {number} FROM {FROM}{where}"  # noqa: S608 - words that were checked
        f" GROUP BY 1 HAVING count(number_value) > 0 ORDER BY 1 DESC LIMIT %(most)s"
    )
    return _over(connection, device, statement, {**values, "most": MAX_BUCKETS + 1})


def _checked(word: str, known: Sequence[str]) -> str:
    if word not in known:
        raise ValueError(f"{word} is none of {', '.join(known)}")
    return word
