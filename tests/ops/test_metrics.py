"""Metrics for Prometheus, and the alert rules on them."""

import re
from collections.abc import Callable
from datetime import timedelta
from math import isnan, prod
from typing import Any

import pytest
from django.db import DatabaseError, OperationalError, connection, transaction
from django.test import Client
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families
from pytest_django import Settings

from backups_portal.lib import liveness
from backups_portal.lib.failure_causes import Cause
from backups_portal.ops import metrics
from backups_portal.ops.liveness_metrics import SIGNS
from backups_portal.ops.metrics import WITH_BACKUPS, exposition
from backups_portal.ops.storage_state import probe
from backups_portal.projects.models import DatabaseServer, MainDatabase, Project
from restores.models import Proof
from snapshots.models import Snapshot, SnapshotCopy
from snapshots.storages.storage_signs import storage_sign
from tests import factories
from tests.ops.test_alert_rules import RULES

pytestmark = [pytest.mark.django_db, pytest.mark.server_version]


def figures() -> dict[tuple[str, ...], float]:
    """Return every metric by name and label values in alphabetical order of labels."""
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
    for state in WITH_BACKUPS:
        for proven in ("no", "yes"):
            assert isnan(found["newest_backup_age_seconds", state, proven])
    for of in ("average", "longest"):
        assert isnan(found["snapshot_duration_seconds", of])
        assert isnan(found["restore_seconds", of])
    none = {key for key in found if key[0] not in AGES}
    assert len(none) > 50
    assert {found[key] for key in none} == {0}
    assert ("failures_last_day", "storage", "snapshot") in none
    assert ("snapshots_last_day", "failed") in none
    assert ("builds_last_day", "proof", "failed") in none
    assert ("notifications_failed_last_day", "email") in none
    assert ("checks_last_day", "failed") in none


def test_a_server_that_died_for_good_counts_until_it_is_closed_and_holds_nothing() -> None:
    project = factories.make_project_row()
    servers = DatabaseServer.objects.filter(pk=project.server_id)
    servers.update(unreachable_since=timezone.now(), is_open=True)
    assert figures()["database_servers_down",] == 1
    servers.update(is_open=False)
    assert figures()["database_servers_down",] == 1
    Project.objects.update(state=Project.State.SHUT_DOWN)
    assert figures()["database_servers_down",] == 0


# These have a value only if there is something to measure.
AGES = (
    *("newest_backup_age_seconds", "snapshot_duration_seconds", "restore_seconds"),
    "objective_missed_seconds",
    *("sign_of_life_age_seconds", "sweep_age_seconds", "projects_in_doubt", "up"),
)


def test_what_redis_does_not_tell_is_unknown_and_redis_is_named(settings: Settings) -> None:
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    found = figures()
    assert (found["up", "redis"], found["up", "database"]) == (0, 1)
    for unknown in (
        *(("sign_of_life_age_seconds", sign) for sign in SIGNS),
        *(("up", "storage"), ("sweep_age_seconds",), ("projects_in_doubt",)),
    ):
        assert isnan(found[unknown])
    assert found["projects_without_backup",] == 0
    assert firing() == {"RedisDown"}


def test_without_a_database_the_rest_is_answered(
    monkeypatch: pytest.MonkeyPatch, client: Client, settings: Settings
) -> None:
    def refuse() -> None:
        raise OperationalError("connection refused")

    settings.METRICS_TOKEN = "t" * 40
    monkeypatch.setattr(connection, "cursor", refuse)
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {'t' * 40}"})
    assert answer.status_code == 200
    found = figures()
    assert (found["up", "redis"], found["up", "database"]) == (1, 0)
    assert ("projects_without_backup",) not in found
    assert {"DatabaseDown", "FiguresMissing"} <= firing()


def test_a_question_that_fails_leaves_out_its_own_figures_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metrics, "PROJECTS", "SELECT no_such_column FROM projects_project")
    with transaction.atomic(), pytest.raises(DatabaseError), transaction.atomic():
        metrics._rows(metrics.PROJECTS)
    monkeypatch.setattr(metrics, "_rows", in_a_savepoint(metrics._rows))
    found = figures()
    assert found["figures_missing",] == 1
    assert ("projects", "active") not in found
    assert found["projects_without_backup",] == 0


def in_a_savepoint(rows: Callable[..., Any]) -> Callable[..., Any]:
    """Keep the test's transaction usable after an error; a scrape has none."""

    def ask(*arguments: Any, **named: Any) -> Any:
        with transaction.atomic():
            return rows(*arguments, **named)

    return ask


def firing() -> set[str]:
    """Return the alerts whose expression is true now, ignoring how long it must be.

    promtool tests the rules about a portal that does not answer, which only Prometheus can see.
    """
    found = [
        (sample.name, sample.labels, sample.value)
        for family in text_string_to_metric_families(exposition().decode())
        for sample in family.samples
    ]
    return {
        rule["alert"]
        for rule in RULES
        if "absent" not in rule["expr"] and _is_true(rule["expr"], found)
    }


def _is_true(expression: str, found: list[tuple[str, dict[str, str], float]]) -> bool:
    claim, _, unless = expression.partition("unless on (job, instance)")
    is_claimed = any(is_true(claim.strip(), *one) for one in found)
    return is_claimed and not (unless and any(is_true(unless.strip(), *one) for one in found))


