"""Projects, settings and backups as programs see them."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.projects.models import MainDatabase, Project
from snapshots.models import Hold, Snapshot
from tests import factories
from tests.portal_api.conftest import Program

pytestmark = pytest.mark.django_db
BACKUPS = "/projects/cold-chain/backups"
SETTINGS = "/projects/cold-chain/settings"
NOW = datetime(2026, 3, 20, 12, tzinfo=UTC)


def backups(project: Project, count: int) -> list[Snapshot]:
    """Make backups a day apart, the newest first."""
    return [
        factories.make_snapshot(project, taken_at=NOW - timedelta(days=days))
        for days in range(count)
    ]


def test_projects_are_those_that_the_account_may_see(
    owner: Account, project: Project, program: Program
) -> None:
    factories.make_project_row(name="Somebody else's")
    shared = factories.make_project_row(name="Shared", slug="shared")
    factories.make_membership(shared, owner)
    for one in (project, shared):
        factories.make_snapshot(one, taken_at=NOW)
    first, second = program.get("/projects")["items"]
    assert (first["slug"], first["role"]) == ("cold-chain", "owner")
    assert first["last_backup_at"] == "2026-03-20T12:00:00Z"
    # A collaborator learns nothing about backups.
    assert (second["slug"], second["role"]) == ("shared", "collaborator")
    assert second["last_backup_at"] is None
    assert program.get("/projects/shared") == second


def test_a_list_comes_in_pages(project: Project, program: Program) -> None:
    made = [str(one.pk) for one in backups(project, 5)]
    first = program.get(BACKUPS, limit=2)
    assert [one["id"] for one in first["items"]] == made[:2]
    assert (first["count"], first["page"], first["next_page"]) == (5, 1, 2)
    last = program.get(BACKUPS, limit=2, page=3)
    assert [one["id"] for one in last["items"]] == made[4:]
    assert last["next_page"] is None
    assert program.get(BACKUPS, limit=2, page=4)["items"] == []


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "page=0", "page=x", "restorable=maybe"])
def test_a_page_that_cannot_be(project: Project, program: Program, query: str) -> None:
    problem = program.refused(422, "GET", f"{BACKUPS}?{query}")
    assert problem["errors"][0]["field"] == query.partition("=")[0]


def test_what_is_known_of_a_backup(project: Project, program: Program) -> None:
    old = factories.make_snapshot(
        project, taken_at=NOW - timedelta(days=1), state="failed", cause="no_room"
    )
    made = factories.make_snapshot(
        project, taken_at=NOW, table_rows={"device": 3}, verdict="passed", proven_at=NOW
    )
    factories.make_snapshot(project, taken_at=NOW - timedelta(days=2), state="expired")
    newest, failed = program.get(BACKUPS)["items"]
    assert newest["id"] == str(made.pk)
    assert (newest["state"], newest["verdict"], newest["is_restorable"]) == (
        *("completed", "passed"),
        True,
    )
    assert (newest["taken_at"], newest["local_date"]) == ("2026-03-20T12:00:00Z", "2026-03-20")
    assert newest["kept_because"] == "Until a newer one is stored"
    assert (failed["reason"], failed["cause"]) == (old.reason, "no_room")
    assert newest["cause"] == ""
    assert failed["is_restorable"] is False
    assert [one["id"] for one in program.get(BACKUPS, restorable="true")["items"]] == [str(made.pk)]
    detail = program.get(f"{BACKUPS}/{made.pk}")
    assert detail == {**newest, "table_rows": {"device": 3}, "check_results": []}


def test_a_backup_of_a_newer_version_is_not_restorable(project: Project, program: Program) -> None:
    newer, other = backups(project, 2)
    Snapshot.objects.filter(pk=newer.pk).update(schema_version=99)
    found = program.get(BACKUPS)["items"]
    assert [one["is_restorable"] for one in found] == [False, True]
    restorable = program.get(BACKUPS, restorable="true")["items"]
    assert [one["id"] for one in restorable] == [str(other.pk)]
    assert program.get(f"{BACKUPS}/{newer.pk}/quote")["is_restorable"] is False


def test_the_quote_of_a_backup(project: Project, program: Program) -> None:
    (made,) = backups(project, 1)
    assert program.get(f"{BACKUPS}/{made.pk}/quote") == {
        "is_restorable": True,
        "creation_fee": "25.00",
        "running_fee_per_hour": "0.068",
        "projected_month": "49.64",
        "currency": "USD",
        "terms": "25 0.068 USD",
        "suggested_name": "Cold Chain restored 2026-03-20",
    }


def test_a_hold_is_placed_and_released_as_often_as_you_like(
    project: Project, program: Program
) -> None:
    (made,) = backups(project, 1)
    for _ in range(2):
        response = program.ask("PUT", f"{BACKUPS}/{made.pk}/hold")
        assert response.json()["is_held"] is True
    assert Hold.objects.count() == 1
    for _ in range(2):
        response = program.ask("DELETE", f"{BACKUPS}/{made.pk}/hold")
        assert (response.status_code, response.content) == (204, b"")
    assert not Hold.objects.exists()
    failed = factories.make_snapshot(project, taken_at=NOW - timedelta(days=9), state="failed")
    program.refused(409, "PUT", f"{BACKUPS}/{failed.pk}/hold")


def test_settings_are_changed_one_by_one(project: Project, program: Program) -> None:
    assert program.get(SETTINGS)["backup_time"] == "03:00"
    changed = program.ask("PATCH", SETTINGS, {"backup_time_zone": "Europe/Berlin"}).json()
    assert (changed["backup_time"], changed["backup_time_zone"]) == ("03:00", "Europe/Berlin")
    changed = program.ask("PATCH", SETTINGS, {"retention_days": 30, "backup_time": "23:15"}).json()
    assert (changed["retention_days"], changed["backup_time"]) == (30, "23:15")
    assert changed["next_backup_at"].endswith("Z")
    assert program.ask("PATCH", SETTINGS, {}).json() == changed
    assert AuditEvent.objects.filter(action="settings.changed").count() == 2


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"backup_time": "25:00"}, "backup_time"),
        ({"backup_time": "03:00\0"}, "backup_time"),
        ({"backup_time_zone": "Berlin"}, "backup_time_zone"),
        ({"backup_time_zone": "../../etc/passwd"}, "backup_time_zone"),
        ({"retention_days": 0}, "retention_days"),
        ({"retention_days": 366}, "retention_days"),
        ({"retention_days": "7"}, "retention_days"),
        ({"retention_days": True}, "retention_days"),
        ({"retention_days": 10**18}, "retention_days"),
        ({"proof_policy": "never"}, "proof_policy"),
        ({"accept_deletion": "yes"}, "accept_deletion"),
        ({"retention": 3}, "retention"),
        ([], "body"),
    ],
)
def test_settings_that_cannot_be(project: Project, program: Program, body: Any, field: str) -> None:
    before = MainDatabase.objects.values().get()
    problem = program.refused(422, "PATCH", SETTINGS, body)
    assert problem["errors"][0]["field"] == field
    assert MainDatabase.objects.values().get() == before


def test_a_shorter_period_is_agreed_with_first(project: Project, program: Program) -> None:
    now = timezone.now()
    for days in range(6):
        factories.make_snapshot(project, taken_at=now - timedelta(days=days, hours=1))
    body = {"retention_days": 2}
    problem = program.refused(409, "PATCH", SETTINGS, body)
    assert problem["code"] == "deletes_backups"
    preview = problem["preview"]
    assert (preview["retention_days"], preview["deletes"]) == (2, 4)
    assert preview["oldest"] < preview["newest"]
    assert program.get(SETTINGS)["retention_days"] == 7
    response = program.ask("PATCH", SETTINGS, {**body, "accept_deletion": True})
    assert response.json()["retention_days"] == 2
    # Removal is left to the schedule, as for changes on the page.
    assert Snapshot.objects.filter(state="completed").count() == 6


def _member(project: Project, number: int) -> None:
    factories.make_snapshot(factories.make_project_row(owner=project.created_by))


def _backup(project: Project, number: int) -> None:
    factories.make_snapshot(project, taken_at=NOW - timedelta(days=number))


def _restore(project: Project, number: int) -> None:
    snapshot = factories.make_snapshot(project, taken_at=NOW - timedelta(days=number))
    factories.make_restore(snapshot, requested_by=project.created_by)


def _transfer(project: Project, number: int) -> None:
    other = factories.make_project_row(owner=project.created_by)
    factories.make_transfer(project, other, requested_by=project.created_by)


LISTS: dict[str, Callable[[Project, int], None]] = {
    "/projects": _member,
    BACKUPS: _backup,
    "/projects/cold-chain/restores": _restore,
    "/projects/cold-chain/transfers": _transfer,
}


@pytest.mark.parametrize("path", LISTS)
def test_a_hundred_take_no_more_queries_than_one(
    project: Project, program: Program, path: str
) -> None:
    program.get("/projects/cold-chain")
    LISTS[path](project, 0)
    with CaptureQueriesContext(connection) as one:
        assert program.get(path, limit=100)["items"]
    for number in range(1, 100):
        LISTS[path](project, number)
    with CaptureQueriesContext(connection) as many:
        assert len(program.get(path, limit=100)["items"]) == 100
    assert len(many) == len(one) <= 7


def test_no_backup_of_another_project(project: Project, program: Program, owner: Account) -> None:
    other = factories.make_project_row(owner=owner, slug="other")
    (made,) = backups(other, 1)
    program.refused(404, "GET", f"{BACKUPS}/{made.pk}")
    program.refused(404, "GET", f"{BACKUPS}/{uuid.uuid4()}")
