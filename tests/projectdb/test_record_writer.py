"""A request's records are stored completely, in order, and marked as a change."""

import threading
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from backups_portal.projectdb.devices import create_device, delete_device
from backups_portal.projectdb.record_writer import MAX_RECORDS, UnknownDeviceError, send
from backups_portal.projectdb.records import RecordError
from tests.projectdatabases import KEYS, Connection, Target

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = 20513  # days from 1970 until NOW


@pytest.fixture
def device(database: Connection) -> str:
    device_id, _ = create_device(
        database,
        keys=KEYS,
        name="Truck",
        parameters=[{"key": "limit", "value": "8", "sent": True}],
        serie_number="S1",
    )
    return device_id


def one(database: Connection, query: str) -> tuple[object, ...]:
    row = database.execute(query.encode()).fetchone()
    assert row is not None
    return row


def test_records_come_back_as_they_were_sent(database: Connection, device: str) -> None:
    records = [
        {"variable": "t", "value": 4.25, "unit": "C", "time": NOW, "group": "one"},
        {"variable": "t", "value": "0042", "time": NOW + timedelta(hours=1)},
        {"variable": "door", "value": True, "location": {"lat": 1.5, "lng": -2.5}},
        {"variable": "note", "metadata": {"b": None, "a": 1}},
    ]
    assert send(database, device_id=device, records=records, now=NOW) == 4
    rows = database.execute(
        'SELECT variable, value, unit, "group", time, location::text, metadata FROM variable_record'
        " ORDER BY id"
    ).fetchall()
    group = rows[1][3]
    assert rows == [
        ("t", 4.25, "C", "one", NOW, None, None),
        ("t", "0042", None, group, NOW + timedelta(hours=1), None, None),
        ("door", True, None, group, NOW, "(-2.5,1.5)", None),
        ("note", None, None, group, NOW, None, {"b": None, "a": 1}),
    ]
    assert one(database, "SELECT last_input FROM device") == (NOW,)


def test_ids_ascend_in_the_order_given(database: Connection, device: str) -> None:
    send(
        database,
        device_id=device,
        records=[{"variable": f"v{n % 3}", "value": n} for n in range(50)],
    )
    values = database.execute("SELECT value FROM variable_record ORDER BY id").fetchall()
    assert [value for (value,) in values] == list(range(50))


def test_one_bad_record_stores_nothing(database: Connection, device: str) -> None:
    with pytest.raises(RecordError, match="record 1: value"):
        send(
            database,
            device_id=device,
            records=[{"variable": "t", "value": 1}, {"variable": "t", "value": []}],
        )
    assert one(database, "SELECT count(*) FROM variable") == (0,)
    assert one(database, "SELECT count(*) FROM series") == (0,)


def test_limits_of_a_request(database: Connection, device: str) -> None:
    assert send(database, device_id=device, records=[]) == 0
    record = {"variable": "t", "value": 1}
    assert send(database, device_id=device, records=[record] * MAX_RECORDS) == MAX_RECORDS
    with pytest.raises(RecordError, match="10000"):
        send(database, device_id=device, records=[record] * (MAX_RECORDS + 1))
    with pytest.raises(RecordError, match="object"):
        send(database, device_id=device, records=["t"])


def test_an_unknown_device_is_refused(database: Connection) -> None:
    with pytest.raises(UnknownDeviceError):
        send(database, device_id="0" * 24, records=[{"variable": "t", "value": 1}])


def test_every_request_marks_its_chunks(database: Connection, device: str) -> None:
    records = [
        {"variable": "t", "value": 1, "time": NOW + timedelta(days=days)} for days in (0, 0, 3)
    ]
    send(database, device_id=device, records=records)
    marks = database.execute("SELECT chunk, rows FROM change_mark ORDER BY chunk").fetchall()
    assert marks == [(DAY, 2), (DAY + 3, 1)]


def test_requests_that_name_a_series_first_at_the_same_time(target: Target, device: str) -> None:
    failures: list[BaseException] = []

    def request() -> None:
        try:
            with psycopg.connect(target.dsn) as connection:
                send(connection, device_id=device, records=[{"variable": "t", "value": 1}] * 5)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=request) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with psycopg.connect(target.dsn) as connection:
        assert one(connection, "SELECT count(*) FROM series") == (1,)
        assert one(connection, "SELECT count(*) FROM variable") == (40,)


def test_a_device_goes_with_all_that_is_its_own(database: Connection, device: str) -> None:
    send(database, device_id=device, records=[{"variable": "t", "value": 1}])
    assert delete_device(database, device) == 1
    with pytest.raises(UnknownDeviceError):
        delete_device(database, device)
    for table in ("variable", "series", "device_parameter", "token", "device"):
        assert one(database, f"SELECT count(*) FROM {table}") == (0,), table
