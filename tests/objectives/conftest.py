"""A project with an owner, and shortcuts for its objectives and breaches."""

from datetime import UTC, datetime, timedelta

import pytest

from backups_portal.accounts.models import Account
from backups_portal.objectives.models import Breach, Objective
from backups_portal.projects.models import MainDatabase, Project
from tests import factories

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
# A Monday; the project was made ten days earlier.
BEGIN = datetime(2026, 11, 23, 3, tzinfo=UTC)


def at(hours: float) -> datetime:
    """Return the moment this many hours after the beginning."""
    return BEGIN + hours * HOUR


@pytest.fixture
def owner() -> Account:
    return factories.make_account("olivia@example.com")


@pytest.fixture
def project(owner: Account) -> Project:
    made = factories.make_project_row(
        owner=owner, name="Cold Chain", slug="cold-chain", created_at=at(-240)
    )
    MainDatabase.objects.update(next_snapshot_at=at(24))
    return made


def make_objective(
    project: Project, target: int = 26, *, kind: str = Objective.Kind.POINT, began: float = 0
) -> Objective:
    """Make an objective that is in force from this hour on."""
    return Objective.objects.create(
        project=project, kind=kind, target=target, began_at=at(began), checked_at=at(began)
    )


def spells_of(project: Project) -> list[tuple[float, float | None, str]]:
    """Return a project's breaches: from which hour until which, and how they ended."""

    def hours(moment: datetime | None) -> float | None:
        return None if moment is None else round((moment - BEGIN) / HOUR, 2)

    rows = Breach.objects.filter(objective__project=project).order_by("began_at")
    return [(hours(row.began_at) or 0.0, hours(row.ended_at), row.end) for row in rows]
