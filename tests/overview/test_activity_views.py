"""The activity page: the audit log of one project."""

from datetime import UTC, datetime

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from backups_portal.accounts.models import Account
from backups_portal.audit.audit_log import details_in_words, in_words
from backups_portal.audit.models import AuditEvent
from backups_portal.projects.models import Project
from tests import factories

pytestmark = pytest.mark.django_db
# The session, the account, the membership, the count, and the page.
QUERIES = 5


@pytest.fixture
def owner() -> Account:
    return factories.make_account()


@pytest.fixture
def project(owner: Account, client: Client) -> Project:
    client.force_login(owner)
    return factories.make_project_row(owner=owner)


def happen(project: Project, action: str, day: int = 1, **fields: object) -> None:
    AuditEvent.objects.create(
        project_id=project.pk, action=action, at=datetime(2026, 3, day, 12, tzinfo=UTC), **fields
    )


def read(client: Client, project: Project, query: str = "") -> str:
    return client.get(f"/projects/{project.slug}/activity/{query}").content.decode()


def test_says_who_what_when_and_from_where(client: Client, project: Project) -> None:
    happen(
        project,
        "settings.changed",
        account_email="olivia@example.com",
        subject="Backup settings",
        details={"retention_days": {"old": 7, "new": 3}},
        address="192.0.2.7",
    )
    happen(project, "snapshot.failed", subject="Backup of 2024-11-28")
    happen(project, "restore.requested", subject="Backup of 2024-99-99")
    happen(factories.make_project_row(), "data.exported")
    page = read(client, project)
    for text in (
        "Settings changed",
        "olivia@",
        "192.0.2.7",
        "Backup retention period: 7 days → 3 days",
        "Backup of 28 Nov 2024",
        "Backup of 2024-99-99",
        "2026",
    ):
        assert text in page
    assert "Data exported" not in page


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?area=snapshot", {"Backup failed"}),
        ("?who=OLIVIA", {"Settings changed"}),
        ("?since=2026-03-02", {"Settings changed"}),
        ("?until=2026-03-01", {"Backup failed"}),
        ("?since=2026-03-03", set()),
        # An invalid filter is reported, and filters nothing.
        ("?since=yesterday", {"Backup failed", "Settings changed"}),
        ("?area=nonsense&page=99", {"Backup failed", "Settings changed"}),
    ],
)
def test_filter(client: Client, project: Project, query: str, found: set[str]) -> None:
    happen(project, "snapshot.failed", 1)
    happen(project, "settings.changed", 2, account_email="olivia@example.com")
    page = read(client, project, query)
    assert {text for text in ("Backup failed", "Settings changed") if text in page} == found


def test_csv_holds_what_the_filter_shows_and_no_formulas(client: Client, project: Project) -> None:
    happen(project, "snapshot.failed", subject="=1+1", details={"reason": "no space"})
    happen(project, "settings.changed")
    answer = client.get(f"/projects/{project.slug}/activity/csv/?area=snapshot")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    lines = answer.getvalue().decode().splitlines()
    assert lines == [
        "time_utc,action,account,subject,address,details",
        '2026-03-01T12:00:00+00:00,snapshot.failed,system,\'=1+1,,"{""reason"": ""no space""}"',
    ]


@pytest.mark.parametrize("events", [1, 100])
def test_asks_as_often_for_one_as_for_many(
    client: Client,
    project: Project,
    django_assert_num_queries: DjangoAssertNumQueries,
    events: int,
) -> None:
    for _ in range(events):
        happen(project, "snapshot.completed")
    # A session created without the sign-in page records its browser once.
    client.get("/account/")
    with django_assert_num_queries(QUERIES):
        read(client, project)


def test_words() -> None:
    assert in_words("snapshot.completed") == "Backup stored"
    assert in_words("warm_restore.changed") == "Warm restore changed"
    assert details_in_words({"snapshot": "ab", "reason": "", "rows": 3}) == ["Rows: 3"]


def test_amounts_in_words_of_people() -> None:
    assert details_in_words({"stored_bytes": 1_387_695, "rows": 455_094}) == [
        "Stored size: 1.3\N{NO-BREAK SPACE}MiB",
        "Rows: 455,094",
    ]
    assert details_in_words({"restore_seconds": 2.3}) == ["Restored in: 2.3\N{NO-BREAK SPACE}s"]
    changed = {"retention_days": {"old": 30, "new": 1}, "warm_restore": {"old": False, "new": True}}
    assert details_in_words(changed) == [
        "Backup retention period: 30 days → 1 day",
        "Warm restore: no → yes",
    ]


@pytest.mark.parametrize("days", ["since=0001-01-01", "until=9999-12-31", "until=0001-01-01"])
def test_the_first_and_the_last_day_of_all(client: Client, project: Project, days: str) -> None:
    happen(project, "snapshot.failed")
    assert client.get(f"/projects/{project.slug}/activity/?{days}").status_code == 200
    answer = client.get(f"/projects/{project.slug}/activity/csv/?{days}")
    assert ("snapshot.failed" in answer.getvalue().decode()) == (days != "until=0001-01-01")
