"""The effect of each permission of each kind of token on every address and method.

No call returns, makes, shows or destroys more than its token may. An address that is missing in
the table fails.
"""

from collections.abc import Iterator
from itertools import product

import pytest
from django.http import HttpResponse
from django.test import Client
from pytest_django import Settings

from backups_portal.projectdb import analyses, credentials, files
from backups_portal.projectdb.ids import new_resource_id
from backups_portal.projectdb.tokens import RIGHTS, TokenGrant, create_token
from backups_portal.projects.database_dsn import keyring
from backups_portal.projects.models import Project
from backups_portal.tagoio_api.api import api as routes
from backups_portal.tagoio_api.envelope import as_json
from tests.projectdatabases import Connection
from tests.tagoio_api.conftest import Api, Sensor, api_of
from tests.tagoio_api.permission_table import (
    FULL,
    MARK,
    OPEN,
    RECORD,
    TABLE,
    Call,
    World,
)

DENIED = "Authorization Denied"
PERMISSIONS = ("full", "write", "read")
METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD")


@pytest.fixture(autouse=True)
def _quick_passwords(settings: Settings) -> None:
    # Hashing them is slow on purpose.
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
    """Yield every call, with deletions last, and deletions of containers after their contents'."""
    found = [
        (path, method, call) for path, known in TABLE.items() for method, call in known.items()
    ]
    yield from sorted(found, key=lambda one: (one[1] == "DELETE", one[0].endswith("resource_id>")))


def address(world: World, path: str, method: str = "GET") -> str:
    if (path, method) == ("device/token/<value>", "DELETE"):
        # This path takes a token's value, not a device's id.
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
    # Only a caller with full rights gets an analysis token with full rights.
    wider = Api(api.get(f"/analysis/{made['id']}/token")["analysis_token"], api.client)
    assert len(wider.get("/device")) == 1


def test_a_file_is_not_opened_by_a_token_that_writes_only(world: World, project: Project) -> None:
    path = f"/file/{project.profile_id}/private.txt"
    for permission, status in (("write", 404), ("read", 200), ("full", 200)):
        token = token_for(world, "profile", permission)
        assert Client().get(path, headers={"token": token}).status_code == status
