"""What each permission of each kind of token leads to: every address, every method.

No call hands out, makes, shows or destroys more than the token behind it may. An address that is
missing in the table fails.
"""

import base64
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import pytest
from django.http import HttpResponse
from django.test import Client
from pytest_django import Settings

from backups_portal.projectdb import analyses, credentials, files
from backups_portal.projectdb.catalogue import TABLES
from backups_portal.projectdb.ids import new_resource_id
from backups_portal.projectdb.tokens import TokenGrant, create_token, reveal
from backups_portal.projects.database_dsn import keyring
from backups_portal.projects.models import Project
from backups_portal.tagoio_api.api import api as routes
from backups_portal.tagoio_api.auth.token_rights import RIGHTS
from backups_portal.tagoio_api.envelope import as_json
from tests.projectdatabases import Connection
from tests.tagoio_api.conftest import Api, Sensor, api_of

DENIED = "Authorization Denied"
# In everything that can only be read with the right to read.
MARK = "sunflower-marker"
READ, WRITE, DELETE, FULL = "read", "write", "delete", "full"
# Asks for no token: it is in the address, or a password is in the body.
OPEN = "open"
PERMISSIONS = ("full", "write", "read")
UNCOUNTED = {"change_mark", "analysis_console"}
COUNT = " UNION ALL ".join(
    f"SELECT '{table.name}', count(*) FROM {table.name}"
    for table in TABLES
    if table.name not in UNCOUNTED
)
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD")


@dataclass
class World:
    """Something of every kind in a project, by the name of the parameter that is its id."""

    connection: Connection
    ids: dict[str, str]
    known: dict[bytes, str] = field(default_factory=dict)

    def tokens(self) -> dict[str, str]:
        """The permission of every token by its value."""
        rows = self.connection.execute("SELECT sealed_value, permission FROM token").fetchall()
        return {self._value(bytes(sealed)): str(permission) for sealed, permission in rows}  # type: ignore[arg-type]

    def _value(self, sealed: bytes) -> str:
        if sealed not in self.known:
            self.known[sealed] = reveal(sealed, keys=keyring())
        return self.known[sealed]

    def counts(self) -> dict[str, int]:
        """How many rows each table has."""
        return dict(self.connection.execute(COUNT, prepare=True).fetchall())  # type: ignore[arg-type]

    def published(self) -> list[str]:
        """Files that anybody can read, although what is in them takes the right to read."""
        rows = self.connection.execute(
            "SELECT path FROM file WHERE public AND convert_from(content, 'UTF8') LIKE %s",
            [f"%{MARK}%"],
        )
        return [str(path) for (path,) in rows.fetchall()]


@dataclass(frozen=True)
class Call:
    """One method of one address: the right that it takes, of which tokens, and a body for it."""

    right: str
    body: Callable[[World], Any] = field(default=lambda world: {})
    kinds: tuple[str, ...] = ("profile", "analysis")
    query: str = ""


def sending(**body: Any) -> Callable[[World], Any]:
    return lambda world: body


def crud(body: dict[str, Any]) -> tuple[dict[str, Call], dict[str, Call]]:
    """The calls of a collection, and those of one of its objects."""
    whole = {"id": "0" * 24, "token": "x", "permission": "full", **body}
    return (
        {"GET": Call(READ), "POST": Call(WRITE, sending(**whole))},
        {"GET": Call(READ), "PUT": Call(WRITE, sending(**whole)), "DELETE": Call(DELETE)},
    )


def moved(world: World) -> Any:
    return [{"from": "private.txt", "to": "elsewhere.txt"}]


