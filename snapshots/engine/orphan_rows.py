"""Leave out rows of variables whose series or device is gone.

No foreign key prevents them (schema.sql says why): SQL that deletes a device or a series leaves its
rows behind. After a restore, the number of their series would sooner or later be given to another
series, and the rows with it.
"""

import numpy as np
import pyarrow as pa
from psycopg import Connection, sql

from snapshots.engine.day_device_counts import Numbers, SeriesDevices, rows_of_chunks
from snapshots.engine.errors import DamagedSnapshotError
from snapshots.engine.manifest import Manifest, Segment
from snapshots.engine.pg_timestamps import CHUNK_OF_TIME
from snapshots.engine.segments import check_columns, read_segment
from snapshots.engine.storage import Storage

CHUNKS_OF_SERIES = sql.SQL("SELECT DISTINCT {} FROM variable WHERE series_id = ANY(%s)").format(
    CHUNK_OF_TIME
)


def drop_orphans(table: pa.Table, devices: SeriesDevices) -> tuple[pa.Table, dict[int, int]]:
    """Split variables into the rows to keep, and counts of orphans by chunk."""
    known = devices.know(table["series_id"].to_numpy())
    if known.all():
        return table, {}
    return table.filter(pa.array(known)), rows_of_chunks(table.filter(pa.array(~known)))


def chunks_of_orphans(
    connection: Connection, storage: Storage, base: Manifest, devices: SeriesDevices
) -> set[int]:
    """Find chunks in which rows became orphans, or stopped being orphans.

    Deleting a series changes no row of the variables, so it leaves no mark.

    Args:
        devices: The series as they are now.

    Raises:
        EngineError: an object of the base is missing or damaged.
    """
    before = [_series_in(storage, segment) for segment in base.of("series")]
    old, new = np.concatenate([np.empty(0, np.int64), *before]), devices.series
    changed = np.setdiff1d(old, new)
    if any(segment.orphans for segment in base.segments):
        changed = np.setxor1d(old, new)
    if not len(changed):
        return set()
    rows = connection.execute(CHUNKS_OF_SERIES, [changed.tolist()]).fetchall()
    return {chunk for (chunk,) in rows}


def _series_in(storage: Storage, segment: Segment) -> Numbers:
    """Read the numbers of series; DamagedSnapshotError if they are unusable."""
    rows = read_segment(storage, segment)
    check_columns(rows.column_names, ("id",), segment.table)
    if not pa.types.is_integer(rows["id"].type):
        raise DamagedSnapshotError(
            f"A part of this backup ({segment.table}, {segment.key}) holds something else."
        )
    return rows["id"].to_numpy()
