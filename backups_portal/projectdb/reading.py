"""Reading data records: pages of them as JSON, and what can be said of many at once.

PostgreSQL writes the JSON: taking rows apart and putting them together here would cost as much
again as reading them.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from psycopg import Connection
from psycopg.rows import tuple_row

from backups_portal.projectdb.ids import variable_number
from backups_portal.projectdb.records import parse_moment
from backups_portal.projectdb.selection import NUMERIC, Position, Selection, Series, find
from backups_portal.projectdb.variables import UnknownDeviceError

STAMP = """'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'"""
# What a record consists of; the keys that it lacks are left out.
COLUMNS = "variable.*, series.type AS type, series.head AS head"
RECORD = f"""concat('{{"id":"', %(prefix)s::text, lpad(to_hex(id), 16, '0'), '","device":"',
    %(device)s::text, head, to_char(time, {STAMP}), '","group":', to_json(group_key),
    CASE type WHEN 'number' THEN ',"value":' || number_value
              WHEN 'string' THEN ',"value":' || to_json(text_value)
              WHEN 'boolean' THEN CASE number_value WHEN 0 THEN ',"value":false'
                                                    ELSE ',"value":true' END END,
    ',"location":{{"type":"Point","coordinates":[' || location[0] || ',' || location[1] || ']}}',
    ',"metadata":' || metadata, ',"created_at":"', to_char(created_at, {STAMP}), '"}}')"""
# The same as `head_of` makes, for series that are looked up in the same statement.
HEAD = """concat('","variable":', to_json(series.variable), ',"unit":' || to_json(series.unit),
    ',"time":"')"""
AGGREGATES = ("avg", "sum", "min", "max")
INTERVALS = ("minute", "hour", "day", "month", "quarter", "year")
MAX_BUCKETS = 10_000


class Device(NamedTuple):
    """A device and those of its series that a request is about."""

    id: str
    prefix: str
    is_mutable: bool
    series: list[Series]

    def of_types(self, types: Sequence[str]) -> "Device":
        """With its series of some types only."""
        return self._replace(series=[item for item in self.series if item.type in types])


class Page(NamedTuple):
    """Records in order: each one's JSON."""

    records: list[str]

    def as_json(self) -> bytes:
        """An array."""
        return f"[{','.join(self.records)}]".encode()


