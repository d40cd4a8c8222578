"""List and delete the data of immutable devices by chunk period."""

from datetime import datetime
from typing import NamedTuple

from psycopg import Connection


class Chunk(NamedTuple):
    """The records from `start` up to, but excluding, `end`."""

    start: datetime
    end: datetime
    amount: int


def list_chunks(connection: Connection, device_id: str) -> list[Chunk]:
    """List the periods of an immutable device that have records, oldest first."""
    rows = connection.execute(
        """SELECT start, ((start AT TIME ZONE 'UTC') + length) AT TIME ZONE 'UTC', amount
           FROM (SELECT date_trunc(chunk_period, time, 'UTC') AS start,
                        CASE chunk_period WHEN 'quarter' THEN interval '3 months'
                             ELSE ('1 ' || chunk_period)::interval END AS length,
                        count(*) AS amount
                 FROM device JOIN series ON device_id = device.id
                      JOIN variable ON series_id = series.id
                 WHERE device.id = %s AND device.type = 'immutable' GROUP BY 1, 2) AS chunk
           ORDER BY start""",
        [device_id],
    )
    return [Chunk(*row) for row in rows]


def delete_chunk(connection: Connection, device_id: str, start: datetime, end: datetime) -> int:
    """Delete a device's records of a period; return how many there were."""
    return connection.execute(
        """DELETE FROM variable WHERE time >= %s AND time < %s
           AND series_id IN (SELECT id FROM series WHERE device_id = %s)""",
        [start, end, device_id],
    ).rowcount
