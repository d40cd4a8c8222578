"""Tell records that a device already has from new ones."""

import json
from collections import Counter
from datetime import datetime

from psycopg import Connection

from backups_portal.projectdb.catalogue import variable_scalars
from backups_portal.projectdb.record_writer import find_series
from backups_portal.projectdb.records import Record

# The columns that are compared besides series and time.
SAID = ", ".join(variable_scalars(without=("series_id", "time", "created_at", "id"), of="stored"))
# Ignores what this transaction stored itself. `OFFSET 0` keeps each pair one lookup in the index on
# (series_id, time). Times are compared in milliseconds, the precision of files.
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
    """Finds, batch by batch, the records of a file that a device already has.

    Records are equal if their variable, value, unit, time, location, metadata and group are. Equal
    records of the file count separately: each row of the device matches only one of them.
    """

    def __init__(self, connection: Connection, device_id: str, *, any_group: str) -> None:
        """Compare with a device, in the transaction that stores the new records.

        Args:
            any_group: The group of records that name none; they match rows of any group.
        """
        self._connection = connection
        self._device_id = device_id
        self._any_group = any_group
        # How many of the device's rows are still unmatched, by the hash of their key.
        self._left: dict[int, int] = {}

    def new_of(self, records: list[Record]) -> list[Record]:
        """Return the records that the device does not have, in order.

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
        """Match a record with an unmatched row of the device, if one is left."""
        # Hash the key's text: hash(-1) equals hash(-2), also inside tuples.
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
