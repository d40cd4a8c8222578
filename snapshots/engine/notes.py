"""What a snapshot notes of a database beside its rows: its devices, and what it leaves out."""

from collections.abc import Iterable, Mapping
from datetime import datetime

import psycopg

from snapshots.engine.cells import SeriesDevices
from snapshots.engine.chunks import ChunkRange
from snapshots.engine.contents import Device, Excluded
from snapshots.engine.edges import Edges, join_edges

Connection = psycopg.Connection[tuple[object, ...]]

DEVICES = """
SELECT device.id, min(series.id), device.name, count(DISTINCT series.variable)
FROM device LEFT JOIN series ON series.device_id = device.id
GROUP BY device.id ORDER BY device.id
"""
# From the index of series and time: two looks for each series.
EDGES = """
SELECT device_id,
       min((SELECT time FROM variable WHERE series_id = series.id ORDER BY time LIMIT 1)),
       max((SELECT time FROM variable WHERE series_id = series.id ORDER BY time DESC LIMIT 1))
FROM series WHERE device_id = ANY(%s) GROUP BY device_id
"""
EXCLUDED = """
SELECT 'script', analysis.name || ': ' || file_name, count(*), sum(octet_length(content))
FROM analysis_script JOIN analysis ON analysis.id = analysis_id GROUP BY analysis.id, file_name
UNION ALL
SELECT 'console', analysis.name, count(*), sum(octet_length(message))
FROM analysis_console JOIN analysis ON analysis.id = analysis_id GROUP BY analysis.id
UNION ALL SELECT 'file', path, 1, size FROM file
UNION ALL SELECT 'attachment', name, 1, size FROM attachment
ORDER BY 1, 2, 4
"""


def note_series(connection: Connection) -> SeriesDevices:
    """The devices of all series of a database."""
    rows = connection.execute("SELECT id, device_id FROM series").fetchall()
    return SeriesDevices((int(str(series)), str(device)) for series, device in rows)


def note_devices(
    connection: Connection,
    *,
    base: Iterable[Device] = (),
    read: Iterable[ChunkRange] = (),
    edges: Mapping[int, Edges],
) -> list[Device]:
    """The devices of a database, ordered by id.

    Args:
        base: Those of the snapshot that this one is built upon.
        read: The ranges that were read anew, all of them where there is no base.
        edges: By the number of the device, of the rows in these ranges.
    """
    known = {device.device_id: Edges(device.first, device.last) for device in base}
    ranges = list(read)
    rows = connection.execute(DEVICES).fetchall()
    joined = {
        str(device): join_edges(
            known.get(str(device), Edges()), edges.get(_number(number), Edges()), ranges
        )
        for device, number, *_ in rows
    }
    lost = [device for device, found in joined.items() if found is None]
    looked_up = _look_up(connection, lost)
    return [
        Device(
            str(device),
            _number(number) or None,
            str(name),
            _number(variables),
            *_span(joined[str(device)] or looked_up.get(str(device), Edges())),
        )
        for device, number, name, variables in rows
    ]


def _look_up(connection: Connection, devices: list[str]) -> dict[str, Edges]:
    if not devices:
        return {}
    # Many cheap look-ups add up to a price at which a server would compile the query first.
    connection.execute("SET LOCAL jit = off")
    with connection.cursor(row_factory=psycopg.rows.tuple_row) as cursor:
        found = cursor.execute(EDGES, [devices]).fetchall()
    return {device: Edges(first, last) for device, first, last in found}


def _span(edges: Edges) -> tuple[datetime | None, datetime | None]:
    return edges.first, edges.last


def _number(value: object) -> int:
    return int(str(value or 0))


def note_excluded(connection: Connection) -> list[Excluded]:
    """What a database has and its snapshots leave out, by kind and name."""
    rows = connection.execute(EXCLUDED).fetchall()
    return [
        Excluded(str(kind), str(name), int(str(count)), int(str(size)))
        for kind, name, count, size in rows
    ]