def find_device(
    connection: Connection[Any], device_id: str, *, prefix: str, variables: Sequence[str] = ()
) -> Device:
    """A device with its series: all, or those of some variables.

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
    connection: Connection[Any], device: Device, selection: Selection, *, limit: int, skip: int = 0
) -> Page:
    """Records of all series of the device together."""
    if not device.series:
        return Page([])
    found = find(device.series, selection, columns=COLUMNS, limit=limit, skip=skip)
    return _read(connection, device, [found], selection.order)


def read_each(
    connection: Connection[Any], device: Device, selection: Selection, *, limit: int
) -> Page:
    """Records of each variable of the device by itself, `limit` of each; together in order."""
    found = [
        find(group, selection, columns=COLUMNS, limit=limit, name=f"v{number}s")
        for number, group in enumerate(by_variable(device.series))
    ]
    return _read(connection, device, found, selection.order) if found else Page([])


def read_one_each(
    connection: Connection[Any],
    device_id: str,
    selection: Selection,
    *,
    prefix: str,
    variables: Sequence[str],
    types: Sequence[str],
    order: str,
) -> Page:
    """One record of each variable of a device, together in the order of the selection.

    Args:
        variables: Exact names; all where it is empty.
        types: Of the values that are looked at.
        order: By names of columns; the first record is the one.
    """
    where, values = selection.conditions()
    # Which series there are need not be asked first: each is looked up through its index.
    statement = f"""SELECT {RECORD} FROM (
        SELECT DISTINCT ON (name) * FROM (
            SELECT series.variable AS name, series.type, {HEAD} AS head, one.*
            FROM series CROSS JOIN LATERAL (
                SELECT variable.* FROM variable WHERE series_id = series.id{where}
                ORDER BY {order} LIMIT 1) AS one
            WHERE device_id = %(device)s AND series.type = ANY(%(of_types)s)
              AND (%(all)s OR series.variable = ANY(%(variables)s))) AS found
        ORDER BY name, {order}) AS page ORDER BY {selection.order}"""  # noqa: S608 - our own words
    more = {
        "prefix": prefix,
        "device": device_id,
        "all": not variables,
        "variables": list(variables),
        "of_types": list(types),
    }
    with connection.cursor(row_factory=tuple_row) as cursor:
        return Page([row[0] for row in cursor.execute(statement, {**values, **more}).fetchall()])


def by_variable(series: Sequence[Series]) -> list[list[Series]]:
    """The series of each variable."""
    groups: dict[str, list[Series]] = {}
    for item in series:
        groups.setdefault(item.variable, []).append(item)
    return list(groups.values())


def _read(
    connection: Connection[Any],
    device: Device,
    found: Sequence[tuple[str, dict[str, Any]]],
    order: str,
) -> Page:
    values: dict[str, Any] = {"prefix": device.prefix, "device": device.id}
    for _, more in found:
        values |= more
    together = " UNION ALL ".join(f"({text})" for text, _ in found)
    sorting = f" ORDER BY {order}" if len(found) > 1 else ""
    with connection.cursor(row_factory=tuple_row) as cursor:
        statement = f"SELECT {RECORD} FROM ({together}) AS page{sorting}"  # noqa: S608
        cursor.execute(statement, values)
        return Page([row[0] for row in cursor.fetchall()])


def position_of(record: dict[str, Any], prefix: str) -> Position:
    """The place of a record that has been read."""
    return Position(parse_moment(record["time"]), variable_number(prefix, record["id"]) or 0)


def count(connection: Connection[Any], device: Device, selection: Selection) -> int:
    """How many records there are."""
    if not device.series:
        return 0
    where, values = selection.conditions()
    return int(_over(connection, device, f"SELECT count(*) FROM {FROM}{where}", values)[0][0])  # noqa: S608


FROM = (
    "variable JOIN unnest(%(series)s::integer[], %(types)s::text[]) AS series (id, type)"
    " ON series_id = series.id WHERE true"
)


def _over(
    connection: Connection[Any], device: Device, statement: str, values: dict[str, Any]
) -> list[Any]:
    series = {
        "series": [item.id for item in device.series],
        "types": [item.type for item in device.series],
    }
    return connection.execute(statement, {**values, **series}).fetchall()


def aggregate(
    connection: Connection[Any], device: Device, selection: Selection, function: str
) -> float | None:
    """One number of all numeric values; None where there are none."""
    device = device.of_types(NUMERIC)
    where, values = selection.conditions()
    number = f"{_checked(function, AGGREGATES)}(number_value)"
    found = _over(connection, device, f"SELECT {number} FROM {FROM}{where}", values)[0][0]  # noqa: S608
    return None if found is None else float(found)


def aggregate_by(
    connection: Connection[Any],
    device: Device,
    selection: Selection,
    *,
    function: str,
    interval: str,
) -> list[tuple[datetime, float]]:
    """One number of the numeric values of each interval, by its start in UTC; newest first."""
    device = device.of_types(NUMERIC)
    where, values = selection.conditions()
    bucket = f"date_trunc('{_checked(interval, INTERVALS)}', time, 'UTC')"
    number = f"{_checked(function, AGGREGATES)}(number_value)"
    statement = (
        f"SELECT {bucket}, {number} FROM {FROM}{where}"  # noqa: S608 - words that were checked
        f" GROUP BY 1 ORDER BY 1 DESC LIMIT {MAX_BUCKETS}"
    )
    return _over(connection, device, statement, values)


def _checked(word: str, known: Sequence[str]) -> str:
    if word not in known:
        raise ValueError(f"{word} is none of {', '.join(known)}")
    return word
