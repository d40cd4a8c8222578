"""Rights of tokens: kinds, permissions, other projects, projects that were shut down."""

import time
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from django.test import Client
from pytest_django import Settings

from backups_portal.audit.models import AuditEvent
from backups_portal.projectdb import tokens
from backups_portal.projectdb.analyses import create_analysis, renew_token
from backups_portal.projectdb.tokens import TokenGrant, create_token
from backups_portal.projects.database_dsn import keyring, project_dsn
from backups_portal.projects.models import Project
from backups_portal.tagoio_api import connection_pools
from backups_portal.tagoio_api.api import api as served
from backups_portal.tagoio_api.auth import project_lookup
from backups_portal.tagoio_api.auth.project_token_auth import tenant_in
from tests.projectdatabases import Connection, Target, open_database
from tests.tagoio_api.conftest import Api, Sensor, api_of

DENIED = (401, "Authorization Denied")


@pytest.mark.parametrize(
    "header",
    ["token", "Authorization", "Profile-Token", "Account-Token", "Device-Token", "Analysis-Token"],
)
def test_a_token_may_come_in_any_of_the_headers(api: Api, project: Project, header: str) -> None:
    for value in (api.token, f"Bearer {api.token}", f"bearer {api.token}"):
        answer = Client().get("/info", headers={header: value}).json()
        assert answer["result"] == {"id": project.profile_id, "name": "Cold Chain"}
    assert Client().get(f"/info?token={api.token}").json()["status"]


def test_a_token_acts_on_its_own_project_and_on_no_other(
    api: Api, other_project: Project, sensor: Sensor
) -> None:
    other = api_of(other_project)
    assert other.get("/device") == []
    for method, path in (
        *(("GET", ""), ("PUT", ""), ("DELETE", ""), ("GET", "/data"), ("GET", "/params")),
        *(("POST", "/empty"), ("GET", "/data_amount"), ("GET", "/chunk")),
    ):
        path = f"/device/{sensor.device_id}{path}"
        assert other.call(method, path, {}) == (404, "Invalid Device ID"), (method, path)
    assert other.call("GET", f"/device/token/{sensor.device_id}")[0] == 404
    assert other.call("DELETE", f"/device/token/{sensor.token}")[0] == 404
    assert api.get(f"/device/{sensor.device_id}")["name"] == "Sensor"


def test_where_no_token_is_needed_it_occupies_no_project() -> None:
    token = {"HTTP_TOKEN": "p-12345678-0000-4000-8000-0000000000"}
    for path, operations in served.get_openapi_schema(path_prefix="")["paths"].items():
        for method, operation in operations.items():
            environ = {"REQUEST_METHOD": method.upper(), "PATH_INFO": path, **token}
            is_checked = "security" in operation or path == "/status"
            assert (tenant_in(environ) == "12345678") is is_checked, path
            # These are read for known callers only.
            for large in ({"CONTENT_LENGTH": "300000"}, {"HTTP_TRANSFER_ENCODING": "chunked"}):
                assert tenant_in({**environ, **large}) == "12345678"
    for path in ("//file//ab/c", "/shared/x/", "/account//login/", "/account/profile/token"):
        assert tenant_in({"PATH_INFO": path, **token}) != "12345678"


def test_tokens_from_before_are_two_longer_and_go_on_working(
    api: Api, project: Project, database: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "CHARACTERS", 38)
    analysis_id, _ = create_analysis(database, keys=keyring(), name="Report")
    old = [
        create_token(database, TokenGrant("profile", name="Old"), keys=keyring()).value,
        renew_token(database, analysis_id, keys=keyring()),
    ]
    database.commit()
    assert [len(value) for value in (*old, api.token)] == [38, 38, 36]
    for value in old:
        assert Api(value, api.client).get("/device") == []
        assert Api(value[:-2], api.client).call("GET", "/device") == DENIED
    shown = api.get(f"/profile/{project.profile_id}/token")
    assert len(shown) == 2


