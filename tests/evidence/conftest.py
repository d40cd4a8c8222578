"""A project whose quarter has everything that evidence reports; it is 29 November 2026."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from unittest.mock import patch

import pytest
from django.test import Client
from pytest_django import Settings

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.evidence.evidence_period import Period
from backups_portal.evidence.evidence_report import Report, make_report
from backups_portal.evidence.evidence_scope import Scope
from backups_portal.projects.models import MainDatabase, Project
from snapshots.models import Snapshot
from tests import factories

ZONE = "Europe/Berlin"
NOW = datetime(2026, 11, 29, 9, tzinfo=UTC)
FOUNDED = datetime(2026, 9, 30, 12, tzinfo=UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
# The first day of the quarter, and today in Berlin.
FIRST, TODAY = date(2026, 10, 1), date(2026, 11, 29)
# 02:00 in Berlin.
RUN = datetime(2026, 11, 3, 1, tzinfo=UTC)
# A day in winter time.
BAD = date(2026, 11, 3)
Q4 = Period(FIRST, date(2026, 12, 31), ZONE)


@pytest.fixture
def now() -> Iterator[datetime]:
    """The moment at which evidence is requested."""
    with patch("django.utils.timezone.now", return_value=NOW):
        yield NOW


@pytest.fixture
def owner(db: None) -> Account:
    return factories.make_account("olivia@example.com")


@pytest.fixture
def project(owner: Account, storage_url: str, settings: Settings) -> Project:
    """A project backed up at 02:00 in Berlin since October, kept for 30 days."""
    made = factories.make_project_row(
        owner=owner, name="Cold Chain", slug="cold-chain", created_at=FOUNDED
    )
    MainDatabase.objects.filter(pk=made.pk).update(
        backup_time=time(2), backup_time_zone=ZONE, retention_days=30
    )
    return Project.objects.select_related("main_database", "server").get(pk=made.pk)


@pytest.fixture
def browser(client: Client, owner: Account) -> Client:
    client.force_login(owner)
    return client


def backup(project: Project, day: date, **fields: object) -> Snapshot:
    """Make a backup of a day, taken at 01:00 UTC unless it failed."""
    moment = datetime.combine(day, time(1), UTC)
    return factories.make_snapshot(
        project, **{"taken_at": moment, "local_date": day, "scheduled_for": moment, **fields}
    )


def fill(project: Project, first: date, last: date, *, without: tuple[date, ...] = ()) -> None:
    """Make a proven backup of each day with some exceptions."""
    day = first
    while day <= last:
        if day not in without:
            backup(
                project,
                day,
                verdict="passed",
                proven_at=datetime.combine(day, time(2), UTC),
                restore_seconds=2.5,
            )
        day += timedelta(days=1)


def happen(project: Project, action: str, at: datetime, **fields: object) -> AuditEvent:
    """Record an event in the audit log."""
    return AuditEvent.objects.create(
        project_id=project.pk, project_name=project.name, action=action, at=at, **fields
    )


def report_of(project: Project, period: Period = Q4, at: datetime = NOW) -> Report:
    """Return a period's evidence for the project's owner."""
    return make_report(Scope(project, period, at, [project.created_by_id]))


def the_bad_day(report: Report) -> tuple[str, str, str]:
    """Return the outcome, cause and reason of BAD, the only bad day."""
    (line,) = report.bad_days
    assert line.day == BAD
    return line.kind, line.cause, line.reason


def changed(project: Project, at: datetime, **pairs: tuple[object, object]) -> None:
    details = {name: {"old": old, "new": new} for name, (old, new) in pairs.items()}
    happen(project, "settings.changed", at, account_email="olivia@example.com", details=details)
