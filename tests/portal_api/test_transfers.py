"""Transfers requested by programs."""

import uuid
from typing import Any

import pytest

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.projects.models import Project
from backups_portal.transfers.models import Transfer
from tests import factories
from tests.portal_api.conftest import Program

pytestmark = pytest.mark.django_db
TRANSFERS = "/projects/cold-chain/transfers"


@pytest.fixture
def target(owner: Account) -> Project:
    return factories.make_project_row(owner=owner, slug="target")


def test_a_dry_run_comes_first(project: Project, target: Project, program: Program) -> None:
    body = {
        "target": "target",
        "devices": ["ab" * 12],
        "since": "2026-03-01T01:00:00+01:00",
        "kinds": ["dashboard"],
        "rule": "add",
    }
    response = program.ask("POST", TRANSFERS, body)
    assert response.status_code == 202
    shown = response.json()
    assert (shown["state"], shown["work"]) == ("queued", "plan")
    assert (shown["source"], shown["target"]) == ("cold-chain", "target")
    assert shown["choice"]["devices"] == ["ab" * 12]
    assert shown["choice"]["since"] == "2026-03-01T00:00:00+00:00"
    assert shown["dry_run"] is None
    assert response["Location"] == f"/api/v1/transfers/{shown['id']}"
    assert program.get(f"/transfers/{shown['id']}") == shown
    for slug in ("cold-chain", "target"):
        (listed,) = program.get(f"/projects/{slug}/transfers")["items"]
        assert listed["id"] == shown["id"]


def test_the_same_key_asks_for_the_same_transfer(
    project: Project, target: Project, program: Program
) -> None:
    key = {"Idempotency-Key": "move"}
    ids = {
        program.ask("POST", TRANSFERS, {"target": "target"}, **key).json()["id"] for _ in range(2)
    }
    assert len(ids) == Transfer.objects.count() == 1
    other = {"target": "target", "kinds": ["action"]}
    problem = program.refused(422, "POST", TRANSFERS, other, **key)
    assert problem["errors"][0]["field"] == "Idempotency-Key"
    assert problem["code"] == "idempotency_key_reused"
    problem = program.refused(422, "POST", TRANSFERS, other, **{"Idempotency-Key": "k" * 256})
    assert problem["detail"] == "Idempotency Key must have at most 255 characters."


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "target"),
        ({"target": "cold-chain"}, "target"),
        ({"target": "target", "kinds": ["spaceship"]}, "kinds.0"),
        ({"target": "target", "rule": "destroy"}, "rule"),
        ({"target": "target", "since": "2026-03-01T00:00:00"}, "since"),
        ({"target": "target", "since": 1772323200}, "since"),
        ({"target": "target", "until": "20260301"}, "until"),
        ({"target": "target", "since": "0001-01-01T00:00:00+14:00"}, "since"),
        ({"target": "target", "since": "9999-12-31T23:00:00-14:00"}, "since"),
        ({"target": "target", "devices": ["a\0b"]}, "devices.0"),
        ({"target": "target", "devices": "all"}, "devices"),
        ({"target": "target", "speed": 9}, "speed"),
    ],
)
def test_what_cannot_be_moved(
    project: Project, target: Project, program: Program, body: dict[str, Any], field: str
) -> None:
    problem = program.refused(422, "POST", TRANSFERS, body)
    assert problem["errors"][0]["field"] == field
    assert not Transfer.objects.exists()


def test_a_choice_without_sense_is_refused(
    project: Project, target: Project, program: Program
) -> None:
    nothing = {"target": "target", "devices": []}
    problem = program.refused(422, "POST", TRANSFERS, nothing)
    assert "Choose devices" in problem["detail"]
    assert problem["errors"] == [{"field": "devices", "message": problem["detail"]}]
    turned = {"since": "2026-03-02T00:00:00Z", "until": "2026-03-01T00:00:00Z"}
    problem = program.refused(422, "POST", TRANSFERS, {"target": "target", **turned})
    assert problem["errors"][0]["field"] == "until"


def test_both_projects_are_asked_for(project: Project, owner: Account, program: Program) -> None:
    factories.make_project_row(slug="strange")
    shared = factories.make_project_row(slug="shared")
    factories.make_membership(shared, owner)
    for slug, status in (("strange", 404), ("nothing", 404), ("shared", 403), ("a b", 404)):
        program.refused(status, "POST", TRANSFERS, {"target": slug})
    assert not Transfer.objects.exists()
    assert AuditEvent.objects.filter(action="access.refused").count() == 4
    outside = factories.make_transfer(project, shared, requested_by=owner)
    program.refused(403, "GET", f"/transfers/{outside.pk}")
    program.refused(403, "POST", f"/transfers/{outside.pk}/start")
    program.refused(404, "GET", f"/transfers/{uuid.uuid4()}")


@pytest.mark.parametrize(
    ("verb", "fields", "becomes"),
    [
        ("start", {"state": "ready"}, {"state": "queued", "work": "move"}),
        ("plan", {"state": "failed", "reason": "It broke."}, {"state": "queued", "work": "plan"}),
        ("pause", {"state": "queued", "work": "move"}, {"state": "paused"}),
        ("cancel", {"state": "ready"}, {"state": "cancelled"}),
        ("cancel", {"state": "queued", "work": "undo"}, {"state": "cancelled", "work": "undo"}),
        (
            "undo",
            {"state": "completed", "work": "move", "has_ledger": True},
            {"state": "queued", "work": "undo"},
        ),
    ],
)
def test_verbs(
    project: Project,
    target: Project,
    owner: Account,
    program: Program,
    verb: str,
    fields: dict[str, Any],
    becomes: dict[str, str],
) -> None:
    transfer = factories.make_transfer(project, target, requested_by=owner, **fields)
    response = program.ask("POST", f"/transfers/{transfer.pk}/{verb}")
    assert response.status_code == 202
    assert becomes.items() <= response.json().items()


@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_dry_run_cannot_be_paused(
    project: Project, target: Project, owner: Account, program: Program, state: str
) -> None:
    """It would stay paused, because only moves can be continued."""
    transfer = factories.make_transfer(project, target, requested_by=owner, state=state)
    program.refused(409, "POST", f"/transfers/{transfer.pk}/pause")
    transfer.refresh_from_db()
    assert (transfer.state, transfer.wish) == (state, Transfer.Wish.GO_ON)
    assert program.ask("POST", f"/transfers/{transfer.pk}/cancel").status_code == 202
