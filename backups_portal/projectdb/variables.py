"""Writing data records into a project's database."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from psycopg import Connection

from backups_portal.projectdb.ids import new_group
from backups_portal.projectdb.records import Record, RecordError, parse_moment, parse_record

MAX_RECORDS = 10_000

SeriesKey = tuple[str, str, str | None]


def send(
    connection: Connection[Any],
    *,
    device_id: str,
    records: Sequence[Mapping[str, Any]],
    now: datetime | None = None,
) -> int:
    """Store the records of one request: all of them, or none.

    Args:
        records: At most MAX_RECORDS; see records.py for what they may hold. Those without a group
            share a new one, those without a time get `now`.

    Returns:
        How many were stored; their ids ascend in the order given.

    Raises:
        RecordError: a record cannot be stored; the message begins with its position.
        psycopg.errors.ForeignKeyViolation: there is no such device.
    """
    if len(records) > MAX_RECORDS:
        raise RecordError(f"a request holds at most {MAX_RECORDS} records")
    now = parse_moment(now or datetime.now(UTC))
    parsed = _parse(records, now)
    if not parsed:
        return 0
    with connection.transaction():
        series = ensure_series(
            connection, device_id, {(item.variable, item.type, item.unit) for item in parsed}
        )
        _copy(connection, parsed, series)
        connection.execute(
            "UPDATE device SET last_input = greatest(last_input, %s) WHERE id = %s",
            [now, device_id],
        )
    return len(parsed)


def _parse(records: Sequence[Mapping[str, Any]], now: datetime) -> list[Record]:
    group = new_group()
    parsed = []
    for position, item in enumerate(records):
        try:
            if not isinstance(item, Mapping):
                raise RecordError("a record must be an object")
            parsed.append(parse_record(item, now=now, group=group))
        except RecordError as error:
            raise RecordError(f"record {position}: {error}") from error
    return parsed


def ensure_series(
    connection: Connection[Any], device_id: str, keys: set[SeriesKey]
) -> dict[SeriesKey, int]:
    """The numbers of a device's series (variable, type, unit), made where they are missing."""
    found = _find_series(connection, device_id)
    missing = keys - found.keys()
    if missing:
        variables, types, units = zip(*sorted(missing, key=str), strict=True)
        connection.execute(
            """INSERT INTO series (device_id, variable, type, unit)
               SELECT %s, * FROM unnest(%s::text[], %s::text[], %s::text[])
               ON CONFLICT (device_id, variable, type, unit) DO NOTHING""",
            [device_id, list(variables), list(types), list(units)],
        )
        # Another request may have made some of them at the same time: ask, do not assume.
        found = _find_series(connection, device_id)
    return found


def _find_series(connection: Connection[Any], device_id: str) -> dict[SeriesKey, int]:
    rows = connection.execute(
        "SELECT variable, type, unit, id FROM series WHERE device_id = %s", [device_id]
    )
    return {(variable, kind, unit): number for variable, kind, unit, number in rows}


def _copy(connection: Connection[Any], records: list[Record], series: dict[SeriesKey, int]) -> None:
    with (
        connection.cursor() as cursor,
        cursor.copy(
            "COPY variable (series_id, time, number_value, text_value, group_key, location,"
            " metadata) FROM STDIN"
        ) as copy,
    ):
        for item in records:
            copy.write_row(
                (
                    series[item.variable, item.type, item.unit],
                    item.time,
                    item.number,
                    item.text,
                    item.group,
                    item.location,
                    item.metadata,
                )
            )


def delete_of_device(connection: Connection[Any], device_id: str) -> int:
    """Delete all records of a device; returns how many there were."""
    cursor = connection.execute(
        "DELETE FROM variable WHERE series_id IN (SELECT id FROM series WHERE device_id = %s)",
        [device_id],
    )
    return cursor.rowcount
