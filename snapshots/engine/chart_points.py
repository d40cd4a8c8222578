"""Thin out a variable's values to what a screen can show, keeping peaks.

Each pixel column keeps its first, lowest, highest and last value, which draws the same line as all
of them (M4: Jugel et al., VLDB 2014). Thinned-out points can be joined and thinned out again with
the same result, so a long period can be read part by part, to save memory.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from snapshots.engine.device_records import DeviceRecords
from snapshots.engine.series_search import Selection

Numbers = npt.NDArray[np.int64]
Values = npt.NDArray[np.float64]
# Points in memory before they are thinned out: 4 MB. Thinning every part takes a third longer.
MAX_HELD = 250_000


class Points(NamedTuple):
    """Times in microseconds since 1970, in order, with their values."""

    times: Numbers
    values: Values


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


def thin_out(points: Points, *, since: int, until: int, columns: int) -> Points:
    """Keep at most four values for each pixel column of a period.

    Args:
        points: In any order; points outside the period or without a finite value are dropped.
    """
    times, values = points
    shown = (times >= since) & (times < until) & np.isfinite(values)
    times, values = times[shown], values[shown]
    order = np.argsort(times, kind="stable")
    times, values = times[order], values[order]
    if not len(times):
        return Points(times, values)
    width = max((until - since) / columns, 1.0)
    places = ((times - since) / width).astype(np.int64)
    firsts = np.flatnonzero(np.r_[True, places[1:] != places[:-1]])
    lasts = np.r_[firsts[1:], len(times)] - 1
    # Sorted by column, then by value from lowest to highest.
    ranked = np.lexsort((values, places))
    kept = np.unique(np.concatenate([firsts, ranked[firsts], ranked[lasts], lasts]))
    return Points(times[kept], values[kept])


def join(parts: list[Points]) -> Points:
    """Concatenate the points of several parts."""
    if not parts:
        return Points(np.empty(0, np.int64), np.empty(0, np.float64))
    return Points(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))
