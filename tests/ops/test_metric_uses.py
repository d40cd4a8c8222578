"""Rules, dashboard and manual name existing metrics only, and omit none."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import Settings

from backups_portal.lib.failure_causes import Cause
from backups_portal.lib.mail_backend import NOT_ACCEPTED
from backups_portal.notifications.models import Delivery
from backups_portal.ops.metrics import UNKNOWN, exposition
from restores.models import Proof
from tests import factories
from tests.ops.test_alert_rules import RULES

pytestmark = [pytest.mark.django_db, pytest.mark.server_version]
ROOT = Path(__file__).parents[2]
ALERTS_PAGE = ROOT / ".github" / "docs" / "alerts-and-causes.md"


def test_the_manual_names_the_line_of_the_log_that_is_written() -> None:
    assert f"(`{NOT_ACCEPTED}`)" in ALERTS_PAGE.read_text()


@pytest.mark.parametrize("file", ["prometheus/alerts.yml", "grafana/dashboard.json"])
def test_every_figure_that_is_watched_exists(file: str) -> None:
    wanted = set(re.findall(r"backups_portal_(\w+)", (ROOT / ".docker" / file).read_text()))
    told = set(re.findall(r"# TYPE backups_portal_(\w+) gauge", exposition().decode()))
    assert wanted
    assert wanted <= told


def test_every_label_that_is_asked_for_exists(settings: Settings) -> None:
    """A rule on a label or value that never occurs would never fire."""
    settings.SNAPSHOT_COPY_STORAGE = "file:///nowhere"
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
    # `unless` compares two samples of one metric.
    both = [half for rule in _expressions() for half in rule.split("unless on (job, instance)")]
    # `up` without a prefix is Prometheus's own.
    asked = [rule for rule in both if "backups_portal" in rule and ("{" in rule or "by (" in rule)]
    asked = [rule for rule in asked if "absent" not in rule]
    assert len(asked) > 10
    for rule in asked:
        (figure,) = re.findall(r"backups_portal_\w+", rule)
        for label, value in re.findall(r'(\w+)=~?"([^"]*)"', rule):
            assert set(value.split("|")) <= given[figure][label], rule
        for labels in re.findall(r"by \(([^)]*)\)", rule):
            assert set(labels.split(", ")) <= given[figure].keys(), rule


def _expressions() -> list[str]:
    dashboard = json.loads((ROOT / ".docker" / "grafana" / "dashboard.json").read_text())
    targets = [target for panel in dashboard["panels"] for target in panel.get("targets", [])]
    return [*(rule["expr"] for rule in RULES), *(target["expr"] for target in targets)]


def test_the_dashboard_has_every_figure() -> None:
    dashboard = json.loads((ROOT / ".docker" / "grafana" / "dashboard.json").read_text())
    asked = {target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])}
    for figure in re.findall(r"# TYPE (\w+) gauge", exposition().decode()):
        assert any(figure in expression for expression in asked), figure


def test_every_alert_is_explained() -> None:
    table = ALERTS_PAGE.read_text().partition("## Alerts")[2].partition("## Causes")[0]
    explained = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert sorted(explained) == sorted(rule["alert"] for rule in RULES)


def test_every_cause_is_explained() -> None:
    table = ALERTS_PAGE.read_text().partition("## Causes")[2]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) >= {*Cause, UNKNOWN}
