"""Recovery objectives as programs see and set them."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from backups_portal.audit.models import AuditEvent
from backups_portal.objectives.models import Objective
from backups_portal.objectives.objective_settings import MAX_TARGETS
from backups_portal.projects.models import Project
from tests import factories
from tests.portal_api.conftest import Program

pytestmark = pytest.mark.django_db
OBJECTIVES = "/projects/cold-chain/objectives"


def test_without_any(project: Project, program: Program) -> None:
    assert program.get(OBJECTIVES) == {
        "max_loss_hours": None,
        "max_restore_minutes": None,
        "recovery_point": None,
        "recovery_time": None,
        "warnings": [],
    }


def test_they_are_set_and_withdrawn_one_by_one(project: Project, program: Program) -> None:
    said = program.ask("PATCH", OBJECTIVES, {"max_loss_hours": 26}).json()
    assert (said["max_loss_hours"], said["max_restore_minutes"]) == (26, None)
    said = program.ask("PATCH", OBJECTIVES, {"max_restore_minutes": 30}).json()
    assert (said["max_loss_hours"], said["max_restore_minutes"]) == (26, 30)
    assert said["recovery_time"] == {"state": "unmeasured", "missed_since": None, "seconds": None}
    assert program.ask("PATCH", OBJECTIVES, {}).json() == said
    said = program.ask("PATCH", OBJECTIVES, {"max_loss_hours": None}).json()
    assert (said["max_loss_hours"], said["max_restore_minutes"]) == (None, 30)
    assert AuditEvent.objects.filter(action="objective.changed").count() == 3


def test_one_that_is_missed_says_since_when(project: Project, program: Program) -> None:
    now = timezone.now()
    began = now - timedelta(days=10)
    Project.objects.update(created_at=now - timedelta(hours=40))
    Objective.objects.create(
        project=project, kind="point", target=26, began_at=began, checked_at=began
    )
    taken_at = now - timedelta(hours=31)
    factories.make_snapshot(project, taken_at=taken_at, finished_at=taken_at)
    said = program.get(OBJECTIVES)["recovery_point"]
    assert said["state"] == "missed"
    since = (taken_at + timedelta(hours=26)).isoformat().replace("+00:00", "Z")
    assert said["missed_since"] == since
    assert said["seconds"] == pytest.approx(31 * 3600, abs=60)


def test_one_that_cannot_be_met_is_kept_and_warned_of(project: Project, program: Program) -> None:
    said = program.ask("PATCH", OBJECTIVES, {"max_loss_hours": 12}).json()
    assert said["max_loss_hours"] == 12
    (warning,) = said["warnings"]
    assert warning["field"] == "max_loss_hours"
    assert "backups are taken once a day" in warning["message"]
    assert program.get(OBJECTIVES)["warnings"] == [warning]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"max_loss_hours": 0}, "max_loss_hours"),
        ({"max_loss_hours": "26"}, "max_loss_hours"),
        ({"max_loss_hours": True}, "max_loss_hours"),
        ({"max_loss_hours": 1.5}, "max_loss_hours"),
        ({"max_loss_hours": MAX_TARGETS["max_loss_hours"] + 1}, "max_loss_hours"),
        ({"max_restore_minutes": MAX_TARGETS["max_restore_minutes"] + 1}, "max_restore_minutes"),
        ({"max_loss": 26}, "max_loss"),
        ([], "body"),
    ],
)
def test_what_cannot_be(project: Project, program: Program, body: Any, field: str) -> None:
    problem = program.refused(422, "PATCH", OBJECTIVES, body)
    assert problem["errors"][0]["field"] == field
    assert not Objective.objects.exists()
