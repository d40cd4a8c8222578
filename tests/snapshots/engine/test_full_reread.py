"""A full reread finds what tracking did not see, and nothing else."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from snapshots.engine.digest import Digest
from snapshots.engine.full_reread import plan_reread, untracked_changes
from snapshots.engine.manifest import Manifest, Segment, UntrackedChange
from snapshots.engine.segment_plan import TARGET_ROWS
from tests.projectdatabases import (
    START,
    Backups,
    Connection,
    add_device,
    add_rows,
    open_database,
)

FIRST = START.toordinal() - 719_163  # days since 1970-01-01


def segment(first: int | None, end: int | None, rows: dict[int, int], digest: int = 0) -> Segment:
    return Segment(
        table="variable",
        key=f"{first}-{end}-{digest}",
        sha256="",
        rows=sum(rows.values()),
        bytes=1,
        logical_bytes=1,
        digest=str(Digest(digest)),
        first_chunk=first,
        end_chunk=end,
        chunk_rows=rows,
    )


def ranges(base: list[Segment], changes: dict[int, int]) -> list[tuple[int | None, int | None]]:
    return [(part.first, part.end) for part in plan_reread(base, changes).read]


class TestPlan:
    BASE = [
        segment(None, 10, {1: 5, 9: 5}),
        segment(10, 20, {10: TARGET_ROWS}),
        segment(20, 30, {20: 5}),
        segment(30, None, {30: 5}),
    ]

    def test_small_neighbours_are_read_together_and_large_ones_are_not(self) -> None:
        assert ranges(self.BASE, {}) == [(None, 10), (10, 20), (20, None)]

    def test_a_changed_range_stays_alone_and_is_cut_anew(self) -> None:
        assert ranges(self.BASE, {21: TARGET_ROWS}) == [
            (None, 10),
            (10, 20),
            (20, 21),
            (21, 30),
            (30, None),
        ]

    def test_an_empty_database_is_read_whole(self) -> None:
        assert ranges([segment(None, None, {})], {}) == [(None, None)]
        assert ranges([segment(None, None, {})], {7: 3}) == [(None, None)]

    def test_several_segments_of_a_range_are_one_range(self) -> None:
        base = [segment(None, None, {1: 4}, 1), segment(None, None, {1: 3}, 2)]
        assert ranges(base, {}) == [(None, None)]


class TestComparison:
    BASE = [segment(None, 10, {1: 5}, 3), segment(10, None, {12: 5}, 4)]

    def test_what_was_foretold_is_no_difference(self) -> None:
        now = [segment(None, None, {1: 5, 12: 5}, 7)]
        assert untracked_changes(self.BASE, {}, now) == []
        grown = [segment(None, 10, {1: 5}, 3), segment(10, None, {12: 8}, 9)]
        assert untracked_changes(self.BASE, {12: 3}, grown) == []

    def test_other_content_of_the_same_rows(self) -> None:
        now = [segment(None, 10, {1: 5}, 99), segment(10, None, {12: 5}, 4)]
        assert untracked_changes(self.BASE, {}, now) == [UntrackedChange(None, 10, 5, 5)]

    def test_rows_that_came_and_went_name_their_chunks(self) -> None:
        now = [segment(None, 10, {2: 5}, 3), segment(10, None, {12: 9}, 9)]
        assert untracked_changes(self.BASE, {12: 3}, now) == [
            UntrackedChange(1, 2, 5, 0),
            UntrackedChange(2, 3, 0, 5),
            UntrackedChange(12, 13, 8, 9),
        ]


@pytest.fixture
def source(backups: Backups) -> Iterator[Connection]:
    with open_database(backups.source) as connection:
        add_device(connection)
        for day in range(5):
            add_rows(connection, day, 20)
        yield connection


@contextmanager
def untracked(connection: Connection) -> Iterator[None]:
    """Bypass the triggers, as a superuser or a fault may."""
    connection.execute("ALTER TABLE variable DISABLE TRIGGER USER")
    yield
    connection.execute("ALTER TABLE variable ENABLE TRIGGER USER")


def test_without_a_difference_nothing_is_said(backups: Backups, source: Connection) -> None:
    backups.take()
    add_rows(source, 3, 7, series=2)
    source.execute("UPDATE variable SET number_value = 1 WHERE id = 5")
    manifest = backups.take(full=True)
    assert manifest.is_full
    assert manifest.untracked == ()
    assert manifest.table_rows["variable"] == 107


def test_a_changed_value(backups: Backups, source: Connection) -> None:
    backups.take()
    with untracked(source):
        source.execute("UPDATE variable SET number_value = 99 WHERE id = 5")
    assert backups.take().untracked == ()
    manifest = backups.take(full=True)
    assert manifest.untracked == (UntrackedChange(None, None, 100, 100),)
    assert Manifest.from_json(manifest.to_json()) == manifest
    with open_database(backups.source) as connection:
        (rows,) = connection.execute("SELECT count(*) FROM variable_record").fetchone() or ()
    assert len(backups.contents_of(manifest)) == rows


def test_lost_rows(backups: Backups, source: Connection) -> None:
    backups.take()
    add_rows(source, 2, 5, series=2)
    with untracked(source):
        source.execute("DELETE FROM variable WHERE id <= 3")
    assert backups.take(full=True).untracked == (UntrackedChange(FIRST, FIRST + 1, 20, 17),)


def test_a_full_snapshot_without_a_usable_base_compares_nothing(
    backups: Backups, source: Connection
) -> None:
    backups.take()
    source.execute("TRUNCATE variable")
    assert backups.take(full=True).untracked == ()
