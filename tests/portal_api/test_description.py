"""The API's description, for programs and for readers."""

import json
import re
from typing import Any, get_args

import pytest
from django.test import Client

from backups_portal.access_tokens.scopes import Scope
from backups_portal.objectives.standings import LABELS
from backups_portal.portal_api import schemas
from backups_portal.portal_api.api import api
from backups_portal.projects.models import MainDatabase, Membership, Project
from backups_portal.transfers.models import Transfer
from backups_portal.ui.openapi_pages import groups_of
from restores.models import Restore
from snapshots.models import Snapshot
from tests.factories import make_account
from tests.portal_api.conftest import Program

pytestmark = pytest.mark.django_db


@pytest.fixture
def description(client: Client) -> dict[str, Any]:
    response = client.get("/api/v1/openapi.json")
    assert response.status_code == 200
    return response.json()


def operations(description: dict[str, Any]) -> list[dict[str, Any]]:
    return [one for methods in description["paths"].values() for one in methods.values()]


def test_every_operation_names_its_scope(description: dict[str, Any]) -> None:
    named = [operation["security"] for operation in operations(description)]
    assert all(list(one[0]) == ["AccessToken"] for one in named)
    assert {one[0]["AccessToken"][0] for one in named} == set(Scope.values)
    scheme = description["components"]["securitySchemes"]["AccessToken"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")


def test_every_operation_tells_the_form_of_its_errors(description: dict[str, Any]) -> None:
    for operation in operations(description):
        content = operation["responses"]["default"]["content"]
        assert content["application/problem+json"]["schema"]["$ref"].endswith("/Problem")
        assert operation["description"]
    assert "detail" in description["components"]["schemas"]["Problem"]["properties"]


def test_the_page_needs_no_other_host_and_no_script_of_its_own(client: Client) -> None:
    response = client.get("/api/v1/docs")
    page = response.content.decode()
    for part in ("/api/v1/projects/{slug}/backups", "restores:write", "accept_charges", "429"):
        assert (part in page) is (part != "429")
    assert not re.search(r"(?:src|href)=\"(?:https?:)?//", page)
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\bstyle=", page)
    assert "script-src 'self'" in response["Content-Security-Policy"]
    assert "sessionid" not in response.cookies
    assert 'id="sidebar"' not in page


def test_who_is_signed_in_reads_the_page_inside_the_portal(client: Client) -> None:
    client.force_login(make_account())
    page = client.get("/api/v1/docs").text
    assert 'id="sidebar"' in page
    assert 'href="/account/tokens/"' in page
    assert "curl http://testserver/api/v1/projects " in page


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PATCH", "settings"),
        ("PATCH", "objectives"),
        ("POST", "checks"),
        ("POST", "backups/{backup_id}/restores"),
    ],
)
def test_a_command_of_the_page_is_taken_as_it_is_printed(
    snapshot: Snapshot, program: Program, method: str, path: str
) -> None:
    """Only the words in capitals have to be replaced."""
    groups = groups_of(api, root="/api/v1")
    address = f"/api/v1/projects/{{slug}}/{path}"
    (found,) = (
        one
        for group in groups
        for one in group.operations
        if (one.method, one.path) == (method, address)
    )
    body = json.loads(found.example[1][-1].removeprefix("-d "))
    asked = path.format(backup_id=snapshot.pk)
    response = program.ask(method, f"/projects/cold-chain/{asked}", body)
    assert response.status_code < 300, response.content


@pytest.mark.parametrize(
    ("schema", "field", "known"),
    [
        (schemas.Project, "state", Project.State.values),
        (schemas.Project, "role", Membership.Role.values),
        (schemas.Settings, "proof_policy", MainDatabase.ProofPolicy.values),
        (schemas.Standing, "state", [*LABELS]),
        (schemas.Backup, "state", Snapshot.State.values),
        (schemas.Backup, "verdict", Snapshot.Verdict.values),
        (schemas.Restore, "state", Restore.State.values),
        (schemas.Restore, "step", Restore.Step.values),
        (schemas.Transfer, "state", Transfer.State.values),
        (schemas.Transfer, "work", Transfer.Work.values),
    ],
)
def test_its_words_are_those_of_the_models(schema: Any, field: str, known: list[str]) -> None:
    assert list(get_args(schema.model_fields[field].annotation)) == list(known)
