"""The requests of the command line for devices: `device-list`, `data`, `device-copy`, ..."""

from datetime import UTC, datetime

import pytest

from tests.contract.cli.requests import bare, result
from tests.contract.conftest import Endpoint
from tests.contract.http import ask

Pair = tuple[Endpoint, Endpoint]
COPIED = ("variable", "value", "unit", "group", "time", "location", "metadata")


@pytest.fixture
def one(endpoints: Pair) -> Endpoint:
    """The default environment."""
    return endpoints[0]


def make(one: Endpoint, **more: object) -> tuple[str, str]:
    """Create a device; return its id and token."""
    made = result(one, "POST", "/device", {"name": "Truck", "type": "mutable", **more})
    return made["device_id"], made["token"]


def first_token(one: Endpoint, device_id: str) -> str:
    """Return the token with which the command line talks to a device."""
    return str(result(one, "GET", f"/device/token/{device_id}")[0]["token"])


def test_device_list(one: Endpoint) -> None:
    device_id, _ = make(one, tags=[{"key": "site", "value": "Oslo"}])
    make(one, name="Van")
    query = (
        "?page=1&fields[0]=id&fields[1]=name&fields[2]=active&fields[3]=last_input&amount=50"
        "&orderBy=name,asc"
    )
    rows = result(one, "GET", f"/device{query}")
    assert [row["name"] for row in rows] == ["Truck", "Van"]
    assert all(isinstance(row["tags"], list) for row in rows)
    for found in ("filter[name]=*ruc*", "filter[tags][1][key]=site&filter[tags][1][value]=Oslo"):
        assert [row["id"] for row in result(one, "GET", f"/device{query}&{found}")] == [device_id]


def test_device_info_by_id_and_by_token(one: Endpoint) -> None:
    device_id, token = make(one)
    assert result(one, "GET", f"/device/{device_id}")["name"] == "Truck"
    assert result(one, "GET", f"/device/{device_id}/params") == []
    fields = "fields[0]=name&fields[1]=token&fields[2]=last_authorization&fields[3]=serie_number"
    assert result(one, "GET", f"/device/token/{device_id}?{fields}")[0]["token"] == token
    # The command line tries an argument that is a token as an id first.
    assert ask(one.url, "GET", f"/device/{token}", token=one.token)[0] == 404
    assert result(one, "GET", "/info", token=token)["id"] == device_id


def test_data_is_read_and_posted(one: Endpoint) -> None:
    device_id, _ = make(one)
    result(one, "GET", f"/device/{device_id}")
    token = first_token(one, device_id)
    assert result(one, "POST", "/data", [{"variable": "x", "value": 1}], token) == "1 Data Added"
    found = result(one, "GET", "/data?variables[0]=x&qty=15", token=token)
    assert [record["value"] for record in found] == [1]
    assert result(one, "GET", "/data?qty=15&query=count", token=token) == 1
    assert len(result(one, "GET", "/data?qty=15&query=last", token=token)) == 1


