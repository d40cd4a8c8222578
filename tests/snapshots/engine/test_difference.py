"""Differences between two snapshots, or a snapshot and now, from counts and digests alone."""

from datetime import timedelta

import pytest

from snapshots.engine.contents_index import CELLS
from snapshots.engine.diff_inputs import (
    LiveReading,
    find_difference,
    live_state,
    stored_state,
)
from snapshots.engine.difference import (
    CellChange,
    Change,
    DeviceChange,
    Difference,
    State,
    TableChange,
)
from snapshots.engine.errors import EngineError
from snapshots.engine.manifest import Manifest
from tests.projectdatabases import DEVICE, START, Backups, Connection, add_rows, quiet

DAY = (START.date() - START.date().replace(year=1970, month=1, day=1)).days
VAN = "e" * 24


def compare(backups: Backups, before: Manifest, after: Manifest) -> Difference:
    states = (stored_state(backups.storage, manifest) for manifest in (before, after))
    return find_difference(backups.storage, *states)


def look(
    backups: Backups, base: Manifest | None, most_rows: int | None = None
) -> tuple[State, LiveReading]:
    """Compare the source with `base`, the only remaining snapshot."""
    return live_state(
        backups.source.dsn,
        backups.storage,
        find_base=lambda mark: base if base and mark == str(base.mark) else None,
        most_rows=most_rows,
        readers=2,
        on_progress=quiet,
    )


def compare_with_now(backups: Backups, before: Manifest, base: Manifest | None) -> Difference:
    state = stored_state(backups.storage, before)
    return find_difference(backups.storage, state, look(backups, base)[0])


def add_van(source: Connection) -> None:
    source.execute("INSERT INTO device (id, name, type) VALUES (%s, 'Van', 'mutable')", [VAN])
    source.execute(
        "INSERT INTO series (id, device_id, variable, type) VALUES (7, %s, 'speed', 'number')",
        [VAN],
    )


def lose_van(backups: Backups, source: Connection) -> Manifest:
    """Delete a device that has records; return the snapshot that has both."""
    add_van(source)
    add_rows(source, 0, 2, series=7)
    first = backups.take()
    source.execute("DELETE FROM variable WHERE series_id = 7")
    source.execute("DELETE FROM device WHERE id = %s", [VAN])
    return first


def days(difference: Difference) -> dict[int, tuple[str, int, int, int, int]]:
    return {
        item.chunk - DAY: (item.change, item.before, item.after, item.gained, item.lost)
        for item in difference.chunks
    }


def change(source: Connection) -> None:
    """Add, remove, and change rows on four days, and add a device."""
    add_van(source)
    add_rows(source, 0, 2, series=7)
    add_rows(source, 9, 3)
    source.execute(
        "DELETE FROM variable WHERE series_id = 1 AND time = %s", [START + timedelta(minutes=1)]
    )
    for day, statement in (
        (1, "DELETE FROM variable"),
        (2, "UPDATE variable SET number_value = 99"),
    ):
        first = START + timedelta(days=day)
        source.execute(
            f"{statement} WHERE time >= %s AND time < %s".encode(),
            [first, first + timedelta(days=1)],
        )


EXPECTED = {
    9: (Change.ADDED, 0, 3, 3, 0),
    2: (Change.CHANGED, 5, 5, 0, 0),
    1: (Change.REMOVED, 5, 0, 0, 5),
    0: (Change.CHANGED, 5, 6, 2, 1),
}


