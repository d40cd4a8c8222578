"""Metrics of recovery objectives."""

from datetime import timedelta
from math import isnan

import pytest
from django.utils import timezone

from backups_portal.objectives.models import Breach, Objective
from backups_portal.projects.models import Project
from tests import factories
from tests.ops.test_metrics import figures

pytestmark = pytest.mark.django_db


def test_objectives_and_how_many_are_missed() -> None:
    now = timezone.now()
    for state in ("active", "shut_down"):
        for hours in (5, 2):
            objective = Objective.objects.create(
                project=factories.make_project_row(state=state), kind="point", target=26
            )
            Breach.objects.create(
                objective=objective, began_at=now - timedelta(hours=hours), worst_seconds=1
            )
    met = Objective.objects.create(project=objective.project, kind="time", target=30)
    Breach.objects.create(
        objective=met, began_at=now, ended_at=now, end=Breach.End.MET, worst_seconds=1
    )
    Project.objects.filter(pk=met.project_id).update(state="active")
    found = figures()
    assert found["objectives", "recovery_point"] == 3
    assert found["objectives_missed", "recovery_point"] == 3
    assert found["objective_missed_seconds", "recovery_point"] == pytest.approx(18_000, abs=60)
    assert found["objectives", "recovery_time"] == 1
    assert found["objectives_missed", "recovery_time"] == 0
    assert isnan(found["objective_missed_seconds", "recovery_time"])
