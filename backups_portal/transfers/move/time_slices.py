"""Cut a transfer into batches by time.

Rows lie in a heap in the order of their time, more or less: slices of time are read from there in
one go, and are written to the target in an order that its block-range indexes can use.
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
    """Cut time into ranges of about as many rows each, without a gap.

    Args:
        rows_by_day: Rows by day since 1970.
        since: Where the first slice begins.
        until: Where the last slice ends.
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
    """Rows of a slice: how many were chosen, and whether none of them has to be stored."""

    chosen: int
    is_idle: bool


def join_idle(
    slices: Sequence[Slice], rows: Sequence[Rows], *, most: int
) -> tuple[list[Slice], list[int]]:
    """Join neighbouring slices that have nothing to store.

    Returns:
        The slices, and the numbers of those that have nothing to store.
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