def test_device_copy(one: Endpoint) -> None:
    pair = [make(one)[0], make(one, name="Copy")[0]]
    source, target = (first_token(one, device_id) for device_id in pair)
    records = [
        {"variable": f"v{number % 3}", "value": number / 8, "time": 1772366400000 + number // 4}
        for number in range(4000)
    ]
    result(one, "POST", "/data", records, source)
    assert [result(one, "GET", "/info", token=token)["id"] for token in (source, target)] == pair
    for skip in (0, 2000, 4000):
        query = f"?qty=2000&skip={skip}&ordination=ascending"
        page = result(one, "GET", f"/data{query}", token=source)
        assert result(one, "POST", "/data", page, target) == f"{len(page)} Data Added"
    assert contents(one, target) == contents(one, source)


def contents(one: Endpoint, token: str) -> list[dict[str, object]]:
    """Return a device's records without the fields that differ between devices."""
    found = result(one, "GET", "/data?qty=10000&ordination=ascending", token=token)
    return [{key: record.get(key) for key in COPIED} for record in found]


def test_device_backup_by_month_and_its_restore(one: Endpoint) -> None:
    device_id, token = make(one)
    now = datetime.now(UTC)
    year, month = divmod(now.year * 12 + now.month, 12)
    result(one, "POST", "/data", [{"variable": "x", "value": n} for n in range(9)], token)
    created = datetime.fromisoformat(result(one, "GET", f"/device/{device_id}")["created_at"])
    assert created.month == now.month
    query = f"?start_date={now:%Y-%m}-01&end_date={year}-{month + 1:02}-01&qty=10000"
    saved = result(one, "GET", f"/data{query}", token=first_token(one, device_id))
    assert len(saved) == 9
    before = contents(one, token)

    result(one, "POST", f"/device/{device_id}/empty")
    assert result(one, "POST", "/data", saved, token) == "9 Data Added"
    assert sorted(map(str, contents(one, token))) == sorted(map(str, before))


def test_device_network_makes_its_tokens_anew(one: Endpoint) -> None:
    device_id, token = make(one, serie_number="SN-1")
    listed = result(one, "GET", f"/device/token/{device_id}?fields[0]=token&fields[1]=serie_number")
    for entry in listed:
        result(one, "DELETE", f"/device/token/{entry['token']}")
    change = {"network": "1" * 24, "connector": "2" * 24, "active": True}
    result(one, "PUT", f"/device/{device_id}", change)
    new = {"device": device_id, "name": "Default", "permission": "full", "serie_number": "SN-1"}
    made = result(one, "POST", "/device/token", {**new, "expire_time": "never"})
    assert first_token(one, device_id) == made["token"] != token


def test_device_type_converts_an_emptied_device(one: Endpoint) -> None:
    device_id, token = make(one)
    result(one, "POST", "/data", [{"variable": "x", "value": 1}], token)
    path = f"/device/{device_id}"
    immutable = {"type": "immutable", "chunk_period": "month", "chunk_retention": 2}
    for method, address, body in (
        ("GET", path, None),
        ("POST", f"{path}/empty", None),
        ("PUT", path, {"active": False}),
        ("POST", f"{path}/convert", immutable),
        ("PUT", path, {"active": True}),
    ):
        status, answer = bare(one, method, address, body)
        assert status == 200, answer
    info = result(one, "GET", path)
    assert {key: info[key] for key in immutable} == immutable


def test_export_copies_devices_with_their_data(endpoints: Pair) -> None:
    a, b = endpoints
    tags = [{"key": "export_id", "value": "truck"}]
    source, token = make(a, tags=tags, serie_number="SN-1")
    result(a, "POST", f"/device/{source}/params", [{"key": "k", "value": "v", "sent": False}])
    result(a, "POST", "/data", [{"variable": "t", "value": n} for n in range(1500)], token)

    query = "?amount=10000&fields[0]=id&fields[1]=tags&filter[tags][0][key]=export_id"
    (listed,) = result(a, "GET", f"/device{query}")
    assert result(b, "GET", f"/device{query}") == []
    info = result(a, "GET", f"/device/{listed['id']}")
    info.pop("bucket")
    made = result(b, "POST", "/device", info)
    theirs = first_token(a, source)
    # Each token goes to the other's address, because the token alone selects the project.
    for skip in (0, 1000):
        page = f"?qty=1000&skip={skip}&ordination=ascending"
        records = result(b, "GET", f"/data{page}", token=theirs)
        result(a, "POST", "/data", records, made["token"])
    result(a, "POST", "/data", [], made["token"])
    parameters = result(b, "GET", "/device/params", token=theirs)
    result(b, "POST", f"/device/{made['device_id']}/params", parameters)
    for serial in result(b, "GET", f"/device/token/{made['device_id']}?fields[0]=token"):
        result(b, "DELETE", f"/device/token/{serial['token']}")
    new = {"device": made["device_id"], "name": "Default", "permission": "full"}
    body = {**new, "expire_time": "never", "serie_number": "SN-1"}
    fresh = result(b, "POST", "/device/token", body)["token"]

    assert made["device_id"] != source
    assert contents(b, fresh) == contents(a, token)
    (copied,) = result(b, "GET", f"/device/{made['device_id']}/params")
    assert (copied["key"], copied["value"]) == ("k", "v")
    # The second time the device exists and is edited.
    again = {"tags": tags, "active": True, "visible": True}
    result(b, "PUT", f"/device/{result(b, 'GET', f'/device{query}')[0]['id']}", again)
