"""Note a database's devices, and what its snapshot leaves out."""

from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa
from psycopg import Connection

from snapshots.engine.contents_index import Device, Excluded
from snapshots.engine.day_device_counts import SeriesDevices
from snapshots.engine.instant_reader import PLANS_AS_BEFORE
from snapshots.engine.manifest import Segment
from snapshots.engine.segment_plan import ChunkRange
from snapshots.engine.source_database import Instant
from snapshots.engine.time_bounds import Edges, join_edges

# Uses the index on series and time: two look-ups for each series.
EDGES = """
SELECT device_id,
       min((SELECT time FROM variable WHERE series_id = series.id ORDER BY time LIMIT 1)),
       max((SELECT time FROM variable WHERE series_id = series.id ORDER BY time DESC LIMIT 1))
FROM series WHERE device_id = ANY(%s) GROUP BY device_id
"""
# Queries for what is left out, by table: kind, name, count and size in bytes.
EXCLUDED = {
    "analysis_script": """
SELECT 'script', analysis.name || ': ' || file_name, count(*), sum(octet_length(content))
FROM analysis_script JOIN analysis ON analysis.id = analysis_id GROUP BY analysis.id, file_name""",
    "analysis_console": """
SELECT 'console', analysis.name, count(*), sum(octet_length(message))
FROM analysis_console JOIN analysis ON analysis.id = analysis_id GROUP BY analysis.id""",
    "file": "SELECT 'file', path, 1, size FROM file",
    "attachment": "SELECT 'attachment', name, 1, size FROM attachment",
}
LARGE_OBJECTS = """
SELECT 'large_object', 'Large objects', count(*), 0 FROM pg_largeobject_metadata HAVING count(*) > 0
"""
# The columns from which devices are noted.
NOTED = {"device": ["id", "name"], "series": ["id", "device_id", "variable"]}


def note_series(connection: Connection) -> SeriesDevices:
    """Read which device each series of a database belongs to."""
    return SeriesDevices(connection.execute("SELECT id, device_id FROM series").fetchall())


class DeviceNotes:
    """What resources' rows say about devices, gathered while they are read."""

    def __init__(self) -> None:
        self._parts: dict[str, list[pa.Table]] = {name: [] for name in NOTED}

    def add(self, table: str, part: pa.Table) -> None:
        """Note the rows of a table, in order, if it is about devices."""
        if table in NOTED:
            self._parts[table].append(part.select(NOTED[table]))

    def rows(self) -> list[tuple[str, str, int | None, int]]:
        """List each device's id, name, number and count of variables, in order."""
        series, devices = (pa.concat_tables(self._parts[name]) for name in ("series", "device"))
        owners, names = (
            series[column].combine_chunks().dictionary_encode()
            for column in ("device_id", "variable")
        )
        # Grouping would make pyarrow import its datasets: 45 ms of a new process.
        codes = owners.indices.to_numpy().astype(np.int64)
        counts = np.bincount(np.unique(codes << 32 | names.indices.to_numpy()) >> 32)
        first = np.full(len(owners.dictionary), np.iinfo(np.int64).max)
        np.minimum.at(first, codes, series["id"].to_numpy())
        of_device = zip(first.tolist(), counts.tolist(), strict=True)
        known = dict(zip(owners.dictionary.to_pylist(), of_device, strict=True))
        return [
            (row["id"], row["name"], *known.get(row["id"], (None, 0)))
            for row in devices.to_pylist()
        ]


def note_devices(
    connection: Connection,
    notes: DeviceNotes,
    *,
    base: Iterable[Device] = (),
    read: Iterable[ChunkRange] = (),
    edges: Mapping[int, Edges],
) -> list[Device]:
    """List the devices of a database, ordered by id.

    Args:
        base: The devices of the base.
        read: The ranges that were read again; all ranges if there is no base.
        edges: The first and last times in these ranges, by the device's number.
    """
    known = {device.device_id: Edges(device.first, device.last) for device in base}
    ranges = list(read)
    rows = notes.rows()
    found = {
        device: join_edges(known.get(device, Edges()), edges.get(number or 0, Edges()), ranges)
        for device, _, number, _ in rows
    }
    lost = [device for device, joined in found.items() if joined is None]
    found.update(_look_up(connection, lost))
    devices = []
    for device, name, number, variables in rows:
        joined = found[device] or Edges()
        devices.append(Device(device, number, name, variables, joined.first, joined.last))
    return devices


def _look_up(connection: Connection, devices: list[str]) -> dict[str, Edges]:
    if not devices:
        return {}
    # The many cheap look-ups add up to a cost at which the server would compile the query first,
    # and an earlier reader may have disabled indexes on this connection.
    connection.execute(";".join(("SET LOCAL jit = off", *PLANS_AS_BEFORE)).encode())
    found = connection.execute(EDGES, [devices])
    return {device: Edges(first, last) for device, first, last in found}


def note_excluded(
    connection: Connection, instant: Instant, segments: Iterable[Segment]
) -> list[Excluded]:
    """List what a database has and its snapshots leave out, by kind and name.

    Args:
        segments: The snapshot's segments, which know how many orphans were dropped from them.
    """
    filled = [EXCLUDED[one.name] for one in instant.find(EXCLUDED) if not one.is_empty]
    rows = connection.execute(" UNION ALL ".join([*filled, LARGE_OBJECTS]).encode()).fetchall()
    foreign = [one for one in instant.relations if not one.is_ours]
    excluded = [
        *(Excluded(kind, name, int(count), int(size)) for kind, name, count, size in rows),
        *(Excluded("relation", f"{one.schema}.{one.name}", 1, one.bytes) for one in foreign),
    ]
    excluded.sort(key=lambda one: (one.kind, one.name, one.size))
    if orphans := sum(sum(segment.orphans.values()) for segment in segments):
        excluded.append(Excluded("orphan", "Rows of deleted devices", orphans, 0))
    return excluded
