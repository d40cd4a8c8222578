"""Devices: created, listed, edited, deleted; their parameters and tokens."""

from datetime import UTC, datetime, timedelta

import psycopg
import pytest

from backups_portal.projects.models import Project
from backups_portal.tagoio_api.auth import project_lookup
from tests.projectdatabases import Connection
from tests.tagoio_api.conftest import Api, Sensor, api_of

NETWORK = "1" * 24


def test_a_device_is_created_with_all_that_a_client_says_of_it(api: Api) -> None:
    made = api.post(
        "/device",
        {
            "name": "Truck",
            "type": "immutable",
            "chunk_period": "week",
            "chunk_retention": 3,
            "network": NETWORK,
            "connector": "2" * 24,
            "description": "Carries ice",
            "active": False,
            "tags": [{"key": "b", "value": "1"}, {"key": "a", "value": "2"}],
            "serie_number": "SN-1",
            "configuration_params": [{"key": "interval", "value": "60", "sent": True}],
            "payload_decoder": "decode()",
            # The ids of the project that the client read it from.
            "id": "f" * 24,
            "profile": "e" * 24,
            "token": "x",
            "bucket": {"id": "f" * 24, "name": "x"},
            "created_at": "2020-01-01T00:00:00.000Z",
            "last_input": "never",
        },
    )
    device_id = made["device_id"]
    assert set(made) == {"device_id", "bucket_id", "token"}
    assert made["bucket_id"] == device_id != "f" * 24
    assert len(made["token"]) == 36

    shown = api.get(f"/device/{device_id}")
    assert shown["bucket"] == {"id": device_id, "name": "Truck"}
    assert (shown["type"], shown["chunk_period"], shown["chunk_retention"]) == (
        *("immutable", "week"),
        3,
    )
    assert (shown["network"], shown["connector"]) == (NETWORK, "2" * 24)
    assert (shown["active"], shown["visible"]) == (False, True)
    assert [tag["key"] for tag in shown["tags"]] == ["b", "a"]
    assert shown["payload_decoder"] == "decode()"
    assert not {"token", "network_id", "settings"} & set(shown)
    (parameter,) = api.get(f"/device/{device_id}/params")
    assert (parameter["key"], parameter["value"], parameter["sent"]) == ("interval", "60", True)
    (token,) = api.get(f"/device/token/{device_id}?fields=name,token,serie_number,expire_time")
    assert (token["name"], token["token"]) == ("Default", made["token"])
    assert (token["serie_number"], token["expire_time"]) == ("SN-1", "never")


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({}, "Name is missing"),
        ({"name": ""}, "Name must have at least 1 character"),
        ({"name": 7}, "Name must be text"),
        ({"name": "x", "tags": [{"key": 1}]}, "Key of entry 1 of tags must be text"),
        ({"name": "x", "type": "solid"}, "Type must be mutable, immutable, hybrid or legacy"),
        ({"name": "x", "type": "immutable"}, "chunk_period and chunk_retention are required"),
        ({"name": "x", "network": "nowhere"}, "Network must be 24 hex digits"),
        ({"name": "x\0"}, "A value cannot be stored"),
        ([], "The body must be an object"),
    ],
)
def test_what_is_wrong_with_a_device_is_said(api: Api, body: object, says: str) -> None:
    status, message = api.call("POST", "/device", body)
    assert (status, message[: len(says)]) == (400, says)
    assert api.get("/device") == []


def test_other_types_are_kept_as_mutable(api: Api) -> None:
    for kind in ("hybrid", "legacy"):
        made = api.post("/device", {"name": kind, "type": kind})["device_id"]
        assert api.get(f"/device/{made}")["type"] == "mutable"


def test_an_edit_changes_what_it_names(sensor: Sensor) -> None:
    path = f"/device/{sensor.device_id}"
    whole = sensor.api.get(path)
    assert sensor.api.put(path, {**whole, "id": "f" * 24, "name": "New", "type": "immutable"})
    edited = sensor.api.get(path)
    assert {**edited, "updated_at": 0} == {
        **whole,
        "name": "New",
        "bucket": {"id": sensor.device_id, "name": "New"},
        "updated_at": 0,
    }
    sensor.api.put(path, {"tags": [{"key": "only", "value": "one"}]})
    assert sensor.api.get(path)["tags"] == [{"key": "only", "value": "one"}]


