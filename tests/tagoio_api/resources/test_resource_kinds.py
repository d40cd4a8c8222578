"""Every kind of resource is created, listed, read, edited and deleted as sent."""

from dataclasses import dataclass
from typing import Any

import pytest

from backups_portal.projects.models import Project
from tests.tagoio_api.conftest import Api, api_of

TAGS = [{"key": "export_id", "value": "7"}, {"key": "site", "value": "Oslo"}]
# `export` and `backup restore` send it with the ids of its original project.
FOREIGN = {
    "id": "a" * 24,
    "profile": "b" * 24,
    "created_at": "2020-01-01T00:00:00.000Z",
    "updated_at": "2020-01-01T00:00:00.000Z",
}


@dataclass(frozen=True)
class Case:
    """One kind: its address, the key of a new id, the creation, and the change."""

    path: str
    created: str
    body: dict[str, Any]
    change: dict[str, Any]
    title: str


CASES = {
    "network": Case(
        "/integration/network/",
        "network",
        {"name": "LoRa", "icon": {"url": None}, "serial_number": {"mask": "X"}},
        {"name": "LoRaWAN"},
        "Network",
    ),
    "connector": Case(
        "/integration/connector/",
        "connector",
        {"name": "Probe", "networks": ["c" * 24], "device_parameters": [{"name": "a"}]},
        {"networks": []},
        "Connector",
    ),
    "action": Case(
        "/action",
        "action",
        {
            "name": "Alarm",
            "active": False,
            "type": "condition",
            "trigger": [{"variable": "t", "is": ">", "value": "8"}],
            "action": {"type": "email", "to": "a@example.com"},
            "lock": True,
        },
        {"active": True, "action": {"type": "sms"}},
        "Action",
    ),
    "access": Case(
        "/am",
        "am_id",
        {
            "name": "Policy",
            "permissions": [{"effect": "allow", "action": ["access"], "resource": ["device"]}],
            "targets": [["run_user", "tag_match", "a", "b"]],
        },
        {"targets": [], "active": False},
        "Access Management",
    ),
    "dashboard": Case(
        "/dashboard",
        "dashboard",
        {
            "label": "Cold store",
            "arrangement": [{"widget_id": "d" * 24, "x": 0, "y": 0, "width": 1, "height": 2}],
            "tabs": [{"key": "1", "value": "One", "hidden": False}],
            "icon": {"url": "x"},
            "setup": {"config": {}},
        },
        {"label": "Colder", "visible": False},
        "Dashboard",
    ),
    "dictionary": Case(
        "/dictionary",
        "dictionary",
        {
            "name": "Texts",
            "slug": "TXT",
            "fallback": "en",
            "languages": [{"code": "en", "active": True}, {"code": "nb", "active": False}],
        },
        {"name": "More texts", "languages": [{"code": "nb", "active": True}]},
        "Dictionary",
    ),
    "analysis": Case(
        "/analysis/",
        "id",
        {
            "name": "Report",
            "run_on": "external",
            "interval": "1 day",
            "variables": [{"key": "url", "value": "x"}],
            "description": "Weekly",
        },
        {"variables": [], "active": False},
        "Analysis",
    ),
    "run user": Case(
        "/run/users",
        "user",
        {
            "name": "Kari",
            "email": "kari@example.com",
            "password": "secret",
            "timezone": "Europe/Oslo",
            "phone": "+47",
            "options": {"decimal_separator": ","},
        },
        {"company": "Ltd.", "options": {}},
        "Run User",
    ),
    "secret": Case("/secrets", "id", {"key": "API_KEY", "value": "s3cret"}, {}, "Secret"),
    "entity": Case(
        "/entity",
        "id",
        {"name": "Trucks", "schema": {"plate": {"type": "string", "required": True}}},
        {"name": "Lorries"},
        "Entity",
    ),
}
UNSEEN = {"password", "value"}


def shown_as_sent(shown: dict[str, Any], sent: dict[str, Any]) -> bool:
    return all(shown[key] == value for key, value in sent.items() if key not in UNSEEN)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_it_is_created_read_edited_and_deleted(api: Api, project: Project, case: Case) -> None:
    made = api.post(case.path, {**FOREIGN, **case.body, "tags": TAGS})[case.created]
    assert len(made) == 24
    one = f"{case.path.rstrip('/')}/{made}"
    shown = api.get(one)
    assert shown_as_sent(shown, {**case.body, "tags": TAGS, "id": made})
    assert shown["profile"] == project.profile_id
    assert not shown["created_at"].startswith("2020")

    assert isinstance(api.put(one, {**FOREIGN, **case.change, "unheard_of": [1]}), str)
    changed = {**case.body, **case.change, "tags": TAGS, "id": made}
    if case.path == "/dictionary":
        changed["languages"] = [{"code": "en", "active": True}, {"code": "nb", "active": True}]
    assert shown_as_sent(api.get(one), changed)

    listed = [row for row in api.get(f"{case.path}?amount=50") if row["id"] == made]
    assert listed[0]["tags"] == TAGS
    assert isinstance(api.delete(one), str)
    for method in ("GET", "PUT", "DELETE"):
        assert api.call(method, one, {}) == (404, f"{case.title} Not Found")


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_another_project_does_not_know_it(api: Api, other_project: Project, case: Case) -> None:
    made = api.post(case.path, case.body)[case.created]
    stranger = api_of(other_project)
    one = f"{case.path.rstrip('/')}/{made}"
    for method in ("GET", "PUT", "DELETE"):
        assert stranger.call(method, one, {})[0] == 404
    assert made not in {row["id"] for row in stranger.get(case.path)}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_tags_are_found(api: Api, case: Case) -> None:
    made = api.post(case.path, {**case.body, "tags": TAGS})[case.created]
    found = api.get(f"{case.path}?amount=99&fields[0]=id&fields[1]=tags&filter[tags][0][key]=site")
    if case.path != "/dictionary":
        assert [row["id"] for row in found] == [made]
        assert api.get(f"{case.path}?filter[tags][0][key]=nowhere") == []
        # A list of one object, as clients send it that have just the object.
        assert api.get(f"{case.path}?filter[tags][key]=nowhere") == []
        one = api.get(f"{case.path}?filter[tags][key]=site&filter[tags][value]=oslo")
        assert [row["id"] for row in one] == [made]


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_a_token_that_reads_does_nothing_else(api: Api, project: Project, case: Case) -> None:
    made = api.post(case.path, case.body)[case.created]
    reader = api_of(project, permission="read")
    one = f"{case.path.rstrip('/')}/{made}"
    assert reader.call("POST", case.path, case.body)[0] == 401
    assert reader.call("PUT", one, case.change)[0] == 401
    assert reader.call("DELETE", one)[0] == 401
    assert reader.get(one)["id"] == made


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
@pytest.mark.parametrize(
    "body",
    [[], "text", {"name": 7, "label": 7, "key": 7}, {"name": "\0", "label": "\0", "key": "\0"}],
)
def test_what_cannot_be_is_refused_with_a_sentence(api: Api, case: Case, body: Any) -> None:
    status, message = api.call("POST", case.path, body)
    assert status == 400
    assert message
