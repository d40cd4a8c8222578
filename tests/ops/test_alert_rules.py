"""Tests next to the rules make each alert fire, and keep it silent."""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

FOLDER = Path(__file__).parents[2] / ".docker" / "prometheus"
RULES = [
    rule
    for group in yaml.safe_load((FOLDER / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
ALERTS = [rule["alert"] for rule in RULES]
TESTS: list[dict[str, Any]] = yaml.safe_load((FOLDER / "alerts.test.yml").read_text())["tests"]


@pytest.mark.parametrize("alert", ALERTS)
def test_every_rule_is_made_to_fire_and_kept_still(alert: str) -> None:
    tried = [one for test in TESTS for one in test["alert_rule_test"] if one["alertname"] == alert]
    assert any(one["exp_alerts"] for one in tried)
    assert any(not one["exp_alerts"] for one in tried)


def test_every_rule_has_a_severity_and_a_sentence() -> None:
    for rule in RULES:
        assert rule["labels"]["severity"] in {"page", "ticket"}, rule["alert"]
        assert rule["annotations"]["summary"], rule["alert"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("test", "rules", "alerts.test.yml"),
        ("check", "rules", "alerts.yml"),
        ("check", "config", "--syntax-only", "prometheus.yml"),
    ],
    ids=["tests", "rules", "scrapes"],
)
def test_promtool_agrees(arguments: tuple[str, ...]) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not here (Debian: apt-get install prometheus)")
    done = subprocess.run([promtool, *arguments], cwd=FOLDER, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rules_name_the_jobs_that_are_scraped() -> None:
    scraped = yaml.safe_load((FOLDER / "prometheus.yml").read_text())["scrape_configs"]
    jobs = {job["job_name"] for job in scraped}
    rules = (FOLDER / "alerts.yml").read_text()
    assert jobs
    for job in jobs:
        assert f'absent(up{{job="{job}"}})' in rules
