"""Records that a device has already, told apart from new ones."""

import json
from collections import Counter
from datetime import datetime

from psycopg import Connection

from backups_portal.projectdb.catalogue import variable_scalars
from backups_portal.projectdb.record_writer import find_series
from backups_portal.projectdb.records import Record

# What a record says beside its series and time.
SAID = ", ".join(variable_scalars(without=("series_id", "time", "created_at", "id"), of="stored"))
# What one transaction has stored itself is left out. `OFFSET 0` keeps each pair one look into the
# index on (series_id, time). Times are compared in milliseconds, which is what files say.
READ_STORED = f"""
    SELECT place, {SAID}
    FROM unnest(%s::integer[], %s::timestamptz[])
        WITH ORDINALITY AS sought (series_id, time, place)
    CROSS JOIN LATERAL (
        SELECT * FROM variable
        WHERE variable.series_id = sought.series_id AND variable.time >= sought.time
              AND variable.time < sought.time + interval '1 millisecond'
              AND variable.created_at <> now()
        OFFSET 0
    ) AS stored"""  # noqa: S608 - names of columns

Key = tuple[object, ...]


class Duplicates:
    """Find out, batch by batch, which records of a file a device has already.

    A record is the same if its variable, value, unit, time, location, metadata and group are. Two
    equal records of the file are two: each row of the device takes the place of one of them.
    """

    def __init__(self, connection: Connection, device_id: str, *, any_group: str) -> None:
        """Look at a device within the transaction that stores the new records.

        Args:
            any_group: The group of records that name none: a row of any group is the same.
        """
        self._connection = connection
        self._device_id = device_id
        self._any_group = any_group
        # By the hash of a key: how many of the device's rows have taken no record's place yet.
        self._left: dict[int, int] = {}

    def new_of(self, records: list[Record]) -> list[Record]:
        """Return the records that the device does not have, in their order.

        Raises:
            UnknownDeviceError: there is no such device.
        """
        variables = sorted({record.variable for record in records})
        series = find_series(self._connection, self._device_id, variables)
        numbers = [series.get(record[:3]) for record in records]
        stored = self._stored(
            {(number, item.time) for number, item in zip(numbers, records, strict=True) if number}
        )
        return [
            item
            for number, item in zip(numbers, records, strict=True)
            if number is None or not self._take(self._key(number, item), stored)
        ]

    def _take(self, key: Key, stored: Counter[Key]) -> bool:
        """Take a row of the device that is this record, if one is left."""
        # Of the text of it: hash(-1) is hash(-2), and so is that of tuples with them.
        number = hash(repr(key))
        left = self._left.get(number, stored[key])
        if left:
            self._left[number] = left - 1
        return left > 0

    def _key(self, series: int, item: Record) -> Key:
        group = None if item.group == self._any_group else item.group
        place = item.location or (None, None)
        return series, item.time, item.number, item.text, group, *place, _meaning(item.metadata)

    def _stored(self, pairs: set[tuple[int, datetime]]) -> Counter[Key]:
        listed = sorted(pairs)
        columns = [[series for series, _ in listed], [time for _, time in listed]]
        found: Counter[Key] = Counter()
        for place, number, text, group, x, y, metadata in self._connection.execute(
            READ_STORED, columns
        ):
            for known_as in (group, None):
                pair = listed[place - 1]
                found[(*pair, number, text, known_as, x, y, _meaning(metadata))] += 1
        return found


def _meaning(metadata: str | None) -> str | None:
    """Normalize JSON text, so that equal values are equal texts."""
    if metadata is None:
        return None
    try:
        return json.dumps(json.loads(metadata), sort_keys=True)
    except (ValueError, RecursionError):
        return metadata
