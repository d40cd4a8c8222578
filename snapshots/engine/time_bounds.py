"""Find the first and last time of each device's rows, reading little.

The rows that a snapshot reads tell their own times, and the base those of all other rows. A
device's rows are looked up only if its first or last row was in a range read again and is gone.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from snapshots.engine.day_device_counts import Numbers, SeriesDevices
from snapshots.engine.pg_timestamps import EPOCH
from snapshots.engine.segment_plan import ChunkRange


@dataclass(frozen=True)
class Edges:
    """The first and last time of some rows; both or neither."""

    first: datetime | None = None
    last: datetime | None = None


class EdgeCounter:
    """Collects the edges of the rows read, by device number, from threads."""

    def __init__(self, devices: SeriesDevices) -> None:
        self._devices = devices
        self._parts: list[tuple[Numbers, Numbers, Numbers]] = []

    def add(self, table: pa.Table) -> None:
        """Add a table of variables; fast if it is sorted by series."""
        if not table.num_rows:
            return
        series = table["series_id"].to_numpy()
        moments = table["time"].cast(pa.int64()).to_numpy()
        starts = np.flatnonzero(np.r_[True, series[1:] != series[:-1]])
        numbers = self._devices.numbers(series[starts])
        firsts, lasts = np.minimum.reduceat(moments, starts), np.maximum.reduceat(moments, starts)
        self._parts.append((numbers, firsts, lasts))

    def edges(self) -> dict[int, Edges]:
        """Return the edges of all added rows."""
        if not self._parts:
            return {}
        numbers, firsts, lasts = (
            np.concatenate(column) for column in zip(*self._parts, strict=True)
        )
        known, places = np.unique(numbers, return_inverse=True)
        first = np.full(len(known), np.iinfo(np.int64).max)
        last = np.full(len(known), np.iinfo(np.int64).min)
        np.minimum.at(first, places, firsts)
        np.maximum.at(last, places, lasts)
        return {
            int(number): Edges(_moment(start), _moment(end))
            for number, start, end in zip(known, first, last, strict=True)
        }


def _moment(microseconds: int) -> datetime:
    return EPOCH + timedelta(microseconds=int(microseconds))


def join_edges(known: Edges, read: Edges, ranges: Iterable[ChunkRange]) -> Edges | None:
    """Join the edges of a device's rows; None if neither side knows them.

    Args:
        known: The edges of all rows that it had.
        read: The edges of its current rows in the ranges that were read again.
    """
    if known.first is None or known.last is None:
        return read
    ranges = list(ranges)
    first = _join(known.first, read.first, ranges, is_first=True)
    last = _join(known.last, read.last, ranges, is_first=False)
    return Edges(first, last) if first and last else None


def _join(
    known: datetime, read: datetime | None, ranges: list[ChunkRange], *, is_first: bool
) -> datetime | None:
    if read and (read <= known if is_first else read >= known):
        return read
    # If its chunk was not read again, the row is unchanged.
    chunk = (known - EPOCH).days
    return None if any(part.holds(chunk) for part in ranges) else known
