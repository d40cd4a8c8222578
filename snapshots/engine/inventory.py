"""Note a database's devices, and what its snapshot leaves out."""

from collections.abc import Iterable, Mapping

from psycopg import Connection

from backups_portal.projectdb.catalogue import BY_NAME
from snapshots.engine.contents_index import Device, Excluded
from snapshots.engine.day_device_counts import SeriesDevices
from snapshots.engine.manifest import Segment
from snapshots.engine.segment_plan import ChunkRange
from snapshots.engine.time_bounds import Edges, join_edges

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
UNION ALL
SELECT 'large_object', 'Large objects', count(*), 0 FROM pg_largeobject_metadata HAVING count(*) > 0
UNION ALL
SELECT 'relation', nspname || '.' || relname, 1, pg_total_relation_size(pg_class.oid)
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relkind IN ('r', 'p', 'm', 'f') AND nspname !~ '^pg_' AND nspname <> 'information_schema'
  AND NOT (nspname = 'public' AND relname = ANY(%s))
ORDER BY 1, 2, 4
"""


def note_series(connection: Connection) -> SeriesDevices:
    """Read which device each series of a database belongs to."""
    return SeriesDevices(connection.execute("SELECT id, device_id FROM series").fetchall())


def note_devices(
    connection: Connection,
    *,
    base: Iterable[Device] = (),
    read: Iterable[ChunkRange] = (),
    edges: Mapping[int, Edges],
) -> list[Device]:
    """Read the devices of a database, ordered by id.

    Args:
        base: Those of the snapshot that this one is built upon.
        read: The ranges that were read again, all of them if there is no base.
        edges: By the number of the device, of the rows in these ranges.
    """
    known = {device.device_id: Edges(device.first, device.last) for device in base}
    ranges = list(read)
    rows = connection.execute(DEVICES).fetchall()
    found = {
        device: join_edges(known.get(device, Edges()), edges.get(number or 0, Edges()), ranges)
        for device, number, _, _ in rows
    }
    lost = [device for device, joined in found.items() if joined is None]
    found.update(_look_up(connection, lost))
    devices = []
    for device, number, name, variables in rows:
        joined = found[device] or Edges()
        devices.append(Device(device, number or None, name, variables, joined.first, joined.last))
    return devices


def _look_up(connection: Connection, devices: list[str]) -> dict[str, Edges]:
    if not devices:
        return {}
    # Many cheap look-ups add up to a price at which a server would compile the query first.
    connection.execute("SET LOCAL jit = off")
    found = connection.execute(EDGES, [devices])
    return {device: Edges(first, last) for device, first, last in found}


def note_excluded(connection: Connection, segments: Iterable[Segment]) -> list[Excluded]:
    """Read what a database has and its snapshots leave out, by kind and name.

    Args:
        segments: Of the snapshot: they know how many rows were left out of them.
    """
    rows = connection.execute(EXCLUDED, [list(BY_NAME)]).fetchall()
    excluded = [Excluded(kind, name, int(count), int(size)) for kind, name, count, size in rows]
    if orphans := sum(sum(segment.orphans.values()) for segment in segments):
        excluded.append(Excluded("orphan", "Rows of deleted devices", orphans, 0))
    return excluded
