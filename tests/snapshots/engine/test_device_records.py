"""A device's records are read from the segments that contain them, and no others."""

import hashlib
import io
import os
from dataclasses import replace
from datetime import timedelta
from unittest.mock import patch

import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from snapshots.engine import segment_plan, segments
from snapshots.engine.chart_points import chart_points
from snapshots.engine.contents_index import read_devices
from snapshots.engine.device_records import DeviceRecords, TooLongError
from snapshots.engine.encryption import MasterKeys, ProjectCipher
from snapshots.engine.errors import DamagedSnapshotError, EngineError, MissingObjectError
from snapshots.engine.manifest import Manifest, Segment
from snapshots.engine.series_search import Cursor, Selection, micros
from snapshots.engine.storage import Storage
from tests.projectdatabases import DEVICE, START, Backups, add_rows

Connection = psycopg.Connection[tuple[object, ...]]


@pytest.fixture(autouse=True)
def a_segment_for_each_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment_plan, "TARGET_ROWS", 1)


@pytest.fixture
def manifest(backups: Backups, source: Connection) -> Manifest:
    """Six days of two variables, whose records share their times."""
    for day in range(6):
        for series in (1, 2):
            add_rows(source, day, 20, series=series)
    source.execute("UPDATE variable SET group_key = 'rare' WHERE time = %s", [START])
    return backups.take()


def opened(storage: Storage, manifest: Manifest, *, seconds: float = 10) -> DeviceRecords:
    """Open the records of the device that all tests have."""
    devices = {device.device_id: device for device in read_devices(storage, manifest.contents)}
    return DeviceRecords(storage, manifest, devices[DEVICE], seconds=seconds)


def everything(records: DeviceRecords, selection: Selection, *, limit: int) -> list[Cursor]:
    """Return the places of all records, read page by page."""
    found: list[Cursor] = []
    before: Cursor | None = None
    while True:
        page = records.newest(selection, before=before, limit=limit)
        assert page.rows.num_rows <= limit
        found += [Cursor.of(page.rows, place) for place in range(page.rows.num_rows)]
        if page.after is None:
            return found
        before = Cursor.parse(str(page.after))


def in_database(source: Connection, where: str = "true") -> list[Cursor]:
    """Return the places of all records in the database, the newest first."""
    rows = source.execute(
        "SELECT (extract(epoch FROM time) * 1000000)::bigint, id FROM variable"
        f" WHERE {where} ORDER BY time DESC, id DESC"
    )
    return [Cursor(*map(int, row)) for row in rows]


