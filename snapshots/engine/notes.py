"""What a snapshot notes of a database beside its rows: its devices, and what it leaves out."""

import psycopg

from snapshots.engine.cells import SeriesDevices
from snapshots.engine.contents import Device, Excluded

Connection = psycopg.Connection[tuple[object, ...]]

# First and last come from the index of series and time: two looks for each series.
DEVICES = """
SELECT device.id, min(series.id), device.name, count(DISTINCT series.variable),
       min(edge.first), max(edge.last)
FROM device LEFT JOIN series ON series.device_id = device.id
LEFT JOIN LATERAL (
    SELECT (SELECT min(time) FROM variable WHERE series_id = series.id) AS first,
           (SELECT max(time) FROM variable WHERE series_id = series.id) AS last
) AS edge ON true
GROUP BY device.id ORDER BY device.id
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


def note_devices(connection: Connection) -> list[Device]:
    """The devices of a database, ordered by id."""
    # Many cheap look-ups add up to a price at which a server would compile the query first.
    connection.execute("SET LOCAL jit = off")
    with connection.cursor(row_factory=psycopg.rows.args_row(Device)) as cursor:
        return cursor.execute(DEVICES).fetchall()


def note_excluded(connection: Connection) -> list[Excluded]:
    """What a database has and its snapshots leave out, by kind and name."""
    rows = connection.execute(EXCLUDED).fetchall()
    return [
        Excluded(str(kind), str(name), int(str(count)), int(str(size)))
        for kind, name, count, size in rows
    ]
