"""Figures for Prometheus, and the rules that are made of them."""

import json
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import Settings

from backups_portal.lib import pulse
from backups_portal.ops.metrics import exposition
from backups_portal.projects.models import Project
from tests import factories

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).parents[2]


def figures() -> dict[tuple[str, ...], float]:
    """Every figure by its name and the values of its labels."""
    return {
        (sample.name.removeprefix("backups_portal_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(exposition().decode())
        for sample in family.samples
    }


def test_only_who_knows_the_token_may_read(client: Client, settings: Settings) -> None:
    assert client.get("/metrics").status_code == 404
    assert client.get("/metrics", headers={"Authorization": "Bearer "}).status_code == 404
    settings.METRICS_TOKEN = "t" * 40
    assert client.get("/metrics", headers={"Authorization": "Bearer x"}).status_code == 404
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {'t' * 40}"})
    assert answer.status_code == 200
    assert b"backups_portal_projects" in answer.content


def test_an_empty_portal_has_figures() -> None:
    found = figures()
    assert found["projects_without_backup",] == 0
    assert found["newest_backup_age_seconds", "no"] == 0


def test_how_old_the_backups_are() -> None:
    now = timezone.now()
    for hours in (3, 50):
        project = factories.make_project_row()
        factories.make_snapshot(project, taken_at=now - timedelta(hours=hours))
    proven = factories.make_snapshot(project, taken_at=now - timedelta(hours=80))
    type(proven).objects.filter(pk=proven.pk).update(verdict="passed", proven_at=now)
    factories.make_project_row()
    Project.objects.update(created_at=now - timedelta(days=9))
    newcomer = factories.make_project_row()
    found = figures()
    assert found["newest_backup_age_seconds", "no"] == pytest.approx(50 * 3600, abs=60)
    assert found["newest_backup_age_seconds", "yes"] == pytest.approx(80 * 3600, abs=60)
    # One is late, one has none; that of today has time until tomorrow.
    assert found["projects_without_backup",] == 2
    assert found["projects", "active"] == 4
    assert newcomer.state == "active"


def test_work_and_what_came_of_it() -> None:
    now = timezone.now()
    project = factories.make_project_row()
    done = factories.make_snapshot(
        project,
        taken_at=now,
        started_at=now - timedelta(seconds=9),
        finished_at=now,
        scheduled_for=now,
        new_bytes=1000,
    )
    factories.make_snapshot(
        factories.make_project_row(), state="queued", scheduled_for=now - timedelta(hours=2)
    )
    restore: Any = {"requested_by": factories.make_account()}
    factories.make_restore(done, **restore, state="failed", reason="x", finished_at=now)
    found = figures()
    assert found["snapshots_last_day", "completed"] == 1
    assert found["snapshot_new_bytes_last_day",] == 1000
    assert found["snapshot_duration_seconds", "longest"] == pytest.approx(9)
    assert found["work", "snapshot", "queued"] == 1
    assert found["work_age_seconds", "snapshot", "queued"] == pytest.approx(7200, abs=60)
    assert found["builds_last_day", "restore", "failed"] == 1


def test_signs_of_life(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pulse, "KEY", f"test:{timezone.now()}")
    assert figures()["sign_of_life_age_seconds", "storage"] == float("inf")
    pulse.note(pulse.STORAGE)
    assert figures()["sign_of_life_age_seconds", "storage"] < 60


@pytest.mark.parametrize("file", ["prometheus/alerts.yml", "grafana/dashboard.json"])
def test_every_figure_that_is_watched_exists(file: str) -> None:
    wanted = set(re.findall(r"backups_portal_(\w+)", (ROOT / ".docker" / file).read_text()))
    told = set(re.findall(r"# TYPE backups_portal_(\w+) gauge", exposition().decode()))
    assert wanted
    assert wanted <= told


def test_the_dashboard_has_every_figure() -> None:
    dashboard = json.loads((ROOT / ".docker" / "grafana" / "dashboard.json").read_text())
    asked = {target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])}
    for figure in re.findall(r"# TYPE (\w+) gauge", exposition().decode()):
        assert any(figure in expression for expression in asked), figure


def test_every_alert_is_explained() -> None:
    rules = (ROOT / ".docker" / "prometheus" / "alerts.yml").read_text()
    readme = (ROOT / "README.md").read_text()
    for alert in re.findall(r"alert: (\w+)", rules):
        assert f"`{alert}`" in readme, alert
