"""Device data through the API: sent, read with every query, edited, deleted."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.core.cache.backends.redis import RedisCache
from pytest_django import Settings
from redis.exceptions import RedisError

from tests.tagoio_api.conftest import Api, Sensor

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def reading(number: int, **more: Any) -> dict[str, Any]:
    """Return one of a series of readings, a minute apart."""
    time = (NOON + timedelta(minutes=number)).isoformat()
    return {"variable": "temperature", "value": number, "time": time, **more}


def values(records: list[dict[str, Any]]) -> list[Any]:
    return [record["value"] for record in records]


def test_a_record_of_every_type_comes_back_as_it_was_sent(sensor: Sensor) -> None:
    sent: list[dict[str, Any]] = [
        {"variable": "n", "value": 21.5, "unit": "°C", "group": "g1"},
        {"variable": "i", "value": 7},
        {"variable": "s", "value": '0042 "quoted" \\ ünïcode\n'},
        {"variable": "t", "value": True},
        {"variable": "f", "value": False},
        {"variable": "none", "location": {"lat": 0, "lng": 0}},
        {"variable": "geo", "value": 1, "location": {"type": "Point", "coordinates": [-43.5, 8]}},
        {"variable": "meta", "value": 1, "metadata": {"a": None, "b": [1, {"c": "ü"}]}},
    ]
    for item in sent:
        item["time"] = "2026-03-01T10:00:00.1239Z"
    assert sensor.post("/data", sent) == "8 Data Added"

    found = {record.pop("variable"): record for record in sensor.get("/data")}
    assert {name: record.get("value") for name, record in found.items()} == {
        item["variable"]: item.get("value") for item in sent
    }
    first = found["n"]
    assert set(first) == {"id", "device", "group", "time", "value", "unit", "created_at"}
    assert first["time"] == "2026-03-01T10:00:00.123Z"
    assert (first["unit"], first["group"], first["device"]) == ("°C", "g1", sensor.device_id)
    assert found["f"]["value"] is False
    assert found["none"]["location"] == {"type": "Point", "coordinates": [0, 0]}
    assert found["geo"]["location"] == {"type": "Point", "coordinates": [-43.5, 8]}
    assert found["meta"]["metadata"] == {"a": None, "b": [1, {"c": "ü"}]}
    # Those without a group share one; ids ascend in the order given.
    assert len({record["group"] for record in found.values()}) == 2
    assert sorted(found, key=lambda name: found[name]["id"]) == [item["variable"] for item in sent]


@pytest.mark.parametrize(
    "time",
    [
        *("2026-03-01T10:00:00Z", "2026-03-01T11:00:00+01:00", "2026-03-01 10:00:00"),
        *("2026-03-01 11:00:00+01:00", "2026-03-01 10:00", 1772359200000),
    ],
)
def test_a_time_may_be_written_in_many_ways(sensor: Sensor, time: object) -> None:
    sensor.post("/data", {"variable": "x", "value": 1, "time": time})
    assert sensor.get("/data")[0]["time"] == "2026-03-01T10:00:00.000Z"


@pytest.mark.parametrize(
    ("item", "says"),
    [
        ({"value": 1}, "Record 1: variable must be text"),
        ({"variable": "x", "value": {}}, "Record 1: value must be"),
        ({"variable": "x", "value": 1, "time": "soon"}, "Record 1: 'soon' is not a time"),
        ({"variable": "x", "location": {"lat": 91, "lng": 0}}, "Record 1: location must be"),
        (7, "Record 1: a record must be an object"),
    ],
)
def test_one_wrong_record_keeps_all_out(sensor: Sensor, item: object, says: str) -> None:
    status, message = sensor.call("POST", "/data", [{"variable": "x", "value": 1}, item])
    assert status == 400
    assert message.startswith(says)
    assert sensor.get("/data?query=count") == 0


def test_an_empty_array_is_no_mistake(sensor: Sensor) -> None:
    assert sensor.post("/data", []) == "0 Data Added"


def test_ten_thousand_records_fit_into_a_request_and_no_more(sensor: Sensor) -> None:
    records = [{"variable": "x", "value": number} for number in range(10_001)]
    assert sensor.post("/data", records[:-1]) == "10000 Data Added"
    status, message = sensor.call("POST", "/data", records)
    assert (status, message) == (400, "A request holds at most 10000 records")
    assert sensor.api.get(f"/device/{sensor.device_id}/data_amount") == 10_000
    assert len(sensor.get("/data?qty=10000")) == 10_000


def test_a_page_is_ordered_by_time_and_then_by_insertion(sensor: Sensor) -> None:
    sensor.post("/data", [reading(0, value=index) for index in range(20)])
    sensor.post("/data", reading(1, value="latest", variable="other"))
    assert values(sensor.get("/data")) == ["latest", *range(19, 5, -1)]
    assert values(sensor.get("/data?qty=3&ordination=ascending")) == [0, 1, 2]
    assert values(sensor.get("/data?qty=3&skip=19&ordination=ascending")) == [19, "latest"]
    assert sensor.get("/data?qty=0") == []


def test_several_variables_count_each_by_itself_unless_paged(sensor: Sensor) -> None:
    for name in ("a", "b", "c"):
        sensor.post("/data", [reading(number, variable=name) for number in range(5)])
    newest = sensor.get("/data?variables=a&variables=b&qty=1")
    assert [(record["variable"], record["value"]) for record in newest] == [("b", 4), ("a", 4)]
    paged = [
        record
        for skip in (0, 4, 8, 12)
        for record in sensor.get(
            f"/data?variables[0]=a&variables[1]=b&qty=2&skip={skip}&ordination=ascending"
        )
    ]
    assert values(paged) == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]


def test_records_are_found_by_what_they_hold(sensor: Sensor) -> None:
    sensor.post("/data", [reading(0, group="g"), reading(1), reading(2, value="7")])
    sensor.post("/data", [reading(3, value=7), reading(4, value=True)])
    ids = {record["value"]: record["id"] for record in sensor.get("/data?variables=temperature")}
    assert values(sensor.get("/data?groups=g")) == [0]
    assert values(sensor.get("/data?serie=g")) == [0]
    assert values(sensor.get("/data?values=7")) == [7, "7"]
    assert values(sensor.get("/data?value=True")) == [True]
    assert values(sensor.get(f"/data?ids={ids[7]}")) == [7]
    assert sensor.get(f"/data?ids={'0' * 24}") == []
    assert sensor.get("/data?variables=nothing") == []


def test_dates_bound_a_reading_on_both_sides(sensor: Sensor) -> None:
    sensor.post("/data", [reading(number) for number in range(5)])
    query = "start_date=2026-03-01T12:01:00Z&end_date=2026-03-01+12:03:00"
    assert values(sensor.get(f"/data?{query}")) == [3, 2, 1]
    assert sensor.get("/data?start_date=1 hour") == []
    assert len(sensor.get("/data?start_date=99 years")) == 5
    assert sensor.call("GET", "/data?start_date=soon") == (400, "Invalid start date")


def test_the_last_and_first_of_each_variable(sensor: Sensor) -> None:
    sensor.post("/data", [reading(number) for number in range(3)])
    sensor.post("/data", [reading(9, value=None, location={"lat": 1, "lng": 2})])
    sensor.post("/data", [reading(-9, value="old"), reading(0, variable="other", value=5)])

    def asked(query: str) -> list[Any]:
        return [record.get("value") for record in sensor.get(f"/data?query={query}")]

    assert asked("last_item") == [None, 5]
    assert asked("last_item&variables=temperature") == [None]
    assert asked("last&variables=temperature") == [None]
    assert asked("last_value&variables=temperature") == [2]
    assert asked("last_location") == [None]
    assert asked("last_insert&variables=temperature") == ["old"]
    assert asked("first_item&variables=temperature") == ["old"]
    assert asked("first_value&variables=other") == [5]
    assert asked("first_insert&variables=temperature") == [0]
    assert sensor.get("/data?query=last_item&variables=none") == []


def test_numbers_are_summed_up(sensor: Sensor) -> None:
    sensor.post("/data", [reading(number) for number in range(5)])
    sensor.post("/data", [reading(60, value=10), reading(61, value="no number")])

    assert sensor.get("/data?query=count&qty=1") == 7
    assert sensor.get("/data?query=count&variables=none") == 0
    assert values(sensor.get("/data?query=max")) == [10]
    assert values(sensor.get("/data?query=min&start_date=2026-03-01T12:01:00Z")) == [1]
    assert values(
        sensor.get("/data?query=avg&start_date=2026-01-01&end_date=2026-03-01 12:30")
    ) == [2]
    assert values(sensor.get("/data?query=sum&start_date=2026-01-01")) == [20]
    assert sensor.call("GET", "/data?query=sum") == (400, "start_date field is required")
    assert sensor.get("/data?query=aggregate&interval=hour&function=sum") == [
        {"time": "2026-03-01T13:00:00.000Z", "value": 10.0},
        {"time": "2026-03-01T12:00:00.000Z", "value": 10.0},
    ]
    conditional = "query=conditional&start_date=2026-01-01&function=gte&value=4"
    assert values(sensor.get(f"/data?{conditional}")) == [10, 4]


def test_an_aggregate_has_every_interval_or_none(sensor: Sensor) -> None:
    sensor.post("/data", [reading(number) for number in range(10_000)])
    by_minute = "/data?query=aggregate&interval=minute&function=sum"
    assert values(sensor.get(by_minute)) == list(range(9_999, -1, -1))
    sensor.post("/data", reading(10_000))
    refused = "These records are in more than 10000 intervals: choose a longer interval or a "
    assert sensor.call("GET", by_minute) == (400, f"{refused}shorter period")
    assert len(sensor.get(by_minute.replace("minute", "hour"))) == 167
    assert len(sensor.get(f"{by_minute}&start_date=2026-03-08T10:00:00Z")) == 41


@pytest.mark.parametrize(
    "query",
    [
        *("query=newest", "qty=-1", "qty=1.5", "qty=10001", "skip=-1", "ordination=up"),
        *("end_date=2026-13-01", "query=conditional&value=x&function=gt"),
        *("query=conditional&value=1&function=like", "query=aggregate&interval=week&function=avg"),
    ],
)
def test_a_query_that_means_nothing_is_refused(sensor: Sensor, query: str) -> None:
    assert sensor.call("GET", f"/data?{query}")[0] == 400


def test_reading_on_neither_skips_nor_repeats_while_others_write(sensor: Sensor) -> None:
    sensor.post("/data", [reading(number) for number in range(10)])
    read: list[Any] = []
    while page := sensor.get(f"/data?qty=3&skip={len(read)}&ordination=ascending"):
        read += values(page)
        if len(read) == 3:
            # Add a record older than all, and delete one of those already read.
            sensor.post("/data", reading(-5, value="late"))
            gone = sensor.get("/data?values=1")[0]["id"]
            assert sensor.delete(f"/data?ids={gone}") == "1 Data Removed"
    assert read == list(range(10))


def test_reading_on_needs_no_redis(sensor: Sensor, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*arguments: Any, **options: Any) -> None:
        raise RedisError("Redis is away")

    monkeypatch.setattr(RedisCache, "get", away)
    monkeypatch.setattr(RedisCache, "set", away)
    sensor.post("/data", [reading(number) for number in range(7)])
    read: list[Any] = []
    while page := sensor.get(f"/data?qty=3&skip={len(read)}&ordination=ascending"):
        read += values(page)
    assert read == list(range(7))


def test_a_mutable_device_has_its_records_edited(sensor: Sensor) -> None:
    sensor.post("/data", [reading(0, unit="C", metadata={"a": 1}), reading(1)])
    newest, oldest = sensor.get("/data")
    edits = [{"id": oldest["id"], "value": "text", "time": reading(9)["time"], "variable": "no"},
             {"id": newest["id"], "location": {"lat": 3, "lng": 4}}, {"id": "f" * 24}]  # fmt: skip
    assert sensor.put("/data", edits) == "2 item(s) updated"
    edited, moved = sensor.get("/data")
    assert edited == {**oldest, "value": "text", "time": "2026-03-01T12:09:00.000Z"}
    assert moved == {**newest, "location": {"type": "Point", "coordinates": [4, 3]}}
    assert sensor.call("PUT", "/data", [{"id": newest["id"], "value": []}])[0] == 400
    assert sensor.call("PUT", "/data", [{"value": 1}])[0] == 400


def test_null_in_an_edit_empties_what_may_be_empty(sensor: Sensor) -> None:
    sensor.post("/data", reading(0, unit="C", metadata={"a": 1}, location={"lat": 1, "lng": 2}))
    (record,) = sensor.get("/data")
    emptied = dict.fromkeys(("value", "unit", "metadata", "location", "time", "group"))
    assert sensor.put("/data", {"id": record["id"], **emptied}) == "1 item(s) updated"
    kept = ("id", "device", "variable", "group", "time", "created_at")
    assert sensor.get("/data") == [{key: record[key] for key in kept}]


def test_an_operator_may_limit_the_records_of_mutable_devices(
    sensor: Sensor, settings: Settings
) -> None:
    settings.MUTABLE_DEVICE_ROWS = 5
    sensor.post("/data", [reading(number) for number in range(4)])
    full = (400, "The device has reached the limit of 5 data registers")
    assert sensor.call("POST", "/data", [reading(5), reading(6)]) == full
    assert sensor.get("/data?query=count") == 4
    sensor.post("/data", reading(5))
    assert sensor.call("POST", "/data", reading(6)) == full
    chunks = {"type": "immutable", "chunk_period": "month", "chunk_retention": 12}
    Sensor.create(sensor.api, **chunks).post("/data", [reading(number) for number in range(9)])


def test_deleting_takes_what_a_reading_would_show(sensor: Sensor) -> None:
    for name in ("a", "b"):
        sensor.post("/data", [reading(number, variable=name) for number in range(20)])
    assert sensor.delete("/data?query=last_item&variables=a") == "1 Data Removed"
    assert sensor.delete("/data?variables=a&variables=b&qty=2") == "4 Data Removed"
    assert sensor.delete("/data") == "15 Data Removed"
    assert sensor.delete("/data?qty=10000&end_date=2026-03-01T12:01:00Z") == "4 Data Removed"
    assert sensor.get("/data?query=count") == 16
    assert sensor.api.post(f"/device/{sensor.device_id}/empty") == "Data Successfully Removed"
    assert sensor.get("/data") == []


def test_an_immutable_device_keeps_its_records(api: Api) -> None:
    sensor = Sensor.create(api, type="immutable", chunk_period="month", chunk_retention=12)
    sensor.post("/data", [reading(0), reading(1), reading(60 * 24 * 40)])
    record = sensor.get("/data")[0]
    assert sensor.call("PUT", "/data", [{"id": record["id"], "value": 2}]) == (
        400,
        "You cannot edit data on immutable device",
    )
    refusal = (400, "Data in immutable devices cannot be deleted")
    assert sensor.call("DELETE", "/data") == refusal

    chunks = api.get(f"/device/{sensor.device_id}/chunk")
    assert [(chunk["from"], chunk["to"], chunk["amount"]) for chunk in chunks] == [
        ("2026-03-01T00:00:00.000Z", "2026-04-01T00:00:00.000Z", 2),
        ("2026-04-01T00:00:00.000Z", "2026-05-01T00:00:00.000Z", 1),
    ]
    path = f"/device/{sensor.device_id}/chunk/{chunks[0]['id']}"
    assert api.delete(path) == f"Chunk {chunks[0]['id']} deleted"
    assert api.call("DELETE", path) == (404, "Chunk Not Found")
    assert api.get(f"/device/{sensor.device_id}/data_amount") == 1
    api.post(f"/device/{sensor.device_id}/empty")
    assert api.get(f"/device/{sensor.device_id}/data_amount") == 0


def test_a_device_of_many_series_is_read_in_order_all_the_same(sensor: Sensor) -> None:
    sensor.post("/data", [reading(number, variable=f"v{number}") for number in range(120)])
    assert values(sensor.get("/data?qty=200")) == list(range(119, -1, -1))
    assert values(sensor.get("/data?qty=2&skip=100")) == [19, 18]
    assert len(sensor.get("/data?query=last_item")) == 120


def test_data_goes_through_the_profile_as_well(sensor: Sensor) -> None:
    path = f"/device/{sensor.device_id}/data"
    assert sensor.api.post(path, reading(1)) == "1 Data Added"
    (record,) = sensor.api.get(path)
    assert sensor.api.put(path, {"id": record["id"], "value": 2}) == "1 item(s) updated"
    assert sensor.api.delete(path) == "1 Data Removed"
    nowhere = f"/device/{'a' * 24}/data"
    for method, body in (("GET", None), ("POST", []), ("POST", reading(1)), ("DELETE", None)):
        assert sensor.api.call(method, nowhere, body) == (404, "Invalid Device ID")
    for query in ("last_item", "max", "count", "aggregate&interval=day&function=sum"):
        assert sensor.api.call("GET", f"{nowhere}?query={query}") == (404, "Invalid Device ID")


@pytest.mark.parametrize(
    "digits",
    ["123456789012345678901234567890", "-9223372036854775809", "18446744073709551617", "7" * 300],
)
def test_digits_that_would_be_lost_are_refused(sensor: Sensor, digits: str) -> None:
    refused = (400, f"{digits[:40]} has more digits than a number keeps: send it as text")
    for said in ('"value":%s', '"value":1,"metadata":{"n":[%s]}', '"metadata":{"a":{"n":%s}}'):
        body = '{"variable":"v",' + said % digits + "}"
        assert sensor.call("POST", "/data", body.encode()) == refused
    assert sensor.get("/data") == []


def test_long_integers_that_are_kept_are_taken(sensor: Sensor) -> None:
    kept = '{"a":18446744073709551615,"b":-9223372036854775808,"c":"12345678901234567890123"}'
    # JavaScript writes doubles below 1e21 as integers.
    body = f'{{"variable":"v","value":123456789012345680000,"metadata":{kept}}}'
    assert sensor.post("/data", body.encode()) == "1 Data Added"
    (record,) = sensor.get("/data")
    assert (record["value"], record["metadata"]) == (1.2345678901234568e20, json.loads(kept))
