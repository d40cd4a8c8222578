"""A record without a value is never read from a backup as zero."""

import csv
import io
import random

import pytest

from snapshots.engine.chart_points import chart_points
from snapshots.engine.contents_index import read_devices
from snapshots.engine.device_export import csv_pieces
from snapshots.engine.device_records import DeviceRecords
from snapshots.engine.diff_inputs import find_difference, stored_state
from snapshots.engine.record_rows import records_of
from snapshots.engine.series_search import ALL_COLUMNS, Selection, micros
from tests.projectdatabases import START, Backups, Connection, contents

ROWS = 60
# Series with mixed values, zeros only, and missing values only.
SERIES = {1: (None, 0.0, 1.5), 2: (0.0,), 3: (None,)}
Values = dict[int, list[float | None]]


def store(source: Connection, seed: int) -> Values:
    draw = random.Random(seed)  # noqa: S311 - no secret
    values: Values = {key: [draw.choice(of) for _ in range(ROWS)] for key, of in SERIES.items()}
    for series, numbers in values.items():
        with source.cursor() as cursor:
            cursor.executemany(
                "INSERT INTO variable (series_id, time, number_value, group_key)"
                " VALUES (%s, %s::timestamptz + %s * interval '1 minute', %s, 'g')",
                [(series, START, minute, number) for minute, number in enumerate(numbers)],
            )
    return values


@pytest.mark.parametrize("seed", [1, 2])
def test_what_is_read_of_a_backup(backups: Backups, source: Connection, seed: int) -> None:
    values = store(source, seed)
    manifest = backups.take()
    (device,) = read_devices(backups.storage, manifest.contents)
    records = DeviceRecords(backups.storage, manifest, device, seconds=10)
    bounds = micros(START), (micros(START) or 0) + 10**12
    for one in records.series:
        selection = Selection((one,), *bounds)
        drawn = chart_points(records, selection, columns=ROWS * 10**6)
        assert drawn.values.tolist() == [v for v in values[one.number] if v is not None]
        pages = [
            record.value
            for part in records.parts(selection, ALL_COLUMNS)
            for record in records_of(part, (one,), manifest.prefix)
        ]
        assert sorted(map(repr, pages)) == sorted(
            repr(int(v) if v == 0 else v) for v in values[one.number]
        )
        text = b"".join(csv_pieces(records, selection, manifest.prefix)).decode()
        file = [(row["value"], row["value_type"]) for row in csv.DictReader(io.StringIO(text))]
        assert file == [
            ("", "none") if v is None else (str(int(v) if v == 0 else v), "number")
            for v in values[one.number]
        ]


def test_a_value_that_became_zero_is_a_change(backups: Backups, source: Connection) -> None:
    store(source, 3)
    before = backups.take()
    source.execute("UPDATE variable SET number_value = 0 WHERE number_value IS NULL")
    after = backups.take()
    states = (stored_state(backups.storage, manifest) for manifest in (before, after))
    (day,) = find_difference(backups.storage, *states).chunks
    assert (day.before, day.after, day.gained, day.lost) == (3 * ROWS, 3 * ROWS, 0, 0)
    assert backups.contents_of(after) == contents(backups.source)
    assert len(set(backups.contents_of(before)) & set(contents(backups.source))) < 3 * ROWS
