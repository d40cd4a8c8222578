"""Which chunks of variables go into which segments, and which segments can be used again."""

from collections.abc import Iterable
from dataclasses import dataclass

from snapshots.engine.manifest import Segment

# Consecutive chunks share a segment while they hold no more rows than this: small enough that a
# change rereads little, large enough that a quiet year is not hundreds of objects.
TARGET_ROWS = 65_536


@dataclass(frozen=True)
class ChunkRange:
    """Chunks from `first` up to but not including `end`; None means no bound."""

    first: int | None
    end: int | None
    rows: int = 0

    def meets(self, other: "ChunkRange") -> bool:
        """Whether some chunk is one of both."""
        return (self.first is None or other.end is None or self.first < other.end) and (
            other.first is None or self.end is None or other.first < self.end
        )

    def holds(self, chunk: int) -> bool:
        """Whether the chunk is one of the range."""
        return (self.first is None or self.first <= chunk) and (
            self.end is None or chunk < self.end
        )


def split(
    whole: ChunkRange, chunk_rows: dict[int, int], target: int | None = None
) -> list[ChunkRange]:
    """Tile a range, so that consecutive chunks share a piece while it stays small.

    The pieces cover the range without gaps whatever the counts say: rows that nobody counted
    are read all the same.

    Args:
        target: As many rows as a piece may hold, beside those of its first chunk.
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
    """What a snapshot reads of the variables, and what it takes over."""

    read: list[ChunkRange]
    reused: list[Segment]

    @property
    def rows(self) -> int:
        """Rows to read, as far as anybody counted."""
        return sum(part.rows for part in self.read)


def plan_full(chunk_rows: dict[int, int]) -> Plan:
    """Read everything."""
    return Plan(read=split(ChunkRange(None, None), chunk_rows), reused=[])


def plan_incremental(base: Iterable[Segment], changes: dict[int, int]) -> Plan:
    """Read the ranges in which a chunk changed, and take over all other segments.

    Args:
        base: The segments of variables of the snapshot that the changes are relative to.
        changes: By changed chunk, how many rows came (or went, where negative).
    """
    ranges: dict[tuple[int | None, int | None], list[Segment]] = {}
    for segment in base:
        ranges.setdefault((segment.first_chunk, segment.end_chunk), []).append(segment)
    read: list[ChunkRange] = []
    reused: list[Segment] = []
    for (first, end), segments in ranges.items():
        whole = ChunkRange(first, end)
        inside = {chunk: rows for chunk, rows in changes.items() if whole.holds(chunk)}
        if not inside:
            reused += segments
            continue
        for segment in segments:
            for chunk, rows in segment.chunk_rows.items():
                inside[chunk] = inside.get(chunk, 0) + rows
        read += split(whole, inside)
    return Plan(read=read, reused=reused)
