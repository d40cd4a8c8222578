"""Read the points of a chart out of a snapshot, part by part and in little memory."""

import pyarrow as pa

from snapshots.engine.device_records import DeviceRecords
from snapshots.engine.downsampling import Points, join, thin_out
from snapshots.engine.series_search import Selection


def chart_points(records: DeviceRecords, selection: Selection, *, columns: int) -> Points:
    """Read the numbers of a selection that has both bounds, thinned out to columns of pixels.

    Raises:
        TooLongError: there is more in the period than may be read.
        EngineError: a segment is missing, damaged or locked.
    """
    since, until = selection.since or 0, selection.until or 0
    parts = [
        thin_out(_points(part), since=since, until=until, columns=columns)
        for part in records.parts(selection, ("time", "number_value"))
    ]
    return thin_out(join(parts), since=since, until=until, columns=columns)


def _points(part: pa.Table) -> Points:
    known = part.filter(part["number_value"].is_valid())
    return Points(known["time"].cast(pa.int64()).to_numpy(), known["number_value"].to_numpy())
