"""Programs list, add and remove checks, and read proofs' findings."""

from typing import Any
from uuid import uuid4

import pytest

from backups_portal.audit.models import AuditEvent
from backups_portal.projects.models import Membership, Project
from restores.checks.check_settings import WantedCheck
from restores.models import Check
from tests import factories
from tests.portal_api.conftest import Program

pytestmark = pytest.mark.django_db
CHECKS = "/projects/cold-chain/checks"


def test_a_check_is_added_listed_and_removed(project: Project, program: Program) -> None:
    response = program.ask("POST", CHECKS, {"kind": "devices", "at_least": 30})
    assert response.status_code == 201, response.content
    made = response.json()
    assert (made["sentence"], made["at_least"]) == ("At least 30 devices", 30)
    assert [made[name] for name in ("device", "variable", "hours", "low", "high")] == [None] * 5
    between = {"kind": "between", "variable": "t", "low": -40, "high": 60.5, "hours": 24}
    assert program.ask("POST", CHECKS, between).status_code == 201
    listed = program.get(CHECKS)
    assert (listed["count"], listed["items"][0]) == (2, made)
    assert listed["items"][1]["sentence"] == (
        "t of every device is between \N{MINUS SIGN}40 and 60.5 in the last 24 hours"
    )
    assert program.ask("DELETE", f"{CHECKS}/{made['id']}").status_code == 204
    program.refused(404, "DELETE", f"{CHECKS}/{made['id']}")
    program.refused(404, "DELETE", f"{CHECKS}/{uuid4()}")
    assert Check.objects.count() == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"kind": "devices"}, "at_least"),
        ({"kind": "devices", "at_least": "3"}, "at_least"),
        ({"kind": "devices", "at_least": True}, "at_least"),
        ({"kind": "devices", "at_least": 10**30}, "at_least"),
        ({"kind": "newest", "device": "Truck", "hours": 3}, "device"),
        ({"kind": "between", "variable": "t", "low": 2, "high": 1}, "high"),
        ({"kind": "between", "variable": "t", "low": "2", "high": 1}, "low"),
        ({"kind": "between", "variable": "a\0", "low": 0, "high": 1}, "variable"),
        ({"kind": "between", "variable": "v" * 201, "low": 0, "high": 1}, "variable"),
        ({"kind": "sql"}, "kind"),
        ({"kind": "devices", "at_least": 1, "query": "SELECT 1"}, "query"),
    ],
)
def test_what_is_wrong_is_named(
    project: Project, program: Program, body: dict[str, Any], field: str
) -> None:
    problem = program.refused(422, "POST", CHECKS, body)
    assert [error["field"] for error in problem["errors"]] == [field]
    assert not Check.objects.exists()


def test_the_same_again_and_one_too_many_are_conflicts(project: Project, program: Program) -> None:
    for number in range(20):
        Check.objects.create(project=project, kind="devices", at_least=number + 1)
    full = program.refused(409, "POST", CHECKS, {"kind": "devices", "at_least": 99})
    assert "up to 20" in full["detail"]
    Check.objects.filter(at_least=20).delete()
    again = program.refused(409, "POST", CHECKS, {"kind": "devices", "at_least": 1})
    assert "already a check like this" in again["detail"]


def test_a_right_that_is_lost_meanwhile_is_in_the_log(
    project: Project, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    def losing(**fields: Any) -> WantedCheck:
        Membership.objects.update(role="collaborator")
        return WantedCheck(**fields)

    monkeypatch.setattr("backups_portal.portal_api.routes.checks.WantedCheck", losing)
    program.refused(403, "POST", CHECKS, {"kind": "devices", "at_least": 1})
    event = AuditEvent.objects.get(action="access.refused")
    assert (event.account_id, event.project_id) == (project.created_by_id, project.pk)
    assert (event.subject, "via" in event.details) == (f"POST /api/v1{CHECKS}", True)


def test_a_backup_says_what_its_checks_found(project: Project, program: Program) -> None:
    snapshot = factories.make_snapshot(project)
    path = f"/projects/cold-chain/backups/{snapshot.pk}"
    assert (program.get(path)["checks"], program.get(path)["check_results"]) == (None, [])
    check = factories.make_checked(snapshot)
    found = program.get(path)
    assert (found["verdict"], found["checks"]) == ("passed", {"made": 1, "failed": 1, "not_run": 0})
    assert found["check_results"] == [
        {
            "check": str(check.pk),
            "sentence": "At least 3 devices",
            "outcome": "failed",
            "finding": "the backup has 2",
        }
    ]
    (listed,) = program.get("/projects/cold-chain/backups")["items"]
    assert listed["checks"] == found["checks"]
