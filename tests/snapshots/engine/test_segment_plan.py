"""Every chunk is read or reused exactly once, whatever the counts are."""

from typing import cast

from hypothesis import given
from hypothesis import strategies as st

from backups_portal.projectdb.catalogue import VARIABLE
from snapshots.engine.manifest import Manifest, Segment
from snapshots.engine.reading_plan import CountJob, Reading, ReadJob, ResourcesJob, plan_jobs
from snapshots.engine.segment_plan import (
    TARGET_ROWS,
    ChunkRange,
    Plan,
    plan_full,
    plan_incremental,
    split,
)
from snapshots.engine.source_database import Instant

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


def test_the_largest_range_is_begun_first_and_counting_comes_last() -> None:
    changed = [ChunkRange(3, 4, 900), ChunkRange(0, 1, 5)]
    reused = as_segments([ChunkRange(None, 0), ChunkRange(1, 3)], {-1: 7, 1: 8})
    reading = Reading(cast(Instant, None), cast(Manifest, None), None, Plan(changed, reused), False)
    first, *between, second, third, last = plan_jobs(reading, ())
    assert (first, second) == (ReadJob(VARIABLE, changed[0]), ReadJob(VARIABLE, changed[1]))
    assert [type(job) for job in between] == [ResourcesJob]
    assert isinstance(third, CountJob)
    assert isinstance(last, CountJob)
