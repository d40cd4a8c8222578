"""Contents tell whose the rows of reused days are now, after series came, went or moved."""

import pytest

from snapshots.engine import segment_plan
from snapshots.engine.contents_index import read_devices
from snapshots.engine.device_records import DeviceRecords
from snapshots.engine.series_search import Selection
from tests.projectdatabases import DEVICE, Backups, Connection, add_rows
from tests.snapshots.engine.test_history import told

OTHER = "e" * 24
# Each changes a series, and leaves no mark on the days with rows of series 2.
CHANGES = {
    "its device's first series goes": "DELETE FROM series WHERE id = 1",
    # Two requests make a device's first series; the one with the lower number commits later.
    "its device gets an earlier series": f"""
        INSERT INTO series (id, device_id, variable, type) VALUES (1, '{DEVICE}', 'late', 'number')
    """,
    "it moves to another device": f"UPDATE series SET device_id = '{OTHER}' WHERE id = 2",
    "its number goes to another device's series": f"""
        DELETE FROM series WHERE id = 2;
        INSERT INTO series (id, device_id, variable, type) VALUES (2, '{OTHER}', 'v', 'number')
    """,
}


@pytest.mark.parametrize("statement", CHANGES.values(), ids=CHANGES)
def test_records_are_found_at_their_device(
    backups: Backups, source: Connection, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    monkeypatch.setattr(segment_plan, "TARGET_ROWS", 10)
    source.execute("INSERT INTO device (id, name, type) VALUES (%s, 'Van', 'mutable')", [OTHER])
    for day in range(4):
        add_rows(source, day, 8, series=3 if day == 1 else 2)
    if statement.lstrip().startswith("INSERT"):
        source.execute("DELETE FROM series WHERE id = 1")
    backups.take()
    source.execute(statement.encode())
    add_rows(source, 9, 1, series=3)
    manifest = backups.take()
    assert not manifest.is_full
    found = {
        device.device_id: sum(
            rows.num_rows
            for records in [DeviceRecords(backups.storage, manifest, device)]
            for rows in records.parts(Selection(records.series), ("time",))
        )
        for device in read_devices(backups.storage, manifest.contents)
    }
    expected = source.execute(
        """SELECT device.id, count(time) FROM device LEFT JOIN series ON device_id = device.id
           LEFT JOIN variable ON series_id = series.id GROUP BY device.id"""
    )
    assert {*found.items()} == {*expected.fetchall()}
    assert told(backups.storage, manifest) == told(backups.storage, backups.take(full=True))