def is_true(expression: str, name: str, labels: dict[str, str], value: float) -> bool:
    """Return whether a comparison of a metric with a number is true for a sample."""
    rule = re.fullmatch(r"(\w+)(?:\{(.*)\})? (>|==) ([\d* ]+)", expression)
    assert rule, expression
    wanted = re.findall(r'(\w+)(=~?|!=)"([^"]*)"', rule[2] or "")
    limit = prod(int(factor) for factor in rule[4].split("*"))
    is_meant = name == rule[1] and all(
        bool(re.fullmatch(asked if sign == "=~" else re.escape(asked), labels[label]))
        is (sign != "!=")
        for label, sign, asked in wanted
    )
    return is_meant and (value > limit if rule[3] == ">" else value == limit)


def test_a_backup_that_healed_others_is_told() -> None:
    now = timezone.now()
    factories.make_snapshot(factories.make_project_row(), taken_at=now, storage_note="Lost one.")
    factories.make_snapshot(factories.make_project_row(), taken_at=now)
    assert figures()["snapshots_healing_last_day",] == 1
    assert "BackupHealed" in firing()


def test_how_old_the_backups_are() -> None:
    now = timezone.now()
    for hours in (3, 50):
        project = factories.make_project_row()
        factories.make_snapshot(project, taken_at=now - timedelta(hours=hours))
    proven = factories.make_snapshot(project, taken_at=now - timedelta(hours=80))
    type(proven).objects.filter(pk=proven.pk).update(verdict="passed", proven_at=now)
    Project.objects.update(created_at=now - timedelta(days=9))
    MainDatabase.objects.exclude(project=project).update(proof_policy="off")
    newcomer = factories.make_project_row()
    found = figures()
    assert found["newest_backup_age_seconds", "active", "no"] == pytest.approx(180_000, abs=60)
    assert found["newest_backup_age_seconds", "active", "yes"] == pytest.approx(288_000, abs=60)
    # One is late; today's has time until tomorrow.
    assert found["projects_without_backup",] == 1
    assert found["projects", "active"] == 3
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
    for outcome in ("failed", "not_run", "passed"):
        checked = factories.make_snapshot(
            factories.make_project_row(), taken_at=now - timedelta(days=3)
        )
        factories.make_checked(checked, outcome=outcome)
    found = figures()
    assert found["checks_last_day", "failed"] == found["checks_last_day", "not_run"] == 1
    assert found["snapshots_last_day", "completed"] == 1
    assert found["snapshot_new_bytes_last_day",] == 1000
    assert found["snapshot_duration_seconds", "longest"] == pytest.approx(9)
    assert found["work", "snapshot", "queued"] == 1
    assert found["work_age_seconds", "snapshot", "queued"] == pytest.approx(7200, abs=60)
    assert found["builds_last_day", "restore", "failed"] == 1


def test_a_backup_that_is_taken_up_again_has_not_waited_since_it_was_due() -> None:
    """`WorkWaits` asks for more workers, whom a server that was away did not lack."""
    now, hour = timezone.now(), timedelta(hours=1)
    for back in (now - hour, now + hour):
        project = factories.make_project_row()
        due: Any = {"scheduled_for": now - 9 * hour, "retry_at": back}
        factories.make_snapshot(project, state="queued", **due)
    assert figures()["work_age_seconds", "snapshot", "queued"] == pytest.approx(3600, abs=60)
    Snapshot.objects.filter(retry_at__lt=now).delete()
    assert figures()["work_age_seconds", "snapshot", "queued"] == 0


@pytest.mark.parametrize("lost", [*liveness.PROCESSES, liveness.SCHEDULE])
def test_what_is_lost_is_named_and_nothing_else(monkeypatch: pytest.MonkeyPatch, lost: str) -> None:
    monkeypatch.setattr(liveness, "KEY", f"test:{timezone.now()}")
    assert figures()["sign_of_life_age_seconds", "system"] == float("inf")
    for sign in (*SIGNS, liveness.SWEEP):
        liveness.note(sign)
    probe(storage_sign(), lambda: True)
    assert figures()["sign_of_life_age_seconds", lost] < 60
    assert figures()["up", "storage"] == 1
    assert firing() == set()
    later = timezone.now() + timedelta(minutes=6)
    monkeypatch.setattr(liveness.timezone, "now", lambda: later)
    stopped = {lost} if lost in ("worker", "schedule") else {lost, "schedule"}
    for sign in set(SIGNS) - stopped:
        liveness.note(sign)
    if "schedule" not in stopped or lost == "schedule":
        probe(storage_sign(), lambda: True)
    assert firing() == {"ScheduleStopped" if lost == "schedule" else "NothingRuns"}


def test_a_storage_that_does_not_work_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(liveness, "KEY", f"test:{timezone.now()}")
    began = timezone.now()
    for minutes in (0, 2, 4, 6):
        moment = began + timedelta(minutes=minutes)
        monkeypatch.setattr(liveness.timezone, "now", lambda now=moment: now)
        for sign in (*SIGNS, liveness.SWEEP):
            liveness.note(sign)
        probe(storage_sign(), lambda: False)
    assert figures()["up", "storage"] == 0
    assert firing() == {"StorageDown"}
