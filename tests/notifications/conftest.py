"""A project whose owner receives notifications, and servers that accept them."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.audit.hash_chain import seal_events
from backups_portal.audit.recorder import record
from backups_portal.notifications.delivery import deliver
from backups_portal.notifications.message_queue import plan_deliveries
from backups_portal.notifications.models import CHOSEN, Delivery, NotificationSettings
from backups_portal.notifications.notification_settings import Choice, change_notifications
from backups_portal.projects.models import MainDatabase, Project
from tests import factories
from tests.notifications.receivers import Mailbox, Receiver, mailbox, receiver


@pytest.fixture
def owner() -> Account:
    return factories.make_account("olivia@example.com")


@pytest.fixture
def project(owner: Account) -> Project:
    return factories.make_project_row(owner=owner, name="Cold Chain", slug="cold-chain")


@pytest.fixture
def hook(settings: Any) -> Iterator[Receiver]:
    """A receiver on this machine that the portal is allowed to call."""
    settings.WEBHOOK_PRIVATE_ADDRESSES = True
    with receiver() as running:
        yield running


@pytest.fixture
def letters(settings: Any) -> Iterator[Mailbox]:
    """A mail server that the portal sends through."""
    with mailbox() as box:
        settings.EMAIL_BACKEND = "backups_portal.lib.mail_backend.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = box.host, box.port
        settings.EMAIL_HOST_USER = settings.EMAIL_HOST_PASSWORD = ""
        settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
        settings.PORTAL_URL = "https://portal.example.com"
        yield box


DEFAULTS = {
    "by_email": True,
    "wanted": [kind.value for kind in CHOSEN],
    "reminder_days": 7,
    "webhook": "",
    "heartbeat": "",
}
# Changes a project's notification settings; unnamed ones get their defaults.
Choose = Callable[..., str]
# A Monday, 06:00 in Berlin; the digest is due at seven.
MONDAY = datetime(2026, 11, 23, 5, tzinfo=UTC)
DUE = MONDAY + timedelta(hours=1)


@pytest.fixture
def no_second_try(settings: Any) -> None:
    """Failed deliveries fail for good."""
    settings.NOTIFICATION_RETRY_MINUTES = []


@pytest.fixture
def choose(project: Project, owner: Account) -> Choose:
    def chosen(**values: Any) -> str:
        return change_notifications(
            project=project, actor=owner, choice=Choice(**{**DEFAULTS, **values})
        )

    return chosen


def happen(action: str, project: Project, **details: Any) -> None:
    """Record an event, and let a minute pass."""
    subject = "Backup of 2026-11-23"
    record(action=action, actor=None, project=project, subject=subject, details=details)
    seal_events()


def tell() -> list[Delivery]:
    """Do a tick's and its workers' job: create the deliveries, and try each once."""
    made = plan_deliveries(timezone.now())
    for delivery_id in made:
        deliver(delivery_id)
    return list(Delivery.objects.filter(pk__in=made).order_by("created_at", "channel"))


@pytest.fixture
def berlin(project: Project) -> None:
    """The project is in Berlin's time zone, and old enough for a digest."""
    MainDatabase.objects.update(
        backup_time_zone="Europe/Berlin", next_snapshot_at=MONDAY + timedelta(days=1)
    )
    Project.objects.update(created_at=MONDAY - timedelta(days=60))
    project.refresh_from_db()


@pytest.fixture
def digest(berlin: None, choose: Choose) -> NotificationSettings:
    """A project whose digest is due this Monday."""
    choose(weekly_digest=True)
    NotificationSettings.objects.update(next_digest_at=DUE)
    return NotificationSettings.objects.get()