def rewritten(storage: Storage, segment: Segment, content: bytes) -> Segment:
    """Store other bytes, and return the segment that they name."""
    key = f"other/{len(content)}/{segment.key}"
    storage.put(key, content)
    return replace(segment, key=key, sha256=hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize("limit", [1, 7, 500])
def test_pages_have_each_record_once(
    backups: Backups, source: Connection, manifest: Manifest, limit: int
) -> None:
    records = opened(backups.storage, manifest)
    assert everything(records, Selection(records.series), limit=limit) == in_database(source)


def test_a_filter_leaves_the_rest_out(
    backups: Backups, source: Connection, manifest: Manifest
) -> None:
    records = opened(backups.storage, manifest)
    since, until = START + timedelta(days=1, minutes=5), START + timedelta(days=3, minutes=2)
    chosen = Selection(records.series[:1], micros(since), micros(until))
    assert everything(records, chosen, limit=9) == in_database(
        source, f"series_id = 1 AND time >= '{since}' AND time < '{until}'"
    )
    rare = Selection(records.series, group="rare")
    assert everything(records, rare, limit=9) == in_database(source, "group_key = 'rare'")
    nothing = Selection(records.series, micros(since), micros(since))
    assert everything(records, nothing, limit=9) == []


def without(manifest: Manifest, storage: Storage, *kept: Segment) -> None:
    """Remove all segments of variables except some."""
    for segment in manifest.of("variable"):
        if segment not in kept:
            storage.delete(segment.key)


def test_a_page_opens_only_the_segments_that_it_shows(backups: Backups, manifest: Manifest) -> None:
    newest = manifest.of("variable")[-1]
    without(manifest, backups.storage, newest)
    records = opened(backups.storage, manifest)
    assert records.newest(Selection(records.series), limit=30).rows.num_rows == 30
    with pytest.raises(MissingObjectError):
        records.newest(Selection(records.series), limit=45)


def test_days_without_records_are_not_opened(
    backups: Backups, source: Connection, storage: Storage
) -> None:
    add_rows(source, 0, 5)
    source.execute("INSERT INTO device (id, name, type) VALUES (repeat('e', 24), 'B', 'mutable')")
    source.execute(
        "INSERT INTO series (id, device_id, variable, type)"
        " VALUES (9, repeat('e', 24), 'v', 'none')"
    )
    for day in (1, 2, 3):
        add_rows(source, day, 5, series=9)
    add_rows(source, 4, 5)
    manifest = backups.take()
    old, *others, new = [one for one in manifest.of("variable") if one.rows]
    assert len(others) == 3
    without(manifest, storage, old, new)
    records = opened(storage, manifest)
    assert len(everything(records, Selection(records.series), limit=3)) == 10


def test_spans_are_those_of_the_database(
    backups: Backups, source: Connection, manifest: Manifest
) -> None:
    source.execute("DELETE FROM variable WHERE series_id = 2 AND time >= %s", [START])
    records = opened(backups.storage, manifest)
    found = {span.series.variable: span for span in records.spans(Selection(records.series))}
    assert found.keys() == {"temperature_1", "temperature_2"}
    last = START + timedelta(days=5, minutes=19)
    for span in found.values():
        assert (span.rows, span.first, span.last) == (120, micros(START), micros(last))


def test_parts_come_in_the_order_of_time(backups: Backups, manifest: Manifest) -> None:
    records = opened(backups.storage, manifest)
    parts = list(records.parts(Selection(records.series), ("time", "number_value")))
    assert [part.num_rows for part in parts] == [40] * 6
    firsts = [part["time"][0].as_py() for part in parts]
    assert firsts == [START + timedelta(days=day) for day in range(6)]
    assert parts[0].column_names == ["time", "number_value"]


def test_a_segment_without_statistics_is_read_as_well(
    backups: Backups, source: Connection, manifest: Manifest
) -> None:
    """Segments of older versions have none."""
    written = []
    for segment in manifest.segments:
        table = segments.read_segment(backups.storage, segment)
        sink = io.BytesIO()
        pq.write_table(table, sink, write_statistics=False, compression="zstd")
        written.append(rewritten(backups.storage, segment, sink.getvalue()))
    old = replace(manifest, segments=tuple(written))
    records = opened(backups.storage, old)
    assert everything(records, Selection(records.series), limit=50) == in_database(source)


def test_row_groups_without_the_series_are_not_decoded(
    backups: Backups, source: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segments, "GROUP_ROWS", 10)
    for series in (1, 2, 3):
        add_rows(source, 0, 20, series=series)
    manifest = backups.take()
    (segment,) = (one for one in manifest.of("variable") if one.rows)
    content = bytearray(backups.storage.get(segment.key))
    file = pq.ParquetFile(pa.BufferReader(bytes(content)))
    column = file.metadata.row_group(0).column(0)
    begin = column.dictionary_page_offset or column.data_page_offset
    content[begin : begin + column.total_compressed_size] = os.urandom(column.total_compressed_size)
    other = rewritten(backups.storage, segment, bytes(content))
    broken = replace(
        manifest,
        segments=tuple(other if one is segment else one for one in manifest.segments),
    )
    records = opened(backups.storage, broken)
    by_name = {one.variable: one for one in records.series}
    assert len(everything(records, Selection((by_name["temperature_3"],)), limit=9)) == 20
    with pytest.raises(DamagedSnapshotError, match="cannot be read as Parquet"):
        everything(records, Selection((by_name["temperature_1"],)), limit=9)


def test_a_changed_segment_is_refused(backups: Backups, manifest: Manifest) -> None:
    newest = manifest.of("variable")[-1]
    content = backups.storage.get(newest.key)
    backups.storage.put(newest.key, content[:-20] + bytes(20))
    records = opened(backups.storage, manifest)
    with pytest.raises(DamagedSnapshotError, match="changed in storage"):
        records.newest(Selection(records.series))


def test_an_encrypted_snapshot_is_read_with_its_key_alone(
    backups: Backups, source: Connection, storage: Storage
) -> None:
    keys = MasterKeys({"one": b"1" * 32})
    backups.storage = storage.encrypted(ProjectCipher(storage, keys))
    add_rows(source, 0, 10)
    manifest = backups.take()
    records = opened(backups.storage, manifest)
    assert everything(records, Selection(records.series), limit=4) == in_database(source)
    other = storage.encrypted(ProjectCipher(storage, MasterKeys({"two": b"2" * 32})))
    with pytest.raises(EngineError, match="master key one"):
        everything(opened(other, manifest), Selection(records.series), limit=4)


def test_what_takes_too_long_goes_on_from_where_it_ended(
    backups: Backups, source: Connection, manifest: Manifest
) -> None:
    hurried = opened(backups.storage, manifest, seconds=-1)
    page = hurried.newest(Selection(hurried.series), limit=10)
    assert page.is_cut
    assert page.rows.num_rows == 0
    records = opened(backups.storage, manifest)
    rest = records.newest(Selection(records.series), before=page.after, limit=500)
    assert rest.rows.num_rows == len(in_database(source))
    with pytest.raises(TooLongError):
        list(hurried.parts(Selection(hurried.series), ("time",)))


@pytest.mark.parametrize("text", ["", "1", "1.", "x.1", "1.1.1", "1.2\n", "9" * 30 + ".1"])
def test_a_wrong_place_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a position"):
        Cursor.parse(text)


@pytest.mark.parametrize("held", [0, 15, 10_000])
def test_a_chart_is_the_same_in_however_many_steps_it_is_thinned_out(
    backups: Backups, source: Connection, manifest: Manifest, held: int
) -> None:
    source.execute("UPDATE variable SET number_value = NULL WHERE time = %s", [START])
    records = opened(backups.storage, backups.take())
    whole = Selection(records.series[:1], micros(START), micros(START + timedelta(days=6)))
    with patch("snapshots.engine.chart_points.MAX_HELD", held):
        points = chart_points(records, whole, columns=12)
    # Per half day with records: the first and smallest value, the last and largest value.
    firsts = [1 / 8, 0, 0, 0, 0, 0]
    assert points.values.tolist() == [value for first in firsts for value in (first, 19 / 8)]
