"""Whatever happens between two snapshots, the next one restores to the source's content."""

from datetime import timedelta

import psycopg
import pytest

from snapshots.engine import full_reread, segment_plan
from snapshots.engine.manifest import Manifest
from tests.projectdatabases import START, Backups, Connection, add_rows, contents


def assert_exact(backups: Backups, manifest: Manifest) -> None:
    """Assert that the snapshot restores to the source's current rows, as a full one does."""
    expected = contents(backups.source)
    assert expected
    assert backups.contents_of(manifest) == expected
    assert backups.contents_of(backups.take(full=True)) == expected


def test_the_first_snapshot_is_full_and_the_next_reads_only_what_changed(
    backups: Backups, source: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Prevents four days of twenty rows from sharing one segment.
    monkeypatch.setattr(segment_plan, "TARGET_ROWS", 30)
    for day in range(4):
        add_rows(source, day, 20)
    first = backups.take()
    add_rows(source, 9, 5)
    second = backups.take()
    assert first.is_full
    assert not second.is_full
    assert second.new_keys
    reused = {segment.key for segment in second.of("variable")} - second.new_keys
    assert len(reused) == 3
    assert_exact(backups, second)


def test_nothing_changed_stores_nothing_new(backups: Backups, source: Connection) -> None:
    add_rows(source, 0, 10)
    first = backups.take()
    second = backups.take()
    assert second.new_keys == frozenset()
    assert [s.key for s in second.segments] == [s.key for s in first.segments]


def test_updates_and_deletes_are_seen(backups: Backups, source: Connection) -> None:
    for day in range(3):
        add_rows(source, day, 10)
    backups.take()
    source.execute("UPDATE variable SET number_value = -1 WHERE time < %s", [START + timedelta(1)])
    source.execute("DELETE FROM variable WHERE time > %s", [START + timedelta(2)])
    assert_exact(backups, backups.take())


def test_an_update_that_moves_a_record_to_another_chunk_changes_both(
    backups: Backups, source: Connection
) -> None:
    for day in range(3):
        add_rows(source, day, 10)
    backups.take()
    source.execute(
        "UPDATE variable SET time = time + interval '50 days' WHERE time < %s",
        [START + timedelta(minutes=3)],
    )
    assert_exact(backups, backups.take())


def test_truncate_and_refill_is_seen(backups: Backups, source: Connection) -> None:
    add_rows(source, 0, 10)
    backups.take()
    source.execute("TRUNCATE variable")
    add_rows(source, 1, 4)
    assert_exact(backups, backups.take())


def test_copy_is_seen(backups: Backups, source: Connection) -> None:
    add_rows(source, 0, 10)
    backups.take()
    with (
        source.cursor() as cursor,
        cursor.copy("COPY variable (series_id, time, number_value, group_key) FROM STDIN") as copy,
    ):
        for minute in range(50):
            copy.write_row((3, START + timedelta(days=5, minutes=minute), minute, "copied"))
    assert_exact(backups, backups.take())


def test_a_writer_that_commits_while_the_snapshot_runs_is_in_the_next_one(
    backups: Backups, source: Connection
) -> None:
    """Its mark is committed after the instant, and must survive the deletion of the marks."""
    add_rows(source, 0, 10)
    written = []

    def write_once(_: object) -> None:
        if not written:
            written.append(True)
            with psycopg.connect(backups.source.dsn, autocommit=True) as writer:
                add_rows(writer, 0, 7, series=2)

    before = contents(backups.source)
    first = backups.take(on_progress=write_once, readers=1)
    assert backups.contents_of(first) == before
    second = backups.take()
    assert not second.is_full
    assert_exact(backups, second)


def test_a_writer_open_across_two_snapshots_is_in_the_third(
    backups: Backups, source: Connection
) -> None:
    add_rows(source, 0, 10)
    with psycopg.connect(backups.source.dsn) as writer:
        add_rows(writer, 0, 3, series=2)
        backups.take()
        add_rows(writer, 1, 3, series=2)
        backups.take()
    third = backups.take()
    assert not third.is_full
    assert len(contents(backups.source)) == 16
    assert_exact(backups, third)


def test_a_base_that_the_marks_are_not_relative_to_is_not_used(
    backups: Backups, source: Connection
) -> None:
    """After the newest snapshot is lost its marks are gone, too, so everything is read."""
    add_rows(source, 0, 10)
    oldest = backups.take()
    add_rows(source, 1, 10)
    backups.take()
    backups.newest = oldest
    again = backups.take()
    assert again.is_full
    assert_exact(backups, again)


def test_a_restored_project_begins_with_a_full_snapshot_of_its_own(
    backups: Backups, source: Connection
) -> None:
    for day in range(3):
        add_rows(source, day, 10)
    manifest = backups.take()
    with backups.restored(manifest) as target:
        restored = Backups(target, backups.storage)
        first = restored.take()
        assert first.is_full
        with psycopg.connect(target.dsn, autocommit=True) as writer:
            add_rows(writer, 1, 2, series=3)
        second = restored.take()
        assert not second.is_full
        assert restored.contents_of(second) == contents(target)


@pytest.mark.parametrize("counted", [full_reread.MAX_COUNTED_ROWS, 0])
def test_marks_that_are_gone_make_the_next_snapshot_read_everything(
    backups: Backups,
    source: Connection,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    counted: int,
) -> None:
    """If no rows are counted, the loss shows when the day is read for another row."""
    monkeypatch.setattr(full_reread, "MAX_COUNTED_ROWS", counted)
    monkeypatch.setattr(segment_plan, "TARGET_ROWS", 30)
    for day in range(4):
        add_rows(source, day, 20)
    backups.take()
    add_rows(source, 1, 10)
    source.execute("DELETE FROM change_mark")
    if not counted:
        add_rows(source, 1, 1, series=2)
    manifest = backups.take()
    assert manifest.is_full
    (missed,) = manifest.untracked
    assert missed.rows_found - missed.rows_expected == 10
    assert "the base cannot be built upon" in caplog.text
    assert_exact(backups, manifest)
    assert not backups.take().is_full


def test_a_project_is_counted_in_ranges_bit_by_bit(
    backups: Backups, source: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment_plan, "TARGET_ROWS", 30)
    monkeypatch.setattr(full_reread, "MAX_COUNTED_ROWS", 50)
    for day in range(4):
        add_rows(source, day, 20)
    segments = backups.take().of("variable")
    chosen = {tuple(full_reread.choose_counted(segments)) for _ in range(50)}
    assert {sum(part.rows for part in some) for some in chosen} == {40}
    assert len({part for some in chosen for part in some}) == 4
    # A range above the limit is read in turn as well.
    monkeypatch.setattr(full_reread, "MAX_COUNTED_ROWS", 10)
    chosen = {tuple(full_reread.choose_counted(segments)) for _ in range(50)}
    assert {len(some) for some in chosen} == {1}
    assert len(chosen) == 4
    assert full_reread.choose_counted([]) == []


@pytest.mark.parametrize("statement", ["TRUNCATE variable", "TRUNCATE device CASCADE"])
def test_nobody_empties_a_table_between_the_instant_and_its_reading(
    backups: Backups, source: Connection, statement: str
) -> None:
    """TRUNCATE also affects transactions that began before it."""
    add_rows(source, 0, 10)
    backups.take()
    add_rows(source, 0, 5, series=2)
    expected = contents(backups.source)
    refused = []

    def empty(_: object) -> None:
        if not refused:
            source.execute("SET lock_timeout = '20ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                source.execute(statement.encode())
            refused.append(True)

    manifest = backups.take(on_progress=empty, readers=1)
    assert refused
    assert backups.contents_of(manifest) == expected
