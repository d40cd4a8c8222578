"""Cut a transfer into batches by time.

A heap holds rows roughly in the order of their time, so a slice of time is read from adjacent
blocks, and written to the target in an order that its block-range indexes can use.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from backups_portal.transfers.move.lane_digests import Slice

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def cut_slices(
    rows_by_day: Mapping[int, int],
    *,
    since: datetime | None,
    until: datetime | None,
    batch_rows: int,
) -> list[Slice]:
    """Cut time into ranges of about `batch_rows` rows each, without gaps.

    Args:
        rows_by_day: The number of rows by day since 1970.
        since: The start of the first slice.
        until: The end of the last slice.
    """
    cuts: list[datetime] = []
    filled = 0
    for day, rows in sorted(rows_by_day.items()):
        if filled and filled + rows > batch_rows:
            cuts.append(EPOCH + DAY * day)
            filled = 0
        parts = -(-rows // batch_rows)
        cuts += [EPOCH + DAY * day + DAY * part / parts for part in range(1, parts)]
        filled = filled + rows if parts < 2 else rows // parts
    inside = [cut for cut in cuts if (not since or cut > since) and (not until or cut < until)]
    bounds = [since, *inside, until]
    pairs = itertools.pairwise(bounds)
    return [Slice(number, begin, end) for number, (begin, end) in enumerate(pairs)]


@dataclass(frozen=True)
class Rows:
    """The number of rows chosen in a slice, and whether none is to be stored."""

    chosen: int
    is_idle: bool


def join_idle(
    slices: Sequence[Slice], rows: Sequence[Rows], *, most: int
) -> tuple[list[Slice], list[int]]:
    """Join adjacent slices that have nothing to store.

    Returns:
        The slices, and the numbers of those with nothing to store.
    """
    joined: list[Slice] = []
    numbers: list[int] = []
    idle = 0
    for part, counts in zip(slices, rows, strict=True):
        if idle and counts.is_idle and idle + counts.chosen <= most:
            idle += counts.chosen
            joined[-1] = replace(joined[-1], until=part.until)
        else:
            idle = counts.chosen if counts.is_idle else 0
            if counts.is_idle:
                numbers.append(len(joined))
            joined.append(replace(part, number=len(joined)))
    return joined, numbers
