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
from backups_portal.lib.causes import Cause
from backups_portal.notifications.models import Delivery
from backups_portal.ops.metrics import UNKNOWN, WITH_BACKUPS, exposition
from backups_portal.projects.models import Project
from restores.models import Proof
from snapshots.models import SnapshotCopy
from tests import factories

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).parents[2]


def figures() -> dict[tuple[str, ...], float]:
    """Every figure by its name and the values of its labels, which are told by the alphabet."""
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
    assert found["newest_backup_age_seconds", "active", "no"] == 0
    assert found["newest_backup_age_seconds", "shut_down", "yes"] == 0
    assert found["failures_last_day", "storage", "snapshot"] == 0


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
    assert found["newest_backup_age_seconds", "active", "no"] == pytest.approx(180_000, abs=60)
    assert found["newest_backup_age_seconds", "active", "yes"] == pytest.approx(288_000, abs=60)
    # One is late, one has none; that of today has time until tomorrow.
    assert found["projects_without_backup",] == 2
    assert found["projects", "active"] == 4
    assert newcomer.state == "active"


def test_backups_that_only_wait_to_be_removed_are_told_apart() -> None:
    now = timezone.now()
    for state, hours in (("active", 2), ("shut_down", 70), ("shut_down", 90), ("removed", 500)):
        project = factories.make_project_row(state=state)
        factories.make_snapshot(
            project,
            taken_at=now - timedelta(hours=hours),
            state="expired" if state == "removed" else "completed",
            verdict="passed",
            proven_at=now,
        )
    Project.objects.update(created_at=now - timedelta(days=30))
    found = figures()
    for proven in ("no", "yes"):
        ages = [found["newest_backup_age_seconds", state, proven] for state in WITH_BACKUPS]
        assert ages == pytest.approx([2 * 3600, 90 * 3600], abs=60)
    assert found["projects_without_backup",] == 0
    assert ("newest_backup_age_seconds", "removed", "no") not in found


def test_failures_by_their_cause() -> None:
    now = timezone.now()
    yesterday = now - timedelta(days=2)
    failed = {"state": "failed", "reason": "x", "finished_at": now}
    for fields in (
        {**failed, "cause": Cause.STORAGE},
        {**failed, "cause": Cause.STORAGE},
        {**failed, "cause": Cause.NO_ROOM, "finished_at": yesterday},
        {**failed, "cause": ""},
        {"state": "queued", "reason": "x", "cause": Cause.DATABASE_UNREACHABLE},
        {"state": "running", "reason": "x", "cause": Cause.STORAGE},
        {"state": "queued"},
    ):
        factories.make_snapshot(factories.make_project_row(), **fields)
    stored = factories.make_snapshot(factories.make_project_row())
    factories.make_restore(stored, requested_by=factories.make_account(), **failed, cause="no_room")
    Proof.objects.create(snapshot=stored, **{**failed, "state": "given_up"}, cause="interrupted")
    SnapshotCopy.objects.create(snapshot=stored, place="x", **failed, cause="damaged")
    found = figures()
    assert {
        key[1:]: found[key] for key in found if key[0] == "failures_last_day" and found[key]
    } == {
        ("storage", "snapshot"): 3,
        ("unknown", "snapshot"): 1,
        ("database_unreachable", "snapshot"): 1,
        ("no_room", "restore"): 1,
        ("interrupted", "proof"): 1,
        ("damaged", "copy"): 1,
    }


def test_every_cause_is_explained() -> None:
    table = (ROOT / "README.md").read_text().partition("#### Causes")[2]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) >= {*Cause, UNKNOWN}


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


def test_every_label_that_is_asked_for_exists() -> None:
    """A rule that asks for a label, or a value, that is never given would keep silent for ever."""
    given: dict[str, dict[str, set[str]]] = {}
    now = timezone.now()
    stored = factories.make_snapshot(factories.make_project_row(), taken_at=now)
    factories.make_snapshot(factories.make_project_row(), state="failed")
    factories.make_snapshot(factories.make_project_row(), state="queued")
    ended: Any = {"state": "failed", "reason": "x", "finished_at": now}
    account = factories.make_account()
    factories.make_restore(stored, requested_by=account, **ended)
    Proof.objects.create(snapshot=stored, **ended)
    mail: Any = {"event_id": 1, "channel": "email", "account": account}
    Delivery.objects.create(project=stored.project, **mail, **ended)
    for family in text_string_to_metric_families(exposition().decode()):
        for sample in family.samples:
            for label, value in sample.labels.items():
                given.setdefault(sample.name, {}).setdefault(label, set()).add(value)
    asked = [rule for rule in _expressions() if "{" in rule or "by (" in rule]
    assert len(asked) > 10
    for rule in asked:
        (figure,) = re.findall(r"backups_portal_\w+", rule)
        for label, value in re.findall(r'(\w+)=~?"([^"]*)"', rule):
            assert set(value.split("|")) <= given[figure][label], rule
        for labels in re.findall(r"by \(([^)]*)\)", rule):
            assert set(labels.split(", ")) <= given[figure].keys(), rule


def _expressions() -> list[str]:
    rules = (ROOT / ".docker" / "prometheus" / "alerts.yml").read_text()
    dashboard = json.loads((ROOT / ".docker" / "grafana" / "dashboard.json").read_text())
    targets = [target for panel in dashboard["panels"] for target in panel.get("targets", [])]
    return [*re.findall(r"expr: (.*)", rules), *(target["expr"] for target in targets)]


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
