"""Every stored value can be read, whether SQL or any body of the API wrote it."""

import json
import math
import sys
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from pytest_django import Settings

from backups_portal.projectdb.catalogue import BY_NAME
from backups_portal.projectdb.tokens import mint
from backups_portal.projects.database_dsn import keyring
from tests.projectdatabases import Connection
from tests.tagoio_api.conftest import Api, Sensor
from tests.tagoio_api.resources.test_resource_kinds import CASES

FEW = examples(
    max_examples=3,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
DEEP = "[" * 950 + "]" * 950
ODD = (
    *("[1e999, -1e999, 18446744073709551616, -9223372036854775809]", "7" * 400),
    *("1" + "0" * 5000, DEEP, f'{{"a": {DEEP}, "b": 1e400, "c": 1.00000000000000000000001}}'),
    *("null", '"text"', '[5, null, {"key": 5}]', '{"type": 5, "plate": {"type": "string"}}'),
    *('{"": {"": []}}', '{"id": 1, "name": [], "label": {}}'),
    '{"x}": "{", "y\\"": "\\\\", "z": ' + DEEP + "}",
)
NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.integers(2**63, 2**200) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)
LAST_MOMENT = "9999-12-31T23:59:59.999Z"
MOMENTS = ("infinity", "-infinity", "20000-01-01", "4000-01-01 BC", "9999-12-31 23:59:59.999999")


