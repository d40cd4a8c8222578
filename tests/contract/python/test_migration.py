"""A migration of one project into another, as an owner writes it with the Python SDK."""

import http.client
import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from tagoio_sdk import Device, Resources

from tests.contract.conftest import Endpoint, restored

PAGE = 400
DEVICES = 3
RECORDS = 950
# All fields of a record except those that differ in another project.
CONTENTS = """SELECT device.name, variable, value, unit, record."group", record.time,
                     location::text, metadata::text
              FROM variable_record AS record JOIN device ON device.id = record.device
              ORDER BY 1, 2, 6, 3, 4, 5"""
DESCRIBED = """SELECT name, type, description, active, visible, chunk_period, chunk_retention, tags,
                      network_id::text, connector_id::text, settings,
                      (SELECT jsonb_agg(jsonb_build_array(key, value, sent) ORDER BY key)
                       FROM device_parameter WHERE device_id = device.id)
               FROM device ORDER BY name"""


def resources(endpoint: Endpoint) -> Resources:
    """Set up the SDK as the project's API page describes."""
    return Resources({"token": endpoint.token, "region": region(endpoint.url)})


def region(url: str) -> dict[str, str]:
    return {"api": url, "sse": f"{url}/events"}


def migrate(source: Resources, target: Resources) -> int:
    """Copy all devices with their parameters, tags and variables; return the number of records."""
    return sum(copy_device(source, target, listed["id"]) for listed in all_devices(source))


def all_devices(source: Resources) -> Iterator[dict[str, Any]]:
    """Yield all devices page by page."""
    page = 1
    while True:
        found = source.devices.listDevice(
            {"page": page, "amount": 2, "fields": ["id", "name"], "orderBy": ("name", "asc")}
        )
        yield from found
        if len(found) < 2:
            return
        page += 1


def copy_device(source: Resources, target: Resources, device_id: str) -> int:
    """Copy one device; return its number of records."""
    info = source.devices.info(device_id)
    for name in ("created_at", "updated_at", "last_input", "last_output", "inspected_at"):
        info.pop(name, None)
    made = target.devices.create(info)
    parameters = source.devices.paramList(device_id)
    target.devices.paramSet(
        made["device_id"],
        [{key: item[key] for key in ("key", "value", "sent")} for item in parameters],
    )
    copied = 0
    while True:
        records = source.devices.getDeviceData(
            device_id, {"qty": PAGE, "skip": copied, "ordination": "ascending"}
        )
        if records:
            target.devices.sendDeviceData(made["device_id"], records)
        copied += len(records)
        if len(records) < PAGE:
            return copied


def fill(endpoint: Endpoint) -> None:
    """Create devices of both types with records of every kind."""
    project = resources(endpoint)
    for number in range(DEVICES):
        kind = {"type": "immutable", "chunk_period": "month", "chunk_retention": 12}
        made = project.devices.create(
            {
                "name": f"Truck {number}",
                "description": "Carries ice",
                "network": "1" * 24,
                "connector": "2" * 24,
                "active": True,
                "visible": number != 1,
                "tags": [{"key": "n", "value": str(number)}, {"key": "all", "value": "ü"}],
                **(kind if number == 2 else {"type": "mutable"}),
            }
        )
        project.devices.paramSet(made["device_id"], [{"key": "k", "value": "v", "sent": True}])
        device = Device({"token": made["token"], "region": region(endpoint.url)})
        assert device.sendData([record(row) for row in range(RECORDS)]) == f"{RECORDS} Data Added"


