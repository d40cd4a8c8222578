"""A missing backup sends one e-mail when the objective is broken, and one when it is met."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.audit.hash_chain import seal_events
from backups_portal.notifications.models import NotificationSettings
from backups_portal.objectives.models import Breach, Objective
from backups_portal.objectives.tasks import check_objectives
from backups_portal.projects.models import Project
from tests import factories
from tests.notifications.conftest import letters, tell
from tests.notifications.receivers import Mailbox

pytestmark = pytest.mark.django_db
__all__ = ["letters"]
HOUR = timedelta(hours=1)


@pytest.fixture
def missed(owner: Account) -> Project:
    """A project whose newest backup is too old for its objective."""
    now = timezone.now()
    project = factories.make_project_row(
        owner=owner, name="Cold Chain", slug="cold-chain", created_at=now - 240 * HOUR
    )
    began = now - 48 * HOUR
    Objective.objects.create(
        project=project, kind="point", target=26, began_at=began, checked_at=began
    )
    for hours in (55, 31):
        taken_at = now - hours * HOUR
        factories.make_snapshot(
            project, taken_at=taken_at, local_date=began.date() - timedelta(days=hours)
        )
    return project


def minutes_pass(number: int) -> list[str]:
    """Run scans and ticks; return the subjects of their e-mails."""
    sent: list[Any] = []
    for _ in range(number):
        check_objectives()
        seal_events()
        sent += tell()
    return [str(delivery.message["data"]["title"]) for delivery in sent]


def test_by_mail_when_it_breaks_and_when_it_is_met(missed: Project, letters: Mailbox) -> None:
    assert minutes_pass(3) == ["Recovery objective missed"]
    (letter,) = letters.messages
    assert letter["Subject"] == "Recovery objective missed: Cold Chain"
    said = " ".join(letter.get_content().split())
    assert "Recovery point: at most 26 hours. Since" in said
    assert "UTC, the newest good backup is older than 26 hours" in said
    assert "/projects/cold-chain/objectives/" in said

    factories.make_snapshot(missed, finished_at=timezone.now())
    assert minutes_pass(3) == ["Recovery objective met again"]
    said = " ".join(letters.messages[1].get_content().split())
    assert "A newer good backup is stored. Missed from" in said


def test_not_where_it_is_muted(missed: Project, letters: Mailbox) -> None:
    NotificationSettings.objects.create(project=missed, muted=["objective"])
    assert minutes_pass(1) == []
    assert Breach.objects.exists()


def test_not_of_a_project_that_is_shut_down_meanwhile(missed: Project, letters: Mailbox) -> None:
    check_objectives()
    Project.objects.update(state="shut_down", shut_down_at=timezone.now())
    assert minutes_pass(2) == []
    assert Breach.objects.get().end == "stopped"