@pytest.fixture
def before(backups: Backups, source: Connection) -> Manifest:
    for day in range(4):
        add_rows(source, day, 5)
    return backups.take()


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("segment_rows", [4, 65_536])
def test_days_and_devices_that_differ(
    backups: Backups,
    source: Connection,
    before: Manifest,
    monkeypatch: pytest.MonkeyPatch,
    full: bool,
    segment_rows: int,
) -> None:
    change(source)
    monkeypatch.setattr("snapshots.engine.segment_plan.TARGET_ROWS", segment_rows)
    monkeypatch.setattr("snapshots.engine.contents_index.TARGET_CELLS", 2)
    difference = compare(backups, before, backups.take(full=full))
    assert days(difference) == EXPECTED
    assert list(days(difference)) == [9, 2, 1, 0], "the newest first"
    assert difference.devices == [
        DeviceChange(DEVICE, "Truck", Change.CHANGED, gained=3, lost=6, days=4),
        DeviceChange(VAN, "Van", Change.ADDED, gained=2, days=1),
    ]
    assert (difference.gained, difference.lost) == (5, 6)
    assert difference.tables == [TableChange("device", 1, 2), TableChange("series", 3, 4)]
    assert difference.of_chunk(DAY) == [CellChange(DAY, DEVICE, 5, 4), CellChange(DAY, VAN, 0, 2)]
    assert [item.chunk - DAY for item in difference.of_device(DEVICE)] == [9, 2, 1, 0]
    assert difference.unlocated == []


