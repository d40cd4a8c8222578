"""A request's records are stored whole, in their order, and marked as a change."""

import threading
from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from backups_portal.projectdb.catalogue import BY_NAME
from backups_portal.projectdb.records import RecordError
from backups_portal.projectdb.resources import (
    UnknownResourceError,
    create,
    create_device,
    delete_device,
    upload_script,
)
from backups_portal.projectdb.variables import MAX_RECORDS, send
from tests.projectdatabases import KEYS, Connection, Target

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DAY = 20513  # days from 1970 until NOW


@pytest.fixture
def device(database: Connection) -> str:
    device_id, _ = create_device(
        database, keys=KEYS, name="Truck", parameters=[("limit", "8", True)], serie_number="S1"
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
    with pytest.raises(psycopg.errors.ForeignKeyViolation):
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
    assert delete_device(database, device)
    assert not delete_device(database, device)
    for table in ("variable", "series", "device_parameter", "token", "device"):
        assert one(database, f"SELECT count(*) FROM {table}") == (0,), table


def test_an_immutable_device_needs_its_chunks(database: Connection) -> None:
    with pytest.raises(psycopg.errors.CheckViolation):
        create_device(database, keys=KEYS, name="Meter", type="immutable")
    assert one(database, "SELECT count(*) FROM device") == (0,)


def test_unknown_resources_are_refused(database: Connection) -> None:
    with pytest.raises(UnknownResourceError):
        create(database, "pg_class", name="x")
    with pytest.raises(UnknownResourceError):
        create(database, "network", colour="blue")
    assert "network" in BY_NAME


def test_scripts_get_versions(database: Connection) -> None:
    analysis = create(database, "analysis", name="Alert")
    versions = [
        upload_script(database, analysis_id=analysis, file_name="a.js", content=b"1")
        for _ in range(2)
    ]
    assert versions == [1, 2]