OF_DEVICE = ("device",)
RECORD = [{"variable": "temperature", "value": 1}]
TABLE: dict[str, dict[str, Call]] = {
    "status": {"GET": Call(OPEN)},
    "info": {"GET": Call(READ, kinds=("profile", "analysis", "device"))},
    "device/params": {"GET": Call(READ, kinds=OF_DEVICE)},
    "device/params/<parameter_id>": {"PUT": Call(WRITE, kinds=OF_DEVICE)},
    "device/<device_id>/params": {"GET": Call(READ), "POST": Call(WRITE, lambda world: [])},
    "device/<device_id>/params/<parameter_id>": {"DELETE": Call(DELETE)},
    "device/token/<value>": {
        "GET": Call(READ, query="fields=token&fields=permission"),
        "DELETE": Call(DELETE),
    },
    "device/token": {"POST": Call(WRITE, lambda world: {"device": world.ids["device_id"]})},
    "data": {
        "GET": Call(READ, kinds=OF_DEVICE),
        "POST": Call(WRITE, lambda world: RECORD, kinds=OF_DEVICE),
        "PUT": Call(WRITE, lambda world: [], kinds=OF_DEVICE),
        "DELETE": Call(DELETE, kinds=OF_DEVICE),
    },
    "device/<device_id>/data": {
        "GET": Call(READ),
        "POST": Call(WRITE, lambda world: RECORD),
        "PUT": Call(WRITE, lambda world: []),
        "DELETE": Call(DELETE),
    },
    "device/<device_id>/data_amount": {"GET": Call(READ)},
    "bucket/<device_id>/data_amount": {"GET": Call(READ)},
    "device/<device_id>/empty": {"POST": Call(DELETE)},
    "device/<device_id>/data/backup": {"POST": Call(WRITE)},
    "device/<device_id>/chunk/backup": {"POST": Call(WRITE)},
    "device/<device_id>/chunk/copy": {"POST": Call(WRITE)},
    "device/<device_id>/data/restore": {"POST": Call(WRITE)},
    "device/<device_id>/chunk": {"GET": Call(READ)},
    "device/<device_id>/chunk/<chunk_id>": {"DELETE": Call(DELETE)},
    "device/<device_id>/convert": {"POST": Call(WRITE)},
    "device/<device_id>/statistics": {"GET": Call(READ)},
    "account/login": {"POST": Call(OPEN)},
    "account/profile/token": {"POST": Call(OPEN)},
    "account": {"GET": Call(READ), "PUT": Call(WRITE)},
    "profile/<profile_id>/token": {"GET": Call(READ), "POST": Call(WRITE)},
    "profile/<profile_id>/token/<token>": {"DELETE": Call(DELETE)},
    "profile/<profile_id>/backup": {"GET": Call(READ), "POST": Call(WRITE)},
    "profile/<profile_id>/backup/<backup_id>/download": {"POST": Call(WRITE)},
    "backups/<signed>": {"GET": Call(OPEN)},
    "profile": {"GET": Call(READ), "POST": Call(WRITE)},
    "profile/<profile_id>": {"GET": Call(READ), "PUT": Call(WRITE)},
    "profile/<profile_id>/summary": {"GET": Call(READ)},
    "profile/<profile_id>/statistics": {"GET": Call(READ)},
    "analysis/services/console/send": {
        "POST": Call(WRITE, sending(message="x"), kinds=("analysis",))
    },
    "analysis/services/email/send": {
        "POST": Call(WRITE, sending(to="a@example.com", message="x"), kinds=("analysis",))
    },
    "analysis/services/<service>/<verb>": {"POST": Call(WRITE, kinds=("analysis",))},
    "analysis/<analysis_id>/upload": {
        "POST": Call(WRITE, sending(file=base64.b64encode(b"x").decode()))
    },
    "analysis/<analysis_id>/download": {"GET": Call(READ)},
    "scripts/<signed>": {"GET": Call(OPEN)},
    "analysis/<analysis_id>/run": {"POST": Call(WRITE, sending(scope=[]))},
    "analysis/<analysis_id>/token": {"GET": Call(FULL)},
    "dashboard/<dashboard_id>/widget": {"POST": Call(WRITE, sending(label="W"))},
    "dashboard/<dashboard_id>/widget/<widget_id>": {
        "GET": Call(READ),
        "PUT": Call(WRITE, sending(label="W")),
        "DELETE": Call(DELETE),
    },
    "dictionary/<known>/<code>": {
        "GET": Call(READ),
        "PUT": Call(WRITE, sending(active=True)),
        "DELETE": Call(DELETE),
    },
    "entity/<entity_id>/schema": {"PUT": Call(WRITE, sending(schema={}))},
    "entity/<entity_id>/data": {
        "GET": Call(READ),
        "POST": Call(WRITE, lambda world: {"plate": "new"}),
        "PUT": Call(WRITE, lambda world: []),
        "DELETE": Call(DELETE, lambda world: {"ids": []}),
    },
    "entity/<entity_id>/data_amount": {"GET": Call(READ)},
    "entity/<entity_id>/empty": {"POST": Call(DELETE)},
    "files": {
        "GET": Call(READ),
        "POST": Call(WRITE, lambda world: [{"filename": "n", "file": "eA==", "public": True}]),
        "PUT": Call(WRITE, moved),
        "DELETE": Call(DELETE, lambda world: ["public.txt"]),
    },
    "files/copy": {"PUT": Call(WRITE, lambda world: [{"from": "private.txt", "to": "public.txt"}])},
    "files/permission": {
        "GET": Call(READ, query="file=public.txt"),
        "PUT": Call(FULL, lambda world: [{"file": "private.txt", "public": True}]),
    },
    "file/<profile_id>/<path:path>": {"GET": Call(OPEN)},
    "shared/<signed>": {"GET": Call(OPEN)},
    # Without a channel: an answer would have no end.
    "events": {"GET": Call(READ, kinds=("profile", "analysis", "device"))},
    "run": {"GET": Call(READ), "PUT": Call(WRITE, sending(sub_title="x"))},
    "run/users/<user_id>/login": {"GET": Call(READ)},
    "integration/network/token/<value>": {"GET": Call(READ), "DELETE": Call(DELETE)},
    "integration/network/token": {"POST": Call(WRITE)},
    "tags/keys/<kind>": {"GET": Call(READ)},
}
for path, body in {
    "device": {"name": "D", "serie_number": "7"},
    "analysis": {"name": "A", "run_on": "external"},
    "dashboard": {"label": "L"},
    "action": {"name": "N"},
    "am": {"name": "N"},
    "dictionary": {"name": "N", "slug": "NEW"},
    "entity": {"name": "N"},
    "run/users": {"name": "N", "email": "n@example.com", "password": "p"},
    "secrets": {"key": "NEW", "value": "v"},
    "integration/network": {"name": "N"},
    "integration/connector": {"name": "N"},
}.items():
    TABLE[path], TABLE[f"{path}/<resource_id>"] = crud(body)


