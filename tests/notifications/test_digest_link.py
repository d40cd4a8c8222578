"""The link that turns the weekly digest off, for readers and for mail programs."""

import pytest
from django.test import Client

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.notifications.digest_link import address_to_turn_off
from backups_portal.notifications.models import NotificationSettings
from backups_portal.projects.models import Membership, Project
from tests import factories
from tests.notifications.conftest import DUE
from tests.notifications.receivers import Mailbox
from tests.notifications.test_weekly_digest import parts, pass_time

pytestmark = pytest.mark.django_db


@pytest.fixture
def address(digest: NotificationSettings, project: Project, owner: Account) -> str:
    return address_to_turn_off(project, owner)


def test_the_letter_has_it_for_people_and_mail_programs(
    digest: NotificationSettings, address: str, letters: Mailbox
) -> None:
    pass_time(DUE)
    (letter,) = letters.messages
    link = f"https://portal.example.com{address}"
    assert letter["List-Unsubscribe"].strip() == f"<{link}>"
    assert letter["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert all(link in part for part in parts(letter))


def test_one_click_without_signing_in(
    client: Client, digest: NotificationSettings, address: str
) -> None:
    strict = Client(enforce_csrf_checks=True)
    assert "Turn the weekly digest off?" in strict.get(address).text
    digest.refresh_from_db()
    assert digest.next_digest_at, "whoever only follows links turns nothing off"
    for _ in range(2):
        answer = strict.post(address, {"List-Unsubscribe": "One-Click"})
        assert "The weekly digest is off" in answer.text
    digest.refresh_from_db()
    assert digest.next_digest_at is None
    event = AuditEvent.objects.filter(action="notifications.changed").latest("pk")
    assert event.account_email == "olivia@example.com"
    assert event.details == {"weekly_digest": {"old": "on", "new": "off"}}


@pytest.mark.parametrize("method", ["get", "post"])
def test_not_by_who_owns_it_no_more(
    client: Client, digest: NotificationSettings, address: str, method: str
) -> None:
    Membership.objects.update(role="collaborator")
    assert getattr(client, method)(address).status_code == 404
    digest.refresh_from_db()
    assert digest.next_digest_at


def test_not_with_another_project_in_it(
    client: Client, digest: NotificationSettings, address: str
) -> None:
    other = factories.make_project_row(owner=Account.objects.get(email="olivia@example.com"))
    signature = address.rstrip("/").rpartition(":")[2]
    forged = f"/digest/off/{other.pk.hex}-{other.created_by_id}:{signature}/"
    assert client.post(forged).status_code == 404


def test_the_form_has_it_too(client: Client, owner: Account, project: Project) -> None:
    client.force_login(owner)
    page = "/projects/cold-chain/notifications/"
    form = {"by_email": "on", "reminder_days": "7"}
    client.post(page, {**form, "weekly_digest": "on"})
    assert NotificationSettings.objects.get().next_digest_at
    event = AuditEvent.objects.filter(action="notifications.changed").latest("pk")
    assert event.details["weekly_digest"] == {"old": "off", "new": "on"}
    client.post(page, form)
    assert NotificationSettings.objects.get().next_digest_at is None
