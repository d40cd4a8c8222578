"""Read everything again, to find changes that tracking did not see.

Pure: ranges, rows and digests in, differences out. The snapshot computes the digests anyway, so
this check adds no cost to the reading.
"""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import accumulate
from random import SystemRandom

from snapshots.engine.manifest import Segment, UntrackedChange
from snapshots.engine.segment_plan import TARGET_ROWS, ChunkRange, Plan, by_range, count_rows, split
from snapshots.engine.segments import total_digest

# Rows that an incremental snapshot counts in addition to those it reads: 0.4 µs each, 50 ms in
# all. A smaller project is counted completely each time, a larger one bit by bit: one range at
# least, however large, because a project of large days would otherwise never be counted.
MAX_COUNTED_ROWS = 131_072


def plan_reread(base: Iterable[Segment], changes: Mapping[int, int]) -> Plan:
    """Read everything, in ranges that can be compared with those of the base.

    A range without changes is read as it is, or together with its neighbours if they are small;
    all others are split again.
    """
    read: list[ChunkRange] = []
    open_range: ChunkRange | None = None
    for bounds, segments in by_range(base):
        whole = replace(bounds, rows=sum(segment.rows for segment in segments))
        inside = whole.select(changes)
        if open_range and (inside or open_range.rows + whole.rows > TARGET_ROWS):
            read.append(open_range)
            open_range = None
        if inside:
            read += split(whole, count_rows(segments, inside))
        elif open_range:
            open_range = ChunkRange(open_range.first, whole.end, open_range.rows + whole.rows)
        else:
            open_range = whole
    if open_range:
        read.append(open_range)
    return Plan(read=read, reused=[])


def choose_counted(reused: Iterable[Segment]) -> list[ChunkRange]:
    """Choose random ranges that are cheap to count instead of reading them.

    Returns:
        Each range with the rows that it should have.
    """
    ranges = [
        replace(whole, rows=sum(count_rows(segments).values()))
        for whole, segments in by_range(reused)
    ]
    SystemRandom().shuffle(ranges)
    totals = list(accumulate(part.rows for part in ranges))
    most = max([MAX_COUNTED_ROWS, *totals[:1]])
    return [part for part, total in zip(ranges, totals, strict=True) if total <= most]


def untracked_changes(
    base: Iterable[Segment], changes: Mapping[int, int], now: Iterable[Segment]
) -> list[UntrackedChange]:
    """Find variables that differ from what the base and the changes predict.

    Args:
        base: The segments of variables of the snapshot that the changes are relative to.
        changes: By changed chunk, how many rows were added (or removed, if negative).
        now: The segments of variables of a snapshot that read the ranges of `plan_reread`.
    """
    base = list(base)
    expected = count_rows(base, changes)
    found: list[UntrackedChange] = []
    for whole, segments in by_range(now):
        inside = whole.select(changes)
        wrong_counts = _differences(whole.select(expected), count_rows(segments))
        found += wrong_counts
        same = [segment for segment in base if _is_within(segment, whole)]
        if not inside and not wrong_counts and total_digest(same) != total_digest(segments):
            rows = sum(segment.rows for segment in segments)
            found.append(UntrackedChange(whole.first, whole.end, rows, rows))
    return found


def wrong_counts(
    base: Iterable[Segment], changes: Mapping[int, int], now: Iterable[Segment]
) -> list[UntrackedChange]:
    """Find chunks whose row counts differ from the predicted ones."""
    return _differences(count_rows(base, changes), count_rows(now))


def _differences(expected: Mapping[int, int], counted: Mapping[int, int]) -> list[UntrackedChange]:
    return [
        UntrackedChange(chunk, chunk + 1, expected.get(chunk, 0), counted.get(chunk, 0))
        for chunk in sorted({*expected, *counted})
        if expected.get(chunk, 0) != counted.get(chunk, 0)
    ]


def _is_within(segment: Segment, whole: ChunkRange) -> bool:
    starts = whole.first is None or (
        segment.first_chunk is not None and whole.first <= segment.first_chunk
    )
    ends = whole.end is None or (segment.end_chunk is not None and segment.end_chunk <= whole.end)
    return starts and ends