@pytest.fixture(autouse=True)
def _quick_passwords(settings: Settings) -> None:
    # Hashing them is made to take long.
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


@pytest.fixture
def world(database: Connection, api: Api, project: Project) -> World:
    sensor = Sensor.create(
        api, description=MARK, configuration_params=[{"key": "k", "value": MARK}]
    )
    sensor.post("/data", [{"variable": MARK, "value": MARK}])
    analysis, _ = analyses.create_analysis(
        database, keys=keyring(), name="Report", run_on="external", description=MARK
    )
    caller, _ = analyses.create_analysis(database, keys=keyring(), name="Caller")
    analyses.upload_script(database, analysis_id=analysis, file_name="a.js", content=MARK.encode())
    for permission in PERMISSIONS:
        create_token(
            database,
            TokenGrant(
                "device", name=permission, device_id=sensor.device_id, permission=permission
            ),
            keys=keyring(),
        )
        create_token(
            database, TokenGrant("profile", name="P", permission=permission), keys=keyring()
        )
    credentials.create_secret(database, keys=keyring(), key="KEY", value=MARK)
    for name, public in (("private.txt", False), ("public.txt", True)):
        content = b"hello" if public else MARK.encode()
        files.put_file(database, path=name, content=content, public=public)
    api.put("/run", {"sub_title": MARK})
    dashboard = api.post("/dashboard", {"label": MARK})["dashboard"]
    dictionary = api.post("/dictionary", {"name": MARK, "slug": "D"})["dictionary"]
    api.put(f"/dictionary/{dictionary}/en", {"dictionary": {"a": MARK}})
    entity = api.post("/entity", {"name": MARK, "schema": {"plate": {"type": "string"}}})["id"]
    api.post(f"/entity/{entity}/data", {"plate": MARK})
    parameter = database.execute("SELECT id::text FROM device_parameter").fetchone()
    return World(
        database,
        {
            "device_id": sensor.device_id,
            "value": sensor.device_id,
            "parameter_id": str(parameter[0]) if parameter else "",
            "chunk_id": "0_86400",
            "profile_id": project.profile_id,
            "token": "none",
            "backup_id": "0" * 24,
            "signed": "nonsense",
            "analysis_id": analysis,
            "caller_id": caller,
            "dashboard_id": dashboard,
            "widget_id": api.post(f"/dashboard/{dashboard}/widget", {"label": MARK})["widget"],
            "known": dictionary,
            "code": "en",
            "entity_id": entity,
            "path:path": "private.txt",
            "user_id": new_resource_id(),
            "kind": "device",
            "device": sensor.device_id,
            "analysis": analysis,
            "dashboard": dashboard,
            "dictionary": dictionary,
            "entity": entity,
            "action": api.post("/action", {"name": MARK})["action"],
            "am": api.post("/am", {"name": MARK})["am_id"],
            "run/users": api.post("/run/users", {"name": MARK, "email": "a@b.c", "password": "p"})[
                "user"
            ],
            "secrets": api.get("/secrets")[0]["id"],
            "integration/network": api.post("/integration/network", {"name": MARK})["network"],
            "integration/connector": api.post("/integration/connector", {"name": MARK})[
                "connector"
            ],
        },
    )


def calls() -> Iterator[tuple[str, str, Call]]:
    """Every call, deletions last and those of what holds others behind those of what it holds."""
    found = [
        (path, method, call) for path, known in TABLE.items() for method, call in known.items()
    ]
    yield from sorted(found, key=lambda one: (one[1] == "DELETE", one[0].endswith("resource_id>")))


