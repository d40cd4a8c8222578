"""Read the points of a chart from a snapshot part by part, to save memory."""

import pyarrow as pa

from snapshots.engine.device_records import DeviceRecords
from snapshots.engine.downsampling import Points, join, thin_out
from snapshots.engine.series_search import Selection

# Points in memory before they are thinned out: 4 MB. Thinning every part takes a third longer.
MAX_HELD = 250_000


def chart_points(records: DeviceRecords, selection: Selection, *, columns: int) -> Points:
    """Read the numbers of a selection, thinned out to pixel columns.

    Raises:
        TooLongError: the period has more data than one request may read.
        EngineError: a segment is missing, damaged or locked.
    """
    since, until = selection.since or 0, selection.until or 0
    held: list[Points] = []
    count = 0
    for part in records.parts(selection, ("time", "number_value")):
        held.append(_points(part))
        count += part.num_rows
        if count > MAX_HELD:
            held = [thin_out(join(held), since=since, until=until, columns=columns)]
            count = len(held[0].times)
    return thin_out(join(held), since=since, until=until, columns=columns)


def _points(part: pa.Table) -> Points:
    # Missing values become NaN, which `thin_out` drops.
    values = part["number_value"].to_numpy(zero_copy_only=False)
    return Points(part["time"].cast(pa.int64()).to_numpy(), values)