def test_a_deleted_device_takes_everything_with_it(sensor: Sensor, database: Connection) -> None:
    sensor.post("/data", [{"variable": "x", "value": 1}])
    sensor.api.post(f"/device/{sensor.device_id}/params", [{"key": "k", "value": "v"}])
    assert sensor.api.delete(f"/device/{sensor.device_id}") == "Successfully Removed"
    for table in ("device", "series", "variable", "device_parameter"):
        assert database.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
    assert sensor.call("GET", "/info") == (401, "Authorization Denied")
    assert sensor.api.call("GET", f"/device/{sensor.device_id}") == (404, "Invalid Device ID")


def test_a_protected_device_stays(api: Api) -> None:
    tags = [{"key": "_delete_protection_", "value": "In use"}]
    sensor = Sensor.create(api, tags=tags)
    assert api.call("DELETE", f"/device/{sensor.device_id}") == (400, "In use")


def test_lists_are_paged_filtered_and_ordered(api: Api, database: Connection) -> None:
    made = {}
    for number in range(6):
        made[number] = Sensor.create(
            api,
            name=f"Truck {number // 2}",
            active=number != 5,
            network=NETWORK if number < 2 else None,
            serie_number=f"SN-{number}",
            tags=[{"key": "n", "value": str(number)}],
        )
    made[3].post("/data", {"variable": "x", "value": 1})

    def listed(query: str) -> list[int]:
        numbers = {sensor.device_id: number for number, sensor in made.items()}
        return [numbers[row["id"]] for row in api.get(f"/device?{query}")]

    pages = [number for page in (1, 2, 3, 4) for number in listed(f"amount=2&page={page}")]
    assert pages == [0, 1, 2, 3, 4, 5]
    assert listed("orderBy=created_at,desc") == [5, 4, 3, 2, 1, 0]
    assert listed("orderBy=last_input,desc&amount=1") == [3]
    assert listed("filter[name]=TRUCK*1") == [2, 3]
    assert listed("filter[name]=truck") == []
    assert listed("filter[active]=False") == [5]
    assert listed(f"filter[network]={NETWORK}") == [0, 1]
    assert listed("filter[type]=immutable") == []
    assert listed(f"filter[id]={made[4].device_id}") == [4]
    assert listed("filter[tags][1][value]=4") == [4]
    assert listed("filter[tags][0][key]=n&filter[tags][1][value]=2") == [2]
    assert listed("serial=SN-2") == [2]
    assert listed("filter[created_at]=1 hour&amount=10000") == [0, 1, 2, 3, 4, 5]
    assert listed("filter[created_at]=2099-01-01") == []
    assert listed("filter[last_input]=1 day") == [3]
    assert listed("unknown=1&filter[unknown]=1&amount=1&page=0") == [0]
    row = api.get("/device?fields[0]=id&fields[1]=last_input&fields[2]=bucket&amount=1")[0]
    assert set(row) == {"id", "tags", "last_input", "bucket"}
    assert row["bucket"] == row["id"]
    assert set(api.get("/device?amount=1")[0]) == {"id", "name", "tags"}


@pytest.mark.parametrize(
    "query", ["amount=10001", "amount=x", "page=-1", "filter[active]=maybe", "page=99999999999999"]
)
def test_a_list_that_cannot_be_is_refused(api: Api, query: str) -> None:
    assert api.call("GET", f"/device?{query}")[0] == 400


