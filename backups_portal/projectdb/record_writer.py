"""Write data records into a project's database."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from psycopg import Connection

from backups_portal.projectdb.ids import new_group
from backups_portal.projectdb.pg_binary_copy import COPY_RECORDS, encode_records
from backups_portal.projectdb.records import Record, RecordError, RecordParser, parse_moment

MAX_RECORDS = 10_000

SeriesKey = tuple[str, str, str | None]


class UnknownDeviceError(LookupError):
    """There is no device with this id."""


def send(
    connection: Connection,
    *,
    device_id: str,
    records: Sequence[Mapping[str, object]],
    now: datetime | None = None,
    most: int = 0,
) -> int:
    """Store the records of one request: all of them, or none.

    Args:
        records: At most MAX_RECORDS; see records.py for what they may hold. Those without a group
            share a new one; those without a time get `now`.
        most: The limit of records on a mutable device; 0: no limit.

    Returns:
        How many were stored; their ids ascend in the order given.

    Raises:
        RecordError: a record cannot be stored; the message begins with its position.
        UnknownDeviceError: there is no such device.
    """
    if len(records) > MAX_RECORDS:
        raise RecordError(f"a request holds at most {MAX_RECORDS} records")
    now = parse_moment(now or datetime.now(UTC))
    parsed = _parse(records, now)
    if not parsed:
        return 0
    store(connection, device_id, parsed, now=now, most=most)
    return len(parsed)


def store(
    connection: Connection, device_id: str, records: list[Record], *, now: datetime, most: int = 0
) -> None:
    """Store records that have been parsed already: all of them, or none.

    Raises:
        RecordError: the device would have more than `most` records.
        UnknownDeviceError: there is no such device.
    """
    with connection.transaction():
        series = ensure_series(connection, device_id, {item[:3] for item in records})
        if most:
            check_room(connection, device_id, len(records), most)
        with connection.cursor() as cursor, cursor.copy(COPY_RECORDS) as copy:
            for piece in encode_records(records, series):
                copy.write(piece)
        connection.execute(
            "UPDATE device SET last_input = greatest(last_input, %s) WHERE id = %s",
            [now, device_id],
        )


def _parse(records: Sequence[Mapping[str, object]], now: datetime) -> list[Record]:
    parse = RecordParser(now=now, group=new_group()).parse
    parsed: list[Record] = []
    try:
        for item in records:
            if not isinstance(item, dict):
                raise RecordError("a record must be an object")
            parsed.append(parse(item))
    except RecordError as error:
        raise RecordError(error.reason, index=len(parsed)) from error
    return parsed


def ensure_series(
    connection: Connection, device_id: str, keys: set[SeriesKey]
) -> dict[SeriesKey, int]:
    """Return the numbers of a device's series, making missing ones.

    Until the transaction ends, the device cannot be deleted.

    Raises:
        UnknownDeviceError: there is no such device.
    """
    wanted = sorted({variable for variable, _, _ in keys})
    found = find_series(connection, device_id, wanted)
    missing = keys - found.keys()
    if missing:
        make_series(connection, [(device_id, *key) for key in sorted(missing, key=str)])
        # Another request may have made some of them at the same time, so look them up again.
        found = find_series(connection, device_id, wanted)
    return found


def make_series(connection: Connection, series: Sequence[tuple[str, str, str, str | None]]) -> None:
    """Make missing series, given the device, variable, type and unit of each."""
    columns = [list(column) for column in zip(*series, strict=True)] or [[]] * 4
    connection.execute(
        """INSERT INTO series (device_id, variable, type, unit)
           SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[])
           ON CONFLICT (device_id, variable, type, unit) DO NOTHING""",
        columns,
    )


def find_series(
    connection: Connection, device_id: str, variables: list[str]
) -> dict[SeriesKey, int]:
    """Return the numbers of a device's series for some variables.

    Raises:
        UnknownDeviceError: there is no such device.
    """
    rows = connection.execute(
        """SELECT series.variable, series.type, unit, series.id
           FROM device LEFT JOIN series ON device_id = device.id AND series.variable = ANY(%s)
           WHERE device.id = %s FOR KEY SHARE OF device""",
        [variables, device_id],
    ).fetchall()
    if not rows:
        raise UnknownDeviceError(device_id)
    return {(variable, kind, unit): number for variable, kind, unit, number in rows if number}


def lock_device(connection: Connection, device_id: str) -> str:
    """Lock out other writers of a device until the transaction ends.

    Returns its type.

    Raises:
        UnknownDeviceError: there is no such device.
    """
    row = connection.execute(
        "SELECT type FROM device WHERE id = %s FOR NO KEY UPDATE", [device_id]
    ).fetchone()
    if row is None:
        raise UnknownDeviceError(device_id)
    return str(row[0])


def check_room(connection: Connection, device_id: str, more: int, most: int) -> None:
    """Raise RecordError if a mutable device would have too many records."""
    # The lock makes concurrent requests wait until these records can be counted.
    if lock_device(connection, device_id) != "mutable":
        return
    found = connection.execute(
        """SELECT count(*) FROM (SELECT FROM variable WHERE series_id IN
               (SELECT id FROM series WHERE device_id = %s) LIMIT %s) AS known""",
        [device_id, most],
    ).fetchone()
    if found and found[0] + more > most:
        raise RecordError(f"the device has reached the limit of {most} data registers")


def delete_of_device(connection: Connection, device_id: str) -> int:
    """Delete all records of a device; return how many there were."""
    cursor = connection.execute(
        "DELETE FROM variable WHERE series_id IN (SELECT id FROM series WHERE device_id = %s)",
        [device_id],
    )
    return cursor.rowcount
