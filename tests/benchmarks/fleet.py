"""The measured project: a fleet of devices whose readings have five variables each."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg

from restores.snapshot_loader import Target
from tests.benchmarks.machine import INSTALLATION
from tests.benchmarks.servers import Cluster
from tests.projectdatabases import main_database, open_database

DEVICES = 200
VARIABLES = ("temperature", "humidity", "battery", "speed", "status")
DAYS = 126
START = datetime(2026, 1, 5, tzinfo=UTC)
# One reading of every device: what one statement of the API stores.
BATCH = DEVICES * len(VARIABLES)
CORRECTIONS = 100

Connection = psycopg.Connection[Any]

# Inserts rows in time order with one statement. The five records of a reading share their group,
# whose first half is the time of arrival as in the API's ids, and whose second half is random.
READINGS = """
INSERT INTO variable (series_id, time, created_at, number_value, text_value, group_key)
WITH moment AS MATERIALIZED (
    SELECT device, date_trunc('milliseconds', %(first)s::timestamptz
               + number * %(every)s::interval
               + %(every)s::interval * (device + 2 * random()) / %(devices)s) AS time,
           interval '1 second' * (0.2 + 2 * random()) AS delay
    FROM generate_series(0, %(count)s::integer - 1) AS number,
         generate_series(0, %(devices)s - 1) AS device
), reading AS MATERIALIZED (
    SELECT device, time, time + delay AS received,
           -- Where in its day and how old the device is, and the noise of its sensors.
           2 * pi() * date_part('epoch', time) / 86400 AS phase,
           date_part('epoch', time) / 86400 + device AS age,
           random() - 0.5 AS noise, random() AS chance,
           lpad(to_hex((date_part('epoch', time + delay) * 1000)::bigint), 12, '0')
               || substr(md5(random()::text), 1, 12) AS group_key
    FROM moment ORDER BY time
)
SELECT device * 5 + number, time, received, floor(value * 100) / 100, text, group_key
FROM reading CROSS JOIN LATERAL (VALUES
    (1, 4 + mod(device, 7) - 3 * cos(phase) + 2 * noise, NULL),
    (2, 61 + 12 * cos(phase) + 5 * noise, NULL),
    (3, 100 - 2.2 * (age - 30 * floor(age / 30)) + noise, NULL),
    (4, greatest(0, 70 * sin(phase) + 40 * noise), NULL),
    (5, NULL, CASE WHEN chance < 0.93 THEN 'ok' WHEN chance < 0.97 THEN 'door open'
                   WHEN chance < 0.99 THEN 'defrosting' ELSE 'sensor fault' END)
) AS record (number, value, text)
"""
DEVICE = """INSERT INTO device (id, name, type, tags)
    SELECT lpad(to_hex(number), 24, '0'), 'Truck ' || number, 'mutable',
           jsonb_build_array(jsonb_build_object('key', 'fleet', 'value', mod(number, 4)))
    FROM generate_series(1, %s) AS number ON CONFLICT DO NOTHING"""
SERIES = """INSERT INTO series (id, device_id, variable, type, unit)
    SELECT device * 5 + number, lpad(to_hex(device + 1), 24, '0'), name,
           CASE name WHEN 'status' THEN 'string' ELSE 'number' END,
           CASE name WHEN 'temperature' THEN 'C' WHEN 'speed' THEN 'km/h'
                     WHEN 'status' THEN NULL ELSE '%%' END
    FROM generate_series(0, %s - 1) AS device,
         unnest(%s::text[]) WITH ORDINALITY AS variable (name, number)"""
# One token for every device; every restore generates all of them again.
TOKEN = """INSERT INTO token (id, kind, device_id, name, hash, sealed_value, last_four)
    SELECT device.id, 'device', device.id, 'Default', sha256(device.id::bytea),
           decode(repeat('00', 64), 'hex'), 'last' FROM device"""
CORRECTION = """UPDATE variable SET number_value = round((number_value + 0.5)::numeric, 2)
    WHERE time >= %(from)s AND time < %(to)s AND id IN (
        SELECT id FROM variable
        WHERE time >= %(from)s AND time < %(to)s AND number_value IS NOT NULL
        ORDER BY id LIMIT %(count)s)"""


@dataclass(frozen=True)
class Fleet:
    rows: int
    devices: int = DEVICES

    @property
    def readings(self) -> int:
        return max(DAYS, self.rows // (self.devices * len(VARIABLES)))

    @property
    def daily_readings(self) -> int:
        return max(1, self.readings // 100)


@contextmanager
def built(cluster: Cluster, fleet: Fleet) -> Iterator[Target]:
    """Build a main database with a fleet, and drop it afterwards.

    One statement per day marks every chunk as changed, as ingest would. The index of series is
    created afterwards; the database is left vacuumed and analysed.
    """
    with main_database(cluster.url, INSTALLATION) as source:
        with open_database(source) as connection:
            connection.execute("SELECT setseed(0.5)")
            connection.execute("SET work_mem = '64MB'")
            add_devices(connection, fleet.devices)
            connection.execute(SERIES, [fleet.devices, list(VARIABLES)])
            connection.execute(TOKEN)
            index = scalar(
                connection,
                "SELECT indexdef FROM pg_indexes WHERE indexname = 'variable_series_time'",
            )
            connection.execute("DROP INDEX variable_series_time")
            for day in range(DAYS):
                first, last = (fleet.readings * number // DAYS for number in (day, day + 1))
                add_readings(connection, day, last - first, devices=fleet.devices)
            connection.execute("SET maintenance_work_mem = '1GB'")
            connection.execute(index.encode())
            connection.execute("VACUUM (ANALYZE)")
        cluster.settle()
        yield source


def scalar(connection: Connection, query: str, values: list[Any] | None = None) -> Any:
    """Return the only value of an answer, which must have one."""
    row = connection.execute(query.encode(), values).fetchone()
    if row is None:
        raise LookupError(f"there is no row: {query}")
    return row[0]


def add_devices(connection: Connection, devices: int) -> None:
    connection.execute(DEVICE, [devices])


def add_readings(
    connection: Connection, day: int, count: int, *, of: int = 1, devices: int = DEVICES
) -> None:
    """Add readings of all devices, evenly over a day (counted from START).

    Args:
        of: The number of statements.
    """
    every = timedelta(days=1) / max(count, 1)
    for part in range(of):
        first, last = (count * number // of for number in (part, part + 1))
        connection.execute(
            READINGS,
            {
                "first": START + timedelta(days=day) + first * every,
                "every": every,
                "count": last - first,
                "devices": devices,
            },
        )


def change(connection: Connection, fleet: Fleet, *, day: int, corrected_day: int) -> None:
    """Add one percent of new rows on a day in batches, and correct some rows of an older day."""
    add_readings(connection, day, fleet.daily_readings, of=fleet.daily_readings)
    start, end = (START + timedelta(days=corrected_day + days) for days in (0, 1))
    values = {"from": start, "to": end, "count": CORRECTIONS}
    corrected = connection.execute(CORRECTION, values).rowcount
    if corrected != CORRECTIONS:
        raise LookupError(f"day {corrected_day} has {corrected} rows to correct")


@contextmanager
def taken_back(connection: Connection) -> Iterator[None]:
    """Remove the rows added in the context, and the space that they took."""
    last = scalar(connection, "SELECT max(id) FROM variable")
    yield
    connection.execute("DELETE FROM variable WHERE id > %s", [last])
    connection.execute("VACUUM (ANALYZE) variable")


class Marks:
    """The marks of the current rows; they can turn a database into one never backed up."""

    def __init__(self, connection: Connection) -> None:
        self._rows = connection.execute(
            "SELECT chunk_of(time), count(*) FROM variable GROUP BY 1 ORDER BY 1"
        ).fetchall()

    def reset(self, connection: Connection) -> None:
        with connection.transaction(), connection.cursor() as cursor:
            cursor.execute("TRUNCATE change_mark")
            cursor.execute("UPDATE instance SET marks_since = NULL")
            cursor.executemany("INSERT INTO change_mark (chunk, rows) VALUES (%s, %s)", self._rows)