def strict(text: bytes) -> Any:
    """Parse strict JSON, which has neither NaN nor Infinity."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    def whole(digits: str) -> int | float:
        # Python limits the digits that it reads.
        return int(digits) if len(digits) < 4000 else math.inf

    before = sys.getrecursionlimit()
    # Each level takes Python a frame, and a test is many frames deep already.
    sys.setrecursionlimit(before + 5000)
    try:
        return json.loads(text, parse_constant=refuse, parse_int=whole)
    finally:
        sys.setrecursionlimit(before)


@dataclass
class World:
    """One object of every kind, and every address that reads it."""

    api: Api
    sensor: Sensor
    addresses: list[str]

    def read_all(self) -> None:
        """Assert that every reading call answers with 200 and valid JSON."""
        for address in self.addresses:
            self.read(self.api, address)
        self.read(self.sensor, "/info")

    def read(self, caller: Any, address: str) -> Any:
        response = self.api.client.get(address, headers={"token": caller.token})
        assert response.status_code == 200, (address, response.content[:300])
        assert "result" in strict(response.content), address
        return strict(response.content)["result"]


def own_addresses(path: str, made: str) -> list[str]:
    path = path.rstrip("/")
    wide = "&".join(f"fields={name}" for name in ("tags", "settings", "type", "trigger", "x", "a"))
    return [f"{path}/{made}", f"{path}?{wide}", f"{path}?filter[tags][0][key]=a"]


@pytest.fixture
def world(api: Api, sensor: Sensor, settings: Settings) -> World:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    made = {kind: api.post(case.path, case.body)[case.created] for kind, case in CASES.items()}
    addresses = [
        part for kind, case in CASES.items() for part in own_addresses(case.path, made[kind])
    ]
    dashboard, dictionary, entity = made["dashboard"], made["dictionary"], made["entity"]
    widget = api.post(f"/dashboard/{dashboard}/widget", {"label": "W"})["widget"]
    api.put(f"/dictionary/{dictionary}/en", {"dictionary": {"a": "b"}})
    api.post(f"/entity/{entity}/data", {"plate": "x"})
    addresses += [
        *own_addresses("/device", sensor.device_id),
        *(f"/dashboard/{dashboard}/widget/{widget}", f"/dictionary/{dictionary}/en", "/run"),
        *(f"/entity/{entity}/data", "/profile/current", "/profile", "/info", "/account"),
        *(
            f"/device/token/{sensor.device_id}",
            "/profile/current/token",
            "/profile/current/summary",
        ),
        *(f"/tags/keys/{kind}" for kind in ("device", "analysis", "am", "entity", "secrets")),
    ]
    return World(api, sensor, addresses)


def columns_of(database: Connection, *types: str) -> list[tuple[str, str]]:
    rows = database.execute(
        """SELECT relname, attname FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
           WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND attnum > 0
             AND format_type(atttypid, NULL) = ANY(%s) ORDER BY 1, 2""",
        [list(types)],
    ).fetchall()
    return [(str(t), str(c)) for t, c in rows if t in BY_NAME and not BY_NAME[str(t)].excluded]


def test_every_json_that_sql_stores_is_read(world: World, database: Connection) -> None:
    columns = columns_of(database, "jsonb")
    assert len(columns) > 25
    statements = [f"UPDATE {table} SET {column} = %(odd)s::jsonb" for table, column in columns]
    for text in ODD:
        for statement in statements:
            database.execute(statement, {"odd": text})
        world.read_all()


def test_numbers_are_read_as_they_are_stored(world: World, database: Connection) -> None:
    big, fine = "123456789012345678901234567890", "1.00000000000000000000001"
    database.execute("UPDATE widget SET settings = %s", [f'{{"a": {big}, "b": [{fine}, 0.1]}}'])
    address = next(one for one in world.addresses if "/widget/" in one)
    content = world.api.client.get(address, headers={"token": world.api.token}).content.decode()
    assert f'"a":{big},' in content
    assert f'"b":[{fine},0.1]' in content


@pytest.mark.parametrize("moment", MOMENTS)
def test_every_moment_that_sql_stores_is_read(
    world: World, database: Connection, moment: str
) -> None:
    world.sensor.post("/data", {"variable": "t", "value": 1})
    columns = columns_of(database, "timestamp with time zone")
    for table, column in columns:
        if (table, column) not in (("variable", "time"), ("token", "expires_at")):
            database.execute(f"UPDATE {table} SET {column} = %s", [moment])
    if not moment.startswith("-") and "BC" not in moment:
        database.execute("UPDATE token SET expires_at = %s", [moment])
    world.read_all()
    found = world.read(world.api, f"/device/{world.sensor.device_id}/data?details=true")
    nearest = "0001-01-01T00:00:00.000Z" if "-inf" in moment or "BC" in moment else LAST_MOMENT
    assert [row["created_at"] for row in found] == [nearest]


METADATA = (
    *('{"a": "\\ud800"}', '{"a": "\\udc00\\ud800 \\\\ud800 \\ud83d\\ude00"}', '{"a": "\\u0000"}'),
    *('{"a": 1e999}', '{"a": ' + "9" * 400 + "}", '{"a":   1.0, "a":1e0}', DEEP, "5", '"x"'),
)
QUERIES = (
    *("", "?query=last_value", "?query=min", "?query=max", "?query=count", "?details=true"),
    *("?qty=1&skip=1", "?qty=1&skip=2", "?query=avg&start_date=2000-01-01"),
    *("?query=sum&start_date=2000-01-01", "?value=7", "?query=conditional&values=1"),
    "?query=aggregate&start_date=2000-01-01&interval=day&function=avg",
)


def plant_data(world: World, database: Connection) -> list[str]:
    world.sensor.post(
        "/data",
        [
            {"variable": "t", "value": 1, "location": {"lat": 1, "lng": 2}, "metadata": {"n": n}}
            for n in range(len(METADATA) + 3)
        ],
    )
    rows = database.execute("SELECT id FROM variable ORDER BY id").fetchall()
    for (number,), text in zip(rows, METADATA, strict=False):
        database.execute("UPDATE variable SET metadata = %s WHERE id = %s", [text, number])
    for (number,), value in zip(rows, ("NaN", "Infinity", "-Infinity"), strict=False):
        database.execute(
            "UPDATE variable SET number_value = %s, location = point(%s, %s) WHERE id = %s",
            [value, value, value, number],
        )
    return [f"/device/{world.sensor.device_id}/data{query}" for query in QUERIES]


def test_every_record_that_sql_stores_is_read(world: World, database: Connection) -> None:
    for address in plant_data(world, database):
        response = world.api.client.get(address, headers={"token": world.api.token})
        assert response.status_code in (200, 400), (address, response.content)
        strict(response.content)
        # Half of a surrogate pair cannot be encoded.
        str(strict(response.content)).encode()
    found = world.read(world.api, f"/device/{world.sensor.device_id}/data?qty=50")
    assert len(found) == len(METADATA) + 3
    assert {"NaN", "Infinity", "-Infinity"} <= {str(row["value"]) for row in found}
    assert "�� \\ud800 \U0001f600" in [row["metadata"].get("a") for row in found
                                       if isinstance(row["metadata"], dict)]  # fmt: skip


@pytest.mark.parametrize(
    "change", [{"value": 2}, {"unit": "C"}, {"group": "g"}, {"time": "2024-01-01"}]
)
def test_an_edit_of_one_field_leaves_the_others_byte_for_byte(
    world: World, database: Connection, change: dict[str, Any]
) -> None:
    plant_data(world, database)
    database.execute("UPDATE variable SET time = '2024-03-01 00:00:00.123456Z'")
    named = {"value": "number_value", "unit": "", "group": "group_key", "time": "time"}
    kept = {"number_value", "location", "metadata", "time", "group_key"} - {
        named[name] for name in change
    }
    names = ", ".join(f"{name}::text" for name in sorted(kept))
    query = f"SELECT id, {names} FROM variable ORDER BY id"
    before = database.execute(query).fetchall()
    prefix = database.execute("SELECT prefix FROM instance").fetchone()
    assert prefix
    body = [{"id": f"{prefix[0]}{int(str(row[0])):016x}", **change} for row in before]
    assert world.sensor.put("/data", body) == f"{len(before)} item(s) updated"
    assert database.execute(query).fetchall() == before


def test_a_sum_beyond_double_precision_is_said_so(sensor: Sensor) -> None:
    sensor.post("/data", [{"variable": "t", "value": 1e308}, {"variable": "t", "value": 1e308}])
    status, message = sensor.call("GET", "/data?query=sum&start_date=2000-01-01")
    assert (status, message) == (400, "The numbers come to more than double precision holds")


BODIES: dict[str, tuple[str, ...]] = {
    "network": ("device_parameters", "serial_number", "icon"),
    "connector": ("device_parameters", "networks"),
    "action": ("trigger", "action", "description"),
    "access": ("permissions", "targets"),
    "dashboard": ("arrangement", "tabs", "setup", "anything"),
    "analysis": ("variables", "description"),
    "entity": ("schema", "index", "payload_decoder"),
}


@FEW
@example(value=2**64)
@example(value=-(2**63) - 1)
@example(value=[10**400])
@example(value=1e300)
@example(value=json.loads("[" * 201 + "]" * 201))
@example(value=json.loads("[" * 190 + "]" * 190))
@given(value=VALUES)
def check_bodies(world: World, value: Any) -> None:
    """Assert that a body's values are refused, or stored and readable."""
    for kind, names in BODIES.items():
        case = CASES[kind]
        forms = (value, [value], {"a": value})
        named = {name: forms[number % 3] for number, name in enumerate(names)}
        send(world, case.path, case.created, json.dumps({**case.body, **named}))
        body = json.dumps({**case.body, names[-1]: value, "tags": [{"key": "a", "value": "b"}]})
        send(world, case.path, case.created, body)


