"""A snapshot's contents are known without its segments, and shared between snapshots."""

import uuid

import numpy as np
import pyarrow as pa
import pytest

from snapshots.engine import contents_index, inventory
from snapshots.engine.contents_index import CELLS, read_cells, read_devices
from snapshots.engine.day_device_counts import cell_keys, split_keys
from snapshots.engine.errors import MissingObjectError
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import Storage
from tests.projectdatabases import DEVICE, START, Backups, Connection, add_rows

DAY = (START.date() - START.date().replace(year=1970, month=1, day=1)).days


def cells(storage: Storage, manifest: Manifest) -> dict[tuple[int, str], tuple[int, int]]:
    """Return rows and digest by day, counted from START, and device."""
    table = read_cells(storage, manifest.contents)
    ids = {device.number: device.device_id for device in read_devices(storage, manifest.contents)}
    found = {
        (row["chunk"] - DAY, ids.get(row["device"], "")): (row["rows"], row["digest"])
        for row in table.to_pylist()
    }
    assert len(found) == table.num_rows, "each day and device has one cell"
    return found


def rows(storage: Storage, manifest: Manifest) -> dict[int, int]:
    """Return the only device's rows by day."""
    return {day: count for (day, _), (count, _) in cells(storage, manifest).items()}


def test_rows_by_day_and_device(backups: Backups, source: Connection) -> None:
    other = "e" * 24
    source.execute("INSERT INTO device (id, name, type) VALUES (%s, 'Van', 'mutable')", [other])
    source.execute(
        "INSERT INTO series (id, device_id, variable, type) VALUES (7, %s, 'speed', 'number')",
        [other],
    )
    for day, count, series in ((0, 5, 1), (0, 4, 2), (3, 2, 1), (3, 1, 7)):
        add_rows(source, day, count, series=series)
    found = cells(backups.storage, backups.take())
    assert {key: count for key, (count, _) in found.items()} == {
        (0, DEVICE): 9,
        (3, DEVICE): 2,
        (3, other): 1,
    }


def test_devices_with_their_first_and_last_moment(backups: Backups, source: Connection) -> None:
    source.execute(
        "INSERT INTO device (id, name, type) VALUES (%s, 'Empty', 'mutable')", ["e" * 24]
    )
    add_rows(source, 2, 3)
    empty, truck = read_devices(backups.storage, backups.take().contents)
    assert (empty.name, empty.variables, empty.first, empty.last) == ("Empty", 0, None, None)
    assert (truck.name, truck.variables) == ("Truck", 3)
    first, last = source.execute("SELECT min(time), max(time) FROM variable").fetchone() or ()
    assert (truck.first, truck.last) == (first, last)


def test_an_incremental_snapshot_has_the_contents_of_a_full_one(
    backups: Backups, source: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents_index, "TARGET_CELLS", 3)
    for day in range(10):
        add_rows(source, day, day + 1)
    backups.take()
    add_rows(source, 2, 5, series=2)
    source.execute("DELETE FROM variable WHERE time >= %s", [START.replace(day=10)])
    add_rows(source, 12, 4)
    incremental = backups.take()
    full = backups.take(full=True)
    assert not incremental.is_full
    assert cells(backups.storage, incremental) == cells(backups.storage, full)
    assert read_devices(backups.storage, incremental.contents) == read_devices(
        backups.storage, full.contents
    )
    assert rows(backups.storage, incremental)[2] == 8


def test_what_has_not_changed_is_taken_over_unopened(
    backups: Backups, source: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents_index, "TARGET_CELLS", 3)
    monkeypatch.setattr("snapshots.engine.segment_plan.TARGET_ROWS", 3)
    for day in range(9):
        add_rows(source, day, 1)
    first = backups.take()
    lost = next(item for item in first.contents if item.table == CELLS)
    content = backups.storage.get(lost.key)
    backups.storage.delete(lost.key)
    add_rows(source, 8, 1, series=2)
    second = backups.take()
    assert not second.is_full
    old, new = ({i.key for i in m.contents if i.table == CELLS} for m in (first, second))
    assert lost.key in old & new
    assert (len(old), len(old & new)) == (3, 2)
    with pytest.raises(MissingObjectError):
        read_cells(backups.storage, second.contents)
    backups.storage.put(lost.key, content)
    assert rows(backups.storage, second) == {**dict.fromkeys(range(8), 1), 8: 2}


def test_contents_that_cannot_be_read_make_the_next_snapshot_a_full_one(
    backups: Backups, source: Connection
) -> None:
    add_rows(source, 0, 3)
    first = backups.take()
    damaged = next(item for item in first.contents if item.table == CELLS)
    backups.storage.put(damaged.key, b"damaged")
    add_rows(source, 0, 1, series=2)
    second = backups.take()
    assert second.is_full
    assert rows(backups.storage, second) == {0: 4}


def test_cells_do_not_depend_on_segments(
    backups: Backups, source: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    for day in range(4):
        add_rows(source, day, 50)
    whole = backups.take(full=True)
    monkeypatch.setattr("snapshots.engine.instant_reader.MAX_SEGMENT_ROWS", 40)
    cut = backups.take(full=True)
    assert len(cut.of("variable")) > len(whole.of("variable"))
    assert cells(backups.storage, cut) == cells(backups.storage, whole)


def test_an_empty_project_has_contents() -> None:
    empty = contents_index.keep_nothing().with_new(contents_index.CELL_SCHEMA.empty_table())
    ((chunks, table),) = empty
    encoded = contents_index.encode_cells(uuid.uuid4(), chunks, table)
    assert encoded.segment.rows == 0
    assert isinstance(table, pa.Table)


@pytest.mark.parametrize(
    ("statement", "looks"),
    [
        ("INSERT INTO variable (series_id, time, group_key) VALUES (1, '2026-02-01', 'g')", 0),
        ("INSERT INTO variable (series_id, time, group_key) VALUES (1, '2026-05-01', 'g')", 0),
        ("DELETE FROM variable WHERE time >= '2026-03-05'", 1),
        ("DELETE FROM variable WHERE time < '2026-03-02'", 1),
        ("DELETE FROM variable WHERE time >= '2026-03-02' AND time < '2026-03-03'", 0),
        ("DELETE FROM variable", 1),
        ("UPDATE variable SET time = time - interval '1 year'", 1),
    ],
)
def test_first_and_last_are_looked_up_only_where_they_are_gone(
    backups: Backups,
    source: Connection,
    monkeypatch: pytest.MonkeyPatch,
    statement: str,
    looks: int,
) -> None:
    monkeypatch.setattr("snapshots.engine.segment_plan.TARGET_ROWS", 3)
    looked_up: list[str] = []
    real = inventory._look_up
    monkeypatch.setattr(
        inventory, "_look_up", lambda c, found: (looked_up.extend(found), real(c, found))[1]
    )
    for day in range(6):
        add_rows(source, day, 3)
    backups.take()
    assert looked_up == []
    source.execute(statement.encode())
    (truck,) = read_devices(backups.storage, backups.take().contents)
    row = source.execute("SELECT min(time), max(time) FROM variable").fetchone()
    assert (truck.first, truck.last) == row
    assert len(looked_up) == looks


def test_a_series_that_somebody_gave_a_negative_number_keeps_its_day() -> None:
    days, numbers = np.array([-1, 20_000, 20_000]), np.array([-5, -(1 << 31), 7])
    found, devices = split_keys(cell_keys(days, numbers))
    assert found.tolist() == days.tolist()
    assert devices.astype(np.int32).tolist() == numbers.tolist()
