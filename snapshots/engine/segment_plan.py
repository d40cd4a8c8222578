"""Plan which chunks go into which segments, and which segments to reuse."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from snapshots.engine.manifest import Segment

# Consecutive chunks share a segment up to this many rows: small enough that a change rereads
# little, large enough that a quiet year is not hundreds of objects.
TARGET_ROWS = 65_536


@dataclass(frozen=True)
class ChunkRange:
    """Chunks from `first` up to but not including `end`; None means no bound."""

    first: int | None
    end: int | None
    rows: int = 0

    def meets(self, other: "ChunkRange") -> bool:
        """Tell whether the ranges share a chunk."""
        return (self.first is None or other.end is None or self.first < other.end) and (
            other.first is None or self.end is None or other.first < self.end
        )

    def overlap(self, other: "ChunkRange") -> "ChunkRange | None":
        """Return the chunks that are in both ranges; None if there are none."""
        if not self.meets(other):
            return None
        firsts = [one.first for one in (self, other) if one.first is not None]
        ends = [one.end for one in (self, other) if one.end is not None]
        return ChunkRange(max(firsts, default=None), min(ends, default=None))

    def holds(self, chunk: int) -> bool:
        """Tell whether the chunk is in the range."""
        return (self.first is None or self.first <= chunk) and (
            self.end is None or chunk < self.end
        )

    def select(self, chunk_rows: Mapping[int, int]) -> dict[int, int]:
        """Return the counts of the chunks in the range."""
        return {chunk: rows for chunk, rows in chunk_rows.items() if self.holds(chunk)}


def by_range(segments: Iterable[Segment]) -> list[tuple[ChunkRange, list[Segment]]]:
    """Group segments by the range of chunks that they share, in order of time."""
    groups: dict[ChunkRange, list[Segment]] = {}
    for segment in segments:
        groups.setdefault(ChunkRange(segment.first_chunk, segment.end_chunk), []).append(segment)
    return sorted(groups.items(), key=lambda item: (item[0].first is not None, item[0].first or 0))


def count_rows(
    segments: Iterable[Segment], changes: Mapping[int, int] = MappingProxyType({})
) -> dict[int, int]:
    """Count the database's rows by chunk, orphans too, after some changes."""
    counts = dict(changes)
    for segment in segments:
        for chunk, rows in (*segment.chunk_rows.items(), *segment.orphans.items()):
            counts[chunk] = counts.get(chunk, 0) + rows
    return counts


def split(
    whole: ChunkRange, chunk_rows: Mapping[int, int], target: int | None = None
) -> list[ChunkRange]:
    """Divide a range so that small consecutive chunks share a piece.

    The pieces cover the range without gaps whatever the counts say, so that uncounted rows are read
    too.

    Args:
        target: The rows that a piece may have; only its first chunk may exceed it.
    """
    target = TARGET_ROWS if target is None else target
    ranges: list[ChunkRange] = []
    first, rows = whole.first, 0
    for chunk in sorted(chunk for chunk in chunk_rows if whole.holds(chunk)):
        count = max(chunk_rows[chunk], 0)
        if rows and rows + count > target:
            ranges.append(ChunkRange(first, chunk, rows))
            first, rows = chunk, 0
        rows += count
    return [*ranges, ChunkRange(first, whole.end, rows)]


@dataclass(frozen=True)
class Plan:
    """What a snapshot reads of the variables, and what it reuses."""

    read: list[ChunkRange]
    reused: list[Segment]

    @property
    def rows(self) -> int:
        """Return the number of rows to read, as far as they were counted."""
        return sum(part.rows for part in self.read)


def plan_full(chunk_rows: Mapping[int, int]) -> Plan:
    """Plan to read everything."""
    return Plan(read=split(ChunkRange(None, None), chunk_rows), reused=[])


def plan_incremental(base: Iterable[Segment], changes: Mapping[int, int]) -> Plan:
    """Plan to read ranges with changes, largest first, and reuse all others.

    Args:
        base: The segments of variables of the snapshot that the changes are relative to.
        changes: By changed chunk, how many rows were added (or removed, if negative).
    """
    read: list[ChunkRange] = []
    reused: list[Segment] = []
    for whole, segments in by_range(base):
        if inside := whole.select(changes):
            read += split(whole, count_rows(segments, inside))
        else:
            reused += segments
    # The largest range takes the longest; starting it last would leave the other readers idle.
    return Plan(read=sorted(read, key=lambda part: part.rows, reverse=True), reused=reused)