def send(world: World, path: str, created: str, body: str) -> None:
    status, answer = world.api.call("POST", path, body.encode())
    assert status in (200, 400), answer
    if status == 200:
        one = f"{path.rstrip('/')}/{answer[created]}"
        world.read(world.api, one)
        world.api.delete(one)


def test_whatever_a_body_brings_is_refused_or_read(world: World) -> None:
    check_bodies(world)


@FEW
@example(value=2**64)
@example(value=json.loads("[" * 201 + "]" * 201))
@given(value=VALUES)
def check_free_bodies(world: World, value: Any) -> None:
    """Check the bodies that accept any object."""
    paths = [one for one in world.addresses if "/widget/" in one or one.endswith("/en")]
    entity = next(one for one in world.addresses if one.endswith("/data"))
    for method, path, body in (
        *(("PUT", path, {"dictionary": {"a": value}, "data": value}) for path in paths),
        ("PUT", "/run", {"theme": value, "anything": value}),
        ("PUT", "/profile/current", {"logo_url": value}),
        ("POST", entity, {"plate": value}),
        ("POST", f"/device/{world.sensor.device_id}/params", [{"key": "k", "value": value}]),
        ("POST", f"/device/{world.sensor.device_id}/data", {"variable": "t", "metadata": value}),
        ("POST", f"/device/{world.sensor.device_id}/data", {"variable": "t", "value": value}),
    ):
        status, answer = world.api.call(method, path, json.dumps(body).encode())
        assert status in (200, 400), (path, answer)
    for path in (*paths, entity, "/run", f"/device/{world.sensor.device_id}/data"):
        world.read(world.api, path)


def test_whatever_a_free_body_brings_is_refused_or_read(world: World) -> None:
    check_free_bodies(world)


def test_a_body_of_too_many_levels_is_refused_with_a_sentence(api: Api) -> None:
    body = b'{"label": "L", "setup": ' + b"[" * 200 + b"]" * 200 + b"}"
    message = "The body has more than 200 levels of lists and objects"
    assert api.call("POST", "/dashboard", body) == (400, message)
    assert api.call("POST", "/dashboard", b'{"a": 1e999}')[0] == 400


def test_a_token_of_another_database_is_not_revealed(
    api: Api, sensor: Sensor, database: Connection
) -> None:
    """An owner could otherwise read another project's tokens out of a copy of its database."""
    address = f"/device/token/{sensor.device_id}"
    assert api.get(address)[0]["token"] == sensor.token
    analysis = api.post("/analysis", {"name": "Daily"})["id"]
    for sealed in (b"none", mint("device", prefix="aaaaaaaa", keys=keyring()).sealed_value):
        database.execute("UPDATE token SET sealed_value = %s", [sealed])
        assert api.get(address)[0]["token"] == ""
        assert api.get(f"/analysis/{analysis}")["token"] == ""
