"""Owners are reminded at intervals of a restored project that is still running."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.notifications import reminders
from backups_portal.notifications.models import NotificationSettings
from backups_portal.notifications.reminders import remind_of_running
from backups_portal.projects.models import Project
from restores.models import Restore
from tests import factories

pytestmark = pytest.mark.django_db
DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)


@pytest.fixture
def now() -> datetime:
    return timezone.now()


def restored(project: Project, owner: Account, finished_at: datetime, **fields: Any) -> Project:
    """A project restored from a backup."""
    snapshot = project.snapshots.first() or factories.make_snapshot(project)
    made = factories.make_project_row(owner=owner)
    values = {"state": "completed", "finished_at": finished_at, "project": made, **fields}
    factories.make_restore(snapshot, requested_by=owner, **values)
    return made


def sent_reminders(project: Project) -> list[AuditEvent]:
    found = AuditEvent.objects.filter(project_id=project.pk, action="project.still_running")
    return list(found.order_by("pk"))


def remind(monkeypatch: pytest.MonkeyPatch, at: datetime) -> int:
    """Look for reminders at this moment, which recorded events then have."""
    monkeypatch.setattr(AuditEvent._meta.get_field("at"), "_get_default", lambda: at)
    return remind_of_running(at)


def test_after_a_week_and_again_after_another(
    project: Project, owner: Account, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = restored(project, owner, now)
    told = [
        remind(monkeypatch, now + wait)
        for wait in (7 * DAY - MINUTE, 7 * DAY, 8 * DAY, 14 * DAY - MINUTE, 14 * DAY + MINUTE)
    ]
    assert told == [0, 1, 0, 0, 1]
    first, second = sent_reminders(made)
    assert (first.details["days"], second.details["days"]) == (7, 14)
    assert f"“{made.name}” was restored from a backup of “Cold Chain”" in first.details["reason"]
    assert sent_reminders(project) == []


def test_after_as_many_days_as_the_owner_says(
    project: Project, owner: Account, now: datetime
) -> None:
    made = restored(project, owner, now)
    NotificationSettings.objects.create(project=made, reminder_days=2)
    assert remind_of_running(now + 2 * DAY - MINUTE) == 0
    assert remind_of_running(now + 2 * DAY) == 1


@pytest.mark.parametrize("state", ["shut_down", "removed"])
def test_not_of_one_that_does_not_run(
    project: Project, owner: Account, now: datetime, state: str
) -> None:
    made = restored(project, owner, now)
    Project.objects.filter(pk=made.pk).update(state=state)
    assert remind_of_running(now + 30 * DAY) == 0


def test_not_of_a_restore_that_failed(project: Project, owner: Account, now: datetime) -> None:
    restored(project, owner, now, state="failed", reason="It broke.")
    assert remind_of_running(now + 30 * DAY) == 0


def test_many_in_batches(
    project: Project, owner: Account, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reminders, "BATCH", 2)
    for _ in range(5):
        restored(project, owner, now - 30 * DAY)
    assert [remind_of_running(now), remind_of_running(now)] == [5, 0]
    assert Restore.objects.count() == 5


def test_a_reminder_after_one_day_says_day(project: Project, owner: Account, now: datetime) -> None:
    made = restored(project, owner, now)
    NotificationSettings.objects.create(project=made, reminder_days=1)
    remind_of_running(now + DAY)
    (reminder,) = sent_reminders(made)
    assert "” 1 day ago and is still running." in reminder.details["reason"]