def record(row: int) -> dict[str, Any]:
    """Return one of ten kinds of record; seven consecutive ones have the same time."""
    kinds: list[dict[str, Any]] = [
        {"value": row / 8, "unit": "°C"},
        {"value": row},
        {"value": f'00{row} "quoted"\n\\ ünï'},
        {"value": row % 4 == 0},
        {"value": 1e300},
        {"location": {"lat": -8.5, "lng": row / 10}},
        {"value": 1, "metadata": {"nested": {"null": None, "list": [1, "a", {}]}, "b": 1.50}},
        {"value": "x", "group": f"trip-{row // 100}"},
        {"value": -0.1, "unit": "%", "location": {"lat": 0, "lng": 0}},
        {"value": ""},
    ]
    minute, millisecond = divmod(row // 7, 60)
    return {
        "variable": f"variable_{row % 10}",
        "time": f"2026-03-01T{minute:02d}:{millisecond:02d}:00.{row // 7 % 1000:03d}Z",
        **kinds[row % 10],
    }


def test_a_script_copies_a_restored_project_into_another(
    endpoints: tuple[Endpoint, Endpoint],
) -> None:
    backed_up, new = endpoints
    fill(backed_up)
    old = restored(backed_up)
    with psycopg.connect(backed_up.dsn) as before, psycopg.connect(old.dsn) as after:
        assert after.execute(CONTENTS).fetchall() == before.execute(CONTENTS).fetchall()

    assert migrate(resources(old), resources(new)) == DEVICES * RECORDS

    with psycopg.connect(old.dsn) as one, psycopg.connect(new.dsn) as other:
        rows = one.execute(CONTENTS).fetchall()
        assert len(rows) == DEVICES * RECORDS
        assert other.execute(CONTENTS).fetchall() == rows
        described = one.execute(DESCRIBED).fetchall()
        assert len(described) == DEVICES
        assert other.execute(DESCRIBED).fetchall() == described
        for column, table in (("id", "device"), ("hash", "token"), ("id", "variable_record")):
            query = f"SELECT {column}::text FROM {table}"
            mine, theirs = ({row[0] for row in db.execute(query)} for db in (one, other))
            assert mine
            assert not mine & theirs


def test_a_device_is_used_with_its_own_token(endpoints: tuple[Endpoint, Endpoint]) -> None:
    project = resources(endpoints[0])
    made = project.devices.create({"name": "Sensor", "type": "mutable"})
    device = Device({"token": made["token"], "region": region(endpoints[0].url)})

    assert device.info()["id"] == made["device_id"]
    assert device.sendData({"variable": "t", "value": 1, "time": "2026-03-01 10:00:00"}) == (
        "1 Data Added"
    )
    device.sendData([{"variable": "t", "value": 2}, {"variable": "u", "value": True}])
    assert len(device.getData({"variables": ["t", "u"], "qty": 1})) == 2
    (last,) = device.getData({"variables": "t", "query": "last_value"})
    assert last["value"] == 2
    # The SDK wraps numbers.
    assert device.getData({"variables": ["t"], "query": "count"})[0]["value"] == 2
    (old,) = device.getData({"variables": "t", "end_date": "2026-03-02"})
    assert (old["value"], old["time"].isoformat()) == (1, "2026-03-01T10:00:00")
    assert device.editData({"id": old["id"], "value": 5}) == "1 item(s) updated"
    assert device.getData({"values": [5]})[0]["id"] == old["id"]
    assert device.deleteData({"ids": [old["id"]]}) == "1 Data Removed"

    project.devices.paramSet(made["device_id"], {"key": "interval", "value": "60", "sent": False})
    (parameter,) = device.getParameters()
    assert device.setParameterAsRead(parameter["id"]) == "Params Successfully Updated"
    assert project.devices.paramList(made["device_id"], True)[0]["key"] == "interval"
    assert project.devices.amount(made["device_id"]) == 2
    assert project.devices.emptyDeviceData(made["device_id"]) == "Data Successfully Removed"

    token = project.devices.tokenCreate(
        made["device_id"], {"name": "Read", "permission": "read", "expire_time": "1 day"}
    )
    reader = Device({"token": token["token"], "region": region(endpoints[0].url)})
    assert reader.getData() == []
    with pytest.raises(Exception, match="Authorization Denied"):
        reader.sendData({"variable": "t", "value": 1})
    assert project.devices.tokenDelete(token["token"]) == "Token Successfully Removed"
    assert [item["name"] for item in project.devices.tokenList(made["device_id"])] == ["Default"]
    assert project.devices.edit(made["device_id"], {"name": "New"}) == "Successfully Updated"
    assert project.devices.delete(made["device_id"]) == "Successfully Removed"
    with pytest.raises(Exception, match="Invalid Device ID"):
        project.devices.info(made["device_id"])


def test_mistakes_become_exceptions_that_people_understand(
    endpoints: tuple[Endpoint, Endpoint],
) -> None:
    project = resources(endpoints[0])
    made = project.devices.create({"name": "Sensor"})
    device = Device({"token": made["token"], "region": region(endpoints[0].url)})
    for body, says in (
        ({"value": 1}, "Record 0: variable must be text"),
        ([{"variable": "t"}, {"variable": "t", "time": "soon"}], "Record 1: 'soon' is not a time"),
    ):
        with pytest.raises(Exception, match=says):
            device.sendData(body)
    with pytest.raises(Exception, match="Name is missing"):
        project.devices.create({"type": "mutable"})
    with pytest.raises(Exception, match="qty must be at most 10000"):
        device.getData({"qty": 20_000})
    other = resources(endpoints[1])
    with pytest.raises(Exception, match="Invalid Device ID"):
        other.devices.info(made["device_id"])


def test_a_body_may_come_in_chunks(endpoints: tuple[Endpoint, Endpoint]) -> None:
    address = endpoints[0].url.removeprefix("http://")
    connection = http.client.HTTPConnection(address, timeout=30)
    headers = {"token": endpoints[0].token, "Transfer-Encoding": "chunked"}
    parts = iter([b'{"name": ', b'"In parts"}'])
    connection.request("POST", "/device", parts, headers, encode_chunked=True)
    answer = json.loads(connection.getresponse().read())
    connection.close()
    assert len(answer["result"]["device_id"]) == 24
