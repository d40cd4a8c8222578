"""Every chunk is read or taken over exactly once, whatever the counts say."""

from hypothesis import given
from hypothesis import strategies as st

from snapshots.engine.manifest import Segment
from snapshots.engine.segment_plan import (
    TARGET_ROWS,
    ChunkRange,
    plan_full,
    plan_incremental,
    split,
)

chunks = st.integers(-5_000, 30_000)
counts = st.dictionaries(chunks, st.integers(-10, 3 * TARGET_ROWS), max_size=40)


def as_segments(ranges: list[ChunkRange], rows: dict[int, int]) -> list[Segment]:
    return [
        Segment(
            table="variable",
            key=f"{number}",
            sha256="",
            rows=0,
            bytes=0,
            logical_bytes=0,
            digest="0" * 32,
            first_chunk=part.first,
            end_chunk=part.end,
            chunk_rows={chunk: n for chunk, n in rows.items() if part.holds(chunk) and n > 0},
        )
        for number, part in enumerate(ranges)
    ]


@given(counts, st.lists(chunks, max_size=20))
def test_the_pieces_hold_every_chunk_once(rows: dict[int, int], asked: list[int]) -> None:
    pieces = split(ChunkRange(None, None), rows)
    for chunk in [*rows, *asked]:
        assert sum(piece.holds(chunk) for piece in pieces) == 1


@given(counts)
def test_a_piece_of_several_chunks_is_small(rows: dict[int, int]) -> None:
    for piece in split(ChunkRange(None, None), rows):
        inside = [chunk for chunk, count in rows.items() if piece.holds(chunk) and count > 0]
        assert piece.rows <= TARGET_ROWS or len(inside) == 1


@given(counts, counts, st.lists(chunks, max_size=20))
def test_a_changed_chunk_is_read_and_every_other_one_is_covered_once(
    rows: dict[int, int], changes: dict[int, int], asked: list[int]
) -> None:
    base = as_segments(plan_full(rows).read, rows)
    plan = plan_incremental(base, changes)
    covered = [*plan.read, *(ChunkRange(s.first_chunk, s.end_chunk) for s in plan.reused)]
    for chunk in [*rows, *changes, *asked]:
        assert sum(piece.holds(chunk) for piece in covered) == 1
    for chunk in changes:
        assert any(piece.holds(chunk) for piece in plan.read)


def test_the_largest_of_the_changed_ranges_is_read_first() -> None:
    rows = {1: 40_000, 2: 60_000, 3: 90_000, 4: 50_000}
    base = as_segments(plan_full(rows).read, rows)
    plan = plan_incremental(base, {1: 0, 3: 1, 4: 0})
    assert [part.rows for part in plan.read] == [90_001, 50_000, 40_000]
