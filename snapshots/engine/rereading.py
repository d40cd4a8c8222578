"""Reading everything again although tracking says what changed, to find what it did not see.

Pure: ranges, rows and digests in, differences out. The digests are those that the snapshot computes
anyway, so that looking costs nothing beside the reading.
"""

from collections.abc import Iterable, Mapping

from snapshots.engine.chunks import TARGET_ROWS, ChunkRange, Plan, split
from snapshots.engine.manifest import Segment, UntrackedChange
from snapshots.engine.segments import total_digest

Bounds = tuple[int | None, int | None]


def plan_reread(base: Iterable[Segment], changes: Mapping[int, int]) -> Plan:
    """Read everything, in ranges that can be compared with those of the base.

    A range without changes is read as it is, or together with its neighbours where they are small;
    the others are cut anew.
    """
    read: list[ChunkRange] = []
    open_range: ChunkRange | None = None
    for bounds, segments in _by_range(base):
        whole = ChunkRange(*bounds, rows=sum(segment.rows for segment in segments))
        inside = _inside(whole, changes)
        if open_range and (inside or open_range.rows + whole.rows > TARGET_ROWS):
            read.append(open_range)
            open_range = None
        if inside:
            read += split(whole, _count(segments, inside))
        elif open_range:
            open_range = ChunkRange(open_range.first, whole.end, open_range.rows + whole.rows)
        else:
            open_range = whole
    if open_range:
        read.append(open_range)
    return Plan(read=read, reused=[])


def untracked_changes(
    base: Iterable[Segment], changes: Mapping[int, int], now: Iterable[Segment]
) -> list[UntrackedChange]:
    """Where the variables are not what the base and the changes since then foretell.

    Args:
        base: The segments of variables of the snapshot that the changes are relative to.
        changes: By changed chunk, how many rows came (or went, where negative).
        now: The segments of variables of a snapshot whose ranges `plan_reread` gave.
    """
    base = list(base)
    expected = _count(base, changes)
    found: list[UntrackedChange] = []
    for bounds, segments in _by_range(now):
        whole = ChunkRange(*bounds)
        inside = _inside(whole, changes)
        wrong_counts = _differences(_inside(whole, expected), _count(segments, {}))
        found += wrong_counts
        same = [segment for segment in base if _is_within(segment, whole)]
        if not inside and not wrong_counts and total_digest(same) != total_digest(segments):
            rows = sum(segment.rows for segment in segments)
            found.append(UntrackedChange(*bounds, rows_expected=rows, rows_found=rows))
    return found


def _differences(expected: Mapping[int, int], counted: Mapping[int, int]) -> list[UntrackedChange]:
    return [
        UntrackedChange(chunk, chunk + 1, expected.get(chunk, 0), counted.get(chunk, 0))
        for chunk in sorted({*expected, *counted})
        if expected.get(chunk, 0) != counted.get(chunk, 0)
    ]


def _by_range(segments: Iterable[Segment]) -> list[tuple[Bounds, list[Segment]]]:
    """Segments by the range of chunks that they share, in the order of time."""
    ranges: dict[Bounds, list[Segment]] = {}
    for segment in segments:
        ranges.setdefault((segment.first_chunk, segment.end_chunk), []).append(segment)
    return sorted(ranges.items(), key=lambda item: (item[0][0] is not None, item[0][0] or 0))


def _inside(whole: ChunkRange, chunks: Mapping[int, int]) -> dict[int, int]:
    return {chunk: rows for chunk, rows in chunks.items() if whole.holds(chunk)}


def _count(segments: Iterable[Segment], changes: Mapping[int, int]) -> dict[int, int]:
    """Rows by chunk, after the changes."""
    counts = dict(changes)
    for segment in segments:
        for chunk, rows in segment.chunk_rows.items():
            counts[chunk] = counts.get(chunk, 0) + rows
    return counts


def _is_within(segment: Segment, whole: ChunkRange) -> bool:
    starts = whole.first is None or (
        segment.first_chunk is not None and whole.first <= segment.first_chunk
    )
    ends = whole.end is None or (segment.end_chunk is not None and segment.end_chunk <= whole.end)
    return starts and ends