def test_unknown_tokens_are_denied(api: Api) -> None:
    for token in ("", "nonsense", "p-" + "0" * 36, api.token[:-1] + "x", api.token[2:], "ü"):
        assert Api(token, api.client).call("GET", "/device") == DENIED


def test_refused_tokens_are_written_down_and_fill_no_log(
    api: Api, sensor: Sensor, project: Project
) -> None:
    wrong = Api(f"p-{project.prefix}-0000-4000-8000-000000000000", api.client)
    for _ in range(3):
        assert wrong.call("GET", f"/device/{sensor.token}") == DENIED
    # A token that this portal never made belongs to no account.
    Api("p-00000000-0000-4000-8000-000000000000", api.client).call("GET", "/device")
    event = AuditEvent.objects.get(action="token.refused")
    assert (event.project_id, event.address) == (project.pk, "127.0.0.1")
    assert event.subject == "GET /device/***"
    for number in range(40):
        api.client.get("/device", headers={"token": wrong.token}, REMOTE_ADDR=f"192.0.2.{number}")
    assert AuditEvent.objects.filter(action="token.refused").count() == 20


def shut_down(project: Project) -> None:
    project.state = Project.State.SHUT_DOWN
    project.save(update_fields=["state"])


def test_a_shut_down_project_answers_nobody_from_a_second_on(
    api: Api, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert api.get("/device") == []
    shut_down(project)
    now = time.monotonic()
    monkeypatch.setattr(
        "backups_portal.tagoio_api.auth.project_lookup.time.monotonic",
        lambda: now + project_lookup.SECONDS,
    )
    assert api.call("GET", "/device") == DENIED


def end_sessions(target: Target) -> None:
    with open_database(target) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def test_a_shut_down_project_whose_database_is_gone_answers_nobody_at_once(
    api: Api, project: Project, instances: list[Target]
) -> None:
    assert api.get("/device") == []
    shut_down(project)
    end_sessions(instances[0])
    project.database = "bp_gone"
    project.save(update_fields=["database"])
    project_lookup.running_project_of(project.prefix).database = "bp_gone"  # type: ignore[union-attr]
    assert api.call("GET", "/device") == DENIED


@pytest.mark.parametrize(("is_running", "status"), [(False, 401), (True, 503)])
def test_a_session_that_ends_after_it_was_borrowed_is_an_outage_of_running_projects_only(
    api: Api,
    project: Project,
    instances: list[Target],
    monkeypatch: pytest.MonkeyPatch,
    is_running: bool,
    status: int,
) -> None:
    assert api.get("/device") == []
    if not is_running:
        shut_down(project)
    end_sessions(instances[0])
    # The server ended the session a moment after the pool looked.
    monkeypatch.setattr(connection_pools, "has_news", lambda connection: False)
    assert api.call("GET", "/device")[0] == status
    monkeypatch.undo()
    assert api.call("GET", "/device")[0] == (200 if is_running else 401)


def test_a_device_token_opens_the_device_s_own_routes_only(sensor: Sensor) -> None:
    assert sensor.get("/info")["id"] == sensor.device_id
    assert "token" not in sensor.get("/info")
    for path in ("/device", f"/device/{sensor.device_id}", f"/device/{sensor.device_id}/data"):
        assert sensor.call("GET", path) == DENIED
    assert sensor.api.call("GET", "/data") == DENIED
    assert sensor.api.call("GET", "/device/params") == DENIED


def test_a_device_that_is_switched_off_is_denied(sensor: Sensor) -> None:
    sensor.api.put(f"/device/{sensor.device_id}", {"active": False})
    assert sensor.call("GET", "/data") == DENIED
    sensor.api.put(f"/device/{sensor.device_id}", {"active": True})
    assert sensor.get("/data") == []


@pytest.mark.parametrize(
    ("permission", "allowed"),
    [("full", {"GET", "POST", "PUT", "DELETE"}), ("read", {"GET"}), ("write", {"POST", "PUT"})],
)
def test_a_profile_token_does_what_it_is_permitted(
    project: Project, sensor: Sensor, permission: str, allowed: set[str]
) -> None:
    limited = api_of(project, permission=permission)
    path = f"/device/{sensor.device_id}"
    found = {
        method
        for method, address, body in (
            ("GET", "/device", None),
            ("POST", "/device", {"name": "New"}),
            ("PUT", path, {"name": "Old"}),
            ("DELETE", path, None),
        )
        if limited.call(method, address, body) != DENIED
    }
    assert found == allowed
    emptied = limited.call("POST", f"{path}/empty")
    assert (emptied == DENIED) is (permission != "full")


@pytest.mark.parametrize(("permission", "may_read"), [("read", True), ("write", False)])
def test_a_device_token_does_what_it_is_permitted(
    sensor: Sensor, permission: str, may_read: bool
) -> None:
    body = {"device": sensor.device_id, "name": "T", "permission": permission}
    limited = Api(sensor.api.post("/device/token", body)["token"], sensor.api.client)
    assert (limited.call("GET", "/data") != DENIED) is may_read
    for method in ("POST", "PUT"):
        assert (limited.call(method, "/data", []) == DENIED) is may_read
    # For every kind of token, permission to write does not include deleting.
    assert limited.call("DELETE", "/data") == DENIED


def test_an_analysis_token_is_as_good_as_the_profile_s(
    database: Connection, api: Api, sensor: Sensor
) -> None:
    analysis_id, token = create_analysis(database, keys=keyring(), name="Copy")
    analysis = Api(token.value, api.client)
    assert [row["id"] for row in analysis.get("/device")] == [sensor.device_id]
    shown = analysis.get("/info")
    assert (shown["id"], shown["name"], shown["run_on"]) == (analysis_id, "Copy", "tago")


def test_a_token_ends_when_it_expires_or_is_deleted(project: Project, sensor: Sensor) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    with psycopg.connect(project_dsn(project)) as connection:
        old = create_token(
            connection, TokenGrant("profile", name="Old", expires_at=past), keys=keyring()
        ).value
    assert Api(old, sensor.api.client).call("GET", "/device") == DENIED
    assert sensor.api.delete(f"/device/token/{sensor.token}") == "Token Successfully Removed"
    assert sensor.call("GET", "/data") == DENIED
    assert sensor.api.call("DELETE", f"/device/token/{sensor.token}")[0] == 404


def test_the_last_use_is_noted_once_a_minute(database: Connection, api: Api) -> None:
    def versions() -> list[object]:
        return database.execute("SELECT last_used_at, xmin::text FROM token").fetchall()

    assert versions()[0][0] is None  # type: ignore[index]
    api.get("/device")
    noted = versions()
    assert noted[0][0] is not None  # type: ignore[index]
    api.get("/device")
    assert versions() == noted
    database.execute("UPDATE token SET last_used_at = now() - interval '2 minutes'")
    api.get("/device")
    assert versions()[0][0] > noted[0][0]  # type: ignore[index]


def test_an_operator_may_limit_the_requests_of_a_token(
    api: Api, sensor: Sensor, settings: Settings
) -> None:
    settings.API_REQUESTS_PER_MINUTE = 3
    answers = [api.call("GET", "/info") for _ in range(8)]
    assert [status for status, _ in answers][-4:] == [429] * 4
    assert str(answers[-1][1]).startswith("Too many requests (Retry-After: ")
    assert sensor.get("/data") == []


def test_a_database_that_does_not_answer_is_said_to(api: Api, project: Project) -> None:
    project.database = "bp_gone"
    project.save(update_fields=["database"])
    from backups_portal.tagoio_api.auth.project_token_auth import pools

    pools().close()
    project_lookup.forget()
    assert api.call("GET", "/device") == (503, "The project's database does not answer")