def test_a_list_asks_as_much_of_many_devices_as_of_one(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements: list[object] = []
    execute = psycopg.Cursor.execute
    monkeypatch.setattr(
        psycopg.Cursor,
        "execute",
        lambda self, query, *args, **kw: (
            statements.append(query),
            execute(self, query, *args, **kw),
        )[1],
    )
    counts = []
    for number in range(3):
        for _ in range(10 * number):
            Sensor.create(api)
        statements.clear()
        project_lookup.forget()
        api.get("/device?amount=100&fields=id,name,active,last_input,network")
        counts.append(len(statements))
    assert counts[1] == counts[2] <= 3


def test_null_empties_what_may_be_empty(api: Api) -> None:
    sensor = Sensor.create(api, description="Carries ice", network=NETWORK, payload_decoder="x")
    path = f"/device/{sensor.device_id}"
    api.put(path, {"name": None, "description": None, "network": None, "payload_decoder": None})
    shown = api.get(path)
    assert shown["name"] == "Sensor"
    assert [shown[key] for key in ("description", "network", "payload_decoder")] == [None] * 3


def test_a_device_is_converted_once_it_is_switched_off_and_empty(sensor: Sensor) -> None:
    path = f"/device/{sensor.device_id}"
    convert = f"{path}/convert"
    body = {"type": "immutable", "chunk_period": "month", "chunk_retention": 6}
    sensor.post("/data", {"variable": "t", "value": 1})
    assert sensor.api.call("POST", convert, body) == (
        *(400, "Deactivate the device before it is converted"),
    )
    sensor.api.put(path, {"active": False})
    assert sensor.api.call("POST", convert, body) == (
        *(400, "Empty the device before it is converted"),
    )
    sensor.api.post(f"{path}/empty")
    assert sensor.api.call("POST", convert, {"type": "immutable"}) == (
        *(400, "chunk_period and chunk_retention are required"),
    )
    assert sensor.api.post(convert, body) == "Device type/chunk was converted"
    shown = sensor.api.get(path)
    assert {key: shown[key] for key in body} == body
    sensor.api.post(convert, {"type": "mutable"})
    shown = sensor.api.get(path)
    assert (shown["type"], shown["chunk_period"], shown["chunk_retention"]) == (
        *("mutable", None, None),
    )
    assert sensor.api.get(f"{path}/statistics") == []
    assert sensor.api.call("POST", f"/device/{'0' * 24}/convert", body)[0] == 404


def test_a_token_that_reads_sees_no_token_that_does_more(project: Project, sensor: Sensor) -> None:
    body = {"device": sensor.device_id, "name": "Reader", "permission": "read"}
    readers = sensor.api.post("/device/token", body)["token"]
    path = f"/device/token/{sensor.device_id}"
    shown = {row["name"]: row["token"] for row in api_of(project, permission="read").get(path)}
    assert shown == {"Default": "", "Reader": readers}
    assert {row["token"] for row in sensor.api.get(path)} == {sensor.token, readers}
    named = api_of(project, permission="read").get(f"{path}?fields=token")
    assert {row["token"] for row in named} == {"", readers}
    assert "permission" not in named[0]


def test_parameters_are_added_changed_marked_and_deleted(sensor: Sensor) -> None:
    path = f"/device/{sensor.device_id}/params"
    assert sensor.api.post(path, []) == "Params Successfully Updated"
    sensor.api.post(path, [{"key": "a", "value": "1", "sent": True}, {"key": "b", "value": 2}])
    first, second = sensor.api.get(path)
    assert (second["key"], second["value"], second["sent"]) == ("b", "2", False)
    assert sensor.get("/device/params?sent_status=False") == [second]

    sensor.api.post(path, {"id": first["id"], "value": "9"})
    # Read from another project, with an id that is unknown here.
    sensor.api.post(path, [{"id": "f" * 24, "key": "c", "value": "3"}])
    assert [(item["key"], item["value"]) for item in sensor.api.get(path)] == [
        *(("a", "9"), ("b", "2"), ("c", "3"))
    ]
    assert sensor.put(f"/device/params/{second['id']}") == "Params Successfully Updated"
    assert sensor.put(f"/device/params/{first['id']}", {"sent": False})
    assert [item["key"] for item in sensor.get("/device/params?sent_status=true")] == ["b"]
    assert sensor.call("PUT", f"/device/params/{'f' * 24}")[0] == 404
    assert sensor.api.delete(f"{path}/{first['id']}") == "Successfully Removed"
    assert sensor.api.call("DELETE", f"{path}/{first['id']}")[0] == 404
    assert sensor.api.call("POST", path, {"key": "alone"}) == (
        400,
        "A new parameter needs a key and a value",
    )


def test_tokens_are_made_for_a_while_and_listed_newest_first(sensor: Sensor) -> None:
    body = {"device": sensor.device_id, "name": "Second", "expire_time": "1 month"}
    made = sensor.api.post("/device/token", {**body, "serie_number": "7", "permission": "read"})
    assert made["permission"] == "read"
    assert made["expire_date"] == made["expire_time"]
    expiry = datetime.fromisoformat(made["expire_time"])
    assert timedelta(27) < expiry - datetime.now(UTC) < timedelta(32)
    newest, first = sensor.api.get(f"/device/token/{sensor.device_id}")
    assert (newest["name"], newest["token"], first["token"]) == (
        *("Second", made["token"]),
        sensor.token,
    )
    made = sensor.api.post("/device/token", {**body, "expire_time": 4_102_444_800_000})
    assert made["expire_time"] == "2100-01-01T00:00:00.000Z"
    body["expire_time"] = "whenever"
    assert sensor.api.call("POST", "/device/token", body) == (400, "Invalid expire time")
    unknown = {"device": "f" * 24, "name": "x"}
    assert sensor.api.call("POST", "/device/token", unknown) == (404, "Invalid Device ID")


@pytest.mark.parametrize("parameter", [{}, {"key": "interval"}, {"value": "60"}])
def test_a_new_device_needs_whole_parameters(api: Api, parameter: dict[str, str]) -> None:
    body = {"name": "Truck", "configuration_params": [parameter]}
    status, message = api.call("POST", "/device", body)
    assert (status, "configuration params" in message) == (400, True)
    assert api.get("/device") == []


IMMUTABLE = {"name": "x", "type": "immutable"}
MAX_CHUNKS = {"day": 31, "week": 26, "month": 36, "quarter": 36}


@pytest.mark.parametrize(("period", "most"), MAX_CHUNKS.items())
def test_chunks_are_kept_up_to_a_number_that_fits_their_period(
    api: Api, period: str, most: int
) -> None:
    says = (400, f"Chunk retention must be at most {most}")
    body = {**IMMUTABLE, "chunk_period": period}

    def refused(answer: tuple[int, str]) -> bool:
        return (answer[0], answer[1][: len(says[1])]) == says

    device = f"/device/{api.post('/device', {**body, 'chunk_retention': most})['device_id']}"
    assert refused(api.call("POST", "/device", {**body, "chunk_retention": most + 1}))
    assert refused(api.call("PUT", device, {"chunk_retention": most + 1}))
    other = f"/device/{api.post('/device', {'name': 'x', 'active': False})['device_id']}"
    change = {"type": "immutable", "chunk_period": period, "chunk_retention": most + 1}
    assert refused(api.call("POST", f"{other}/convert", change))


def test_a_blank_number_or_id_is_none(api: Api) -> None:
    blank = {"chunk_period": "", "chunk_retention": "", "network": "", "connector": "", "type": ""}
    made = api.post("/device", {"name": "x", **blank})["device_id"]
    shown = api.get(f"/device/{made}")
    assert (shown["type"], shown["chunk_retention"]) == ("mutable", None)
    assert len(shown["network"]) == len(shown["connector"]) == 24
    api.put(f"/device/{made}", blank)
    assert api.get(f"/device/{made}")["network"] == shown["network"]
    token = {"device": made, "permission": "", "expire_time": ""}
    assert api.post("/device/token", token)["expire_time"] == "never"
    # A name is text, and a blank one is refused.
    assert api.call("POST", "/device", {"name": ""})[0] == 400


def test_names_with_nothing_to_see_are_taken_as_they_are(sensor: Sensor) -> None:
    """TagoIO accepts them, so a migration must lose none; pages make them visible."""
    api, names = sensor.api, [" ", "\u200b", "\u2800", "\u202eabc"]
    for name in names:
        api.put(f"/device/{sensor.device_id}", {"name": name})
        assert api.get(f"/device/{sensor.device_id}")["name"] == name
        api.post("/device/token", {"device": sensor.device_id, "name": name})
    found = api.get(f"/device/token/{sensor.device_id}?fields=name")
    assert [one["name"] for one in found][: len(names)] == names[::-1]
