"""Leave out rows of variables whose series or device is gone.

No foreign key prevents them (schema.sql says why): SQL that deletes a device or a series leaves its
rows behind. After a restore, the number of their series would sooner or later be given to another
series, and the rows with it.
"""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
from psycopg import Connection, sql

from snapshots.engine.day_device_counts import SeriesDevices, rows_of_chunks
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


def chunks_of_changed_series(
    connection: Connection, storage: Storage, base: Manifest, devices: SeriesDevices
) -> set[int]:
    """Find chunks with rows of series that are gone, back or reassigned.

    Changing a series changes no row of the variables, so it leaves no mark; nor does a series that
    gives its device a lower number, under which the cells of its other series are then missed.

    Args:
        devices: The series as they are now.

    Raises:
        EngineError: an object of the base is missing or damaged.
    """
    pairs = [pair for segment in base.of("series") for pair in _pairs_in(storage, segment)]
    before = SeriesDevices(pairs)
    changed = before.changed_in(devices)
    if any(segment.orphans for segment in base.segments):
        changed = np.union1d(changed, np.setdiff1d(devices.series, before.series))
    if not len(changed):
        return set()
    rows = connection.execute(CHUNKS_OF_SERIES, [changed.tolist()]).fetchall()
    return {chunk for (chunk,) in rows}


def _pairs_in(storage: Storage, segment: Segment) -> Iterable[tuple[int, str]]:
    """Read series with their devices; DamagedSnapshotError if unusable."""
    rows = read_segment(storage, segment)
    check_columns(rows.column_names, ("id", "device_id"), segment.table)
    pairs = rows.select(["id", "device_id"])
    if not _are_pairs(pairs):
        raise DamagedSnapshotError(
            f"A part of this backup ({segment.table}, {segment.key}) holds something else."
        )
    return zip(*(column.to_pylist() for column in pairs.columns), strict=True)


def _are_pairs(rows: pa.Table) -> bool:
    try:
        # Find texts that are not UTF-8.
        rows.validate(full=True)
    except pa.ArrowInvalid:
        return False
    series, device = rows.columns
    is_lacking = series.null_count or device.null_count
    return pa.types.is_integer(series.type) and pa.types.is_string(device.type) and not is_lacking