def address(world: World, path: str, method: str = "GET") -> str:
    if (path, method) == ("device/token/<value>", "DELETE"):
        # By its value, and not the id of a device.
        return "/device/token/none"
    for name in {"resource_id", *world.ids}:
        known = world.ids.get(name) or world.ids.get(path.partition("/<")[0], "")
        path = path.replace(f"<{name}>", known)
    return f"/{path}"


def text_of(response: HttpResponse) -> str:
    content = b"".join(response) if response.streaming else response.content  # type: ignore[arg-type]
    return content.decode(errors="replace")


def token_for(world: World, kind: str, permission: str) -> str:
    about = {"device": "device_id", "analysis": "analysis_id"}.get(kind)
    known = "caller_id" if kind == "analysis" else "device_id"
    return create_token(
        world.connection,
        TokenGrant(
            kind, name="Caller", permission=permission, **{about: world.ids[known]} if about else {}
        ),
        keys=keyring(),
    ).value


def test_every_address_and_method_is_in_the_table(world: World, api: Api) -> None:
    known = {str(one.pattern).rstrip("/") for one in routes.urls[0]} - {"openapi.json", ""}
    assert known == set(TABLE)
    for path, methods in TABLE.items():
        for method in set(METHODS) - set(methods):
            response = api.client.generic(
                method, address(world, path, method), headers={"token": api.token}
            )
            assert response.status_code == 405, (method, path)


@pytest.mark.parametrize(
    ("kind", "permission"),
    [
        *(("profile", permission) for permission in PERMISSIONS),
        *(("device", permission) for permission in PERMISSIONS),
        ("analysis", "write"),
    ],
)
def test_no_call_leads_to_more_than_its_token_may(world: World, kind: str, permission: str) -> None:
    rights = RIGHTS[permission] | ({FULL} if permission == "full" else set())
    token = token_for(world, kind, permission)
    tokens, counts = world.tokens(), world.counts()
    for path, method, call in calls():
        where = (method, path)
        response = Client().generic(
            method,
            f"{address(world, path, method)}?{call.query}",
            as_json(call.body(world)) if method != "GET" else b"",
            content_type="application/json",
            headers={"token": token},
        )
        text = text_of(response)
        is_let_in = call.right == OPEN or (kind in call.kinds and call.right in rights)
        assert (DENIED in text) is not is_let_in, (*where, text)
        assert response.status_code < 500, (*where, text)
        if "read" not in rights or (call.right == OPEN and kind == "device"):
            assert MARK not in text, where
        has_changed = method != "GET" and response.status_code < 400
        before, tokens = tokens, world.tokens() if has_changed else tokens
        for value, its_permission in tokens.items():
            is_covered = kind != "device" and RIGHTS[its_permission] <= rights
            assert is_covered or value == token or value not in text, (*where, text)
            assert is_covered or value in before, where
        if has_changed and "delete" not in rights:
            counted = world.counts()
            assert all(counted[name] >= was for name, was in counts.items()), where
            counts = counted
    if "write" not in rights:
        assert (world.tokens(), world.counts()) == (tokens, counts)
    if permission != "full":
        assert world.published() == []


def test_a_device_token_gets_no_more_than_who_asks_for_it(project: Project, sensor: Sensor) -> None:
    for permission, asked in product(("full", "write"), (None, *PERMISSIONS)):
        caller = api_of(project, permission=permission)
        body = {"device": sensor.device_id, **({"permission": asked} if asked else {})}
        status, answer = caller.call("POST", "/device/token", body)
        if RIGHTS[asked or permission] <= RIGHTS[permission]:
            assert (status, answer["permission"]) == (200, asked or permission)
        else:
            assert status == 403
            assert answer == "This token cannot make one that may do more than itself"


def test_a_token_that_writes_only_makes_devices_and_analyses_that_write_only(
    project: Project, api: Api
) -> None:
    writer = api_of(project, permission="write")
    sensor = Api(writer.post("/device", {"name": "S"})["token"], api.client)
    assert sensor.post("/data", RECORD) == "1 Data Added"
    assert sensor.call("GET", "/data")[0] == sensor.call("DELETE", "/data")[0] == 401
    made = writer.post("/analysis", {"name": "A"})
    script = Api(made["token"], api.client)
    assert script.call("GET", "/device")[0] == script.call("GET", "/device/token/x")[0] == 401
    # Whoever may do everything makes one that may.
    wider = Api(api.get(f"/analysis/{made['id']}/token")["analysis_token"], api.client)
    assert len(wider.get("/device")) == 1


def test_a_file_is_not_opened_by_a_token_that_writes_only(world: World, project: Project) -> None:
    path = f"/file/{project.profile_id}/private.txt"
    for permission, status in (("write", 404), ("read", 200), ("full", 200)):
        token = token_for(world, "profile", permission)
        assert Client().get(path, headers={"token": token}).status_code == status