def test_the_same_rows_in_other_segments_do_not_differ(
    backups: Backups, before: Manifest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snapshots.engine.segment_plan.TARGET_ROWS", 4)
    monkeypatch.setattr("snapshots.engine.contents_index.TARGET_CELLS", 2)
    backups.newest = None
    after = backups.take()
    assert len(after.of("variable")) > len(before.of("variable"))
    assert compare(backups, before, after).is_empty


def test_a_device_that_was_deleted_and_one_with_another_name(
    backups: Backups, source: Connection
) -> None:
    first = lose_van(backups, source)
    source.execute("UPDATE device SET name = 'Lorry'")
    difference = compare(backups, first, backups.take())
    assert difference.devices == [
        DeviceChange(DEVICE, "Lorry", Change.CHANGED, old_name="Truck"),
        DeviceChange(VAN, "Van", Change.REMOVED, lost=2, days=1),
    ]


@pytest.mark.parametrize("seven", [9, 5])
def test_a_device_that_was_made_again_has_lost_nothing(
    backups: Backups, source: Connection, before: Manifest, seven: int
) -> None:
    """A move brings a deleted device back under its id, and its rows under other series."""
    first = lose_van(backups, source)
    source.execute("INSERT INTO device (id, name, type) VALUES (%s, 'Van', 'mutable')", [VAN])
    source.execute(
        "INSERT INTO series (id, device_id, variable, type) VALUES (%s, %s, 'speed', 'number')",
        [seven, VAN],
    )
    add_rows(source, 0, 2, series=seven)
    for difference in (
        compare_with_now(backups, first, first),
        compare(backups, first, backups.take()),
    ):
        assert difference.devices == [DeviceChange(VAN, "Van", Change.CHANGED, days=1)]
        assert (difference.lost, difference.gained) == (0, 0)
        assert difference.of_device(VAN) == [CellChange(DAY, VAN, 2, 2)]
        assert difference.remade == {VAN}
    add_rows(source, 1, 3, series=seven)
    assert compare_with_now(backups, first, first).gained == 3


@pytest.mark.parametrize("is_new", [False, True])
def test_devices_that_go_by_numbers_of_others_are_told_apart(
    backups: Backups, source: Connection, before: Manifest, is_new: bool
) -> None:
    """Series were recreated by hand under another device's numbers."""
    add_van(source)
    add_rows(source, 0, 2, series=7)
    first = backups.take()
    third = "c" * 24 if is_new else DEVICE
    if is_new:
        source.execute("INSERT INTO device (id, name, type) VALUES (%s, 'New', 'mutable')", [third])
    source.execute("UPDATE series SET id = id + 10 WHERE device_id = %s", [DEVICE])
    source.execute("UPDATE series SET device_id = %s WHERE id = 7", [third])
    source.execute("UPDATE variable SET series_id = 11 WHERE series_id = 1")
    source.execute(
        "INSERT INTO series (id, device_id, variable, type) VALUES (1, %s, 'speed', 'number')",
        [VAN],
    )
    source.execute("UPDATE variable SET series_id = 1 WHERE series_id = 7")
    add_rows(source, 0, 3, series=7)
    difference = compare(backups, first, backups.take())
    assert difference.of_device(VAN) == [CellChange(DAY, VAN, 2, 2)]
    if is_new:
        assert difference.of_device(third) == [CellChange(DAY, third, 0, 3)]
        assert CellChange(DAY, DEVICE, 5, 5) in difference.of_device(DEVICE)
    else:
        assert CellChange(DAY, DEVICE, 5, 8) in difference.of_device(DEVICE)
    assert (difference.lost, difference.gained) == (0, 3)
    assert difference.remade == {DEVICE, VAN}


def test_only_objects_that_one_of_them_has_alone_are_opened(
    backups: Backups, source: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snapshots.engine.segment_plan.TARGET_ROWS", 3)
    monkeypatch.setattr("snapshots.engine.contents_index.TARGET_CELLS", 1)
    for day in range(4):
        add_rows(source, day, 3)
    first = backups.take()
    add_rows(source, 3, 1, series=2)
    second = backups.take()
    shared = {item.key for item in first.contents} & {item.key for item in second.contents}
    closed = {item.key for item in first.contents if item.table == CELLS and item.key in shared}
    assert len(closed) == 3
    for key in [*closed, *(item.key for item in (*first.segments, *second.segments))]:
        backups.storage.delete(key)
    assert days(compare(backups, first, second)) == {3: (Change.CHANGED, 3, 4, 1, 0)}


def test_what_no_cell_tells_the_digests_of_segments_do(
    backups: Backups, source: Connection, before: Manifest
) -> None:
    first, second = (stored_state(backups.storage, before) for _ in range(2))
    (segment,) = before.of("variable")
    forged = type(segment)(**{**vars(segment), "digest": "0" * 32})
    second = type(second)(**{**vars(second), "segments": (forged,)})
    difference = find_difference(backups.storage, first, second)
    assert [(part.first, part.end) for part in difference.unlocated] == [(None, None)]
    assert difference.chunks == []
    assert not difference.is_empty


def test_digests_over_other_columns_are_not_compared(backups: Backups, before: Manifest) -> None:
    state = stored_state(backups.storage, before)
    other = type(state)(**{**vars(state), "columns": ("time",)})
    with pytest.raises(EngineError, match="cannot be compared"):
        find_difference(backups.storage, state, other)


class TestNow:
    def test_only_what_changed_is_read(
        self,
        backups: Backups,
        source: Connection,
        before: Manifest,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        assert look(backups, before)[1].rows == 0
        assert compare_with_now(backups, before, before).is_empty
        change(source)
        _, reading = look(backups, before)
        assert (reading.chunks, reading.everything) == (4, False)
        difference = compare_with_now(backups, before, before)
        assert days(difference) == EXPECTED
        assert difference.tables == [TableChange("device", 1, 2), TableChange("series", 3, 4)]

    def test_an_older_snapshot_is_compared_through_the_newest(
        self, backups: Backups, source: Connection, before: Manifest
    ) -> None:
        change(source)
        newest = backups.take()
        add_rows(source, 3, 1, series=2)
        assert days(compare_with_now(backups, before, newest)) == {
            3: (Change.CHANGED, 5, 6, 1, 0),
            **EXPECTED,
        }

    def test_the_marks_stay(self, backups: Backups, source: Connection, before: Manifest) -> None:
        change(source)
        marks = source.execute("SELECT * FROM change_mark ORDER BY 1, 2").fetchall()
        look(backups, before)
        assert source.execute("SELECT * FROM change_mark ORDER BY 1, 2").fetchall() == marks
        after = backups.take()
        assert not after.is_full
        assert days(compare(backups, before, after)) == EXPECTED

    def test_everything_is_read_where_the_newest_snapshot_is_gone(
        self, backups: Backups, source: Connection, before: Manifest
    ) -> None:
        change(source)
        _, reading = look(backups, None)
        assert (reading.everything, reading.rows) == (True, 19)
        assert days(compare_with_now(backups, before, None)) == EXPECTED

    def test_a_page_reads_only_so_many_rows(
        self, backups: Backups, source: Connection, before: Manifest
    ) -> None:
        add_rows(source, 3, 2, series=2)
        with pytest.raises(EngineError, match="is the most that is read for a page"):
            look(backups, before, most_rows=2)
        source.execute("ANALYZE variable")
        with pytest.raises(EngineError, match="the most"):
            look(backups, None, most_rows=2)
        assert look(backups, before, most_rows=100)[1].rows >= 7
