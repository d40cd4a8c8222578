"""The notifications page: choices, the secret shown once, a test, and past deliveries."""

import re
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries
from standardwebhooks import Webhook

from backups_portal.accounts.models import Account
from backups_portal.audit.audit_log import details_in_words
from backups_portal.audit.models import AuditEvent
from backups_portal.lib.limits import Limit
from backups_portal.notifications import tasks
from backups_portal.notifications.delivery import deliver
from backups_portal.notifications.models import (
    CHOSEN,
    HEARTBEAT_URL,
    Delivery,
    NotificationSettings,
    seal,
)
from backups_portal.notifications.notification_settings import TESTS, settings_of
from backups_portal.projects.models import Project
from tests import factories
from tests.notifications.receivers import Receiver

pytestmark = pytest.mark.django_db
SECRET = re.compile(r"whsec_[A-Za-z0-9+/=]+")
PAGE = "/projects/cold-chain/notifications/"
FORM = {
    "by_email": "on",
    "wanted": [kind.value for kind in CHOSEN],
    "reminder_days": "7",
    "webhook": "",
    "heartbeat": "",
}
MUTED = (
    "Backup missed, Backup unusually small, Check not passed, Recovery objective, "
    "Restore finished, Restored project still running"
)
HOOK = "https://hooks.example.com/services/T0PSECRET"


@pytest.fixture
def browser(project: Project, owner: Account, settings: Any) -> Client:
    """The owner's browser on a portal that sends e-mail."""
    settings.EMAIL_HOST = "mail.example.com"
    client = Client()
    client.force_login(owner)
    return client


@pytest.fixture(autouse=True)
def _workers_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def at_once(arguments: list[str], **_: Any) -> None:
        deliver(UUID(arguments[0]))

    monkeypatch.setattr(tasks.deliver, "apply_async", at_once)


def save(browser: Client, **changes: Any) -> Any:
    return browser.post(PAGE, {**FORM, **changes})


def last_change() -> AuditEvent:
    event = AuditEvent.objects.filter(action="notifications.changed").order_by("-pk").first()
    assert event is not None
    return event


def test_a_new_project_has_its_defaults(browser: Client) -> None:
    page = browser.get(PAGE)
    assert "no-store" in page.headers["Cache-Control"]
    text = page.content.decode()
    assert text.count("checked") == len(CHOSEN) + 1
    assert "Nothing sent yet" in text
    assert "This portal sends no e-mail" not in text
    assert not NotificationSettings.objects.exists()


def test_the_side_bar_leads_there(browser: Client) -> None:
    assert browser.get("/projects/cold-chain/").content.decode().count(f'href="{PAGE}"') == 1


def test_a_portal_without_a_mail_server_says_so(browser: Client, settings: Any) -> None:
    settings.EMAIL_HOST = ""
    assert "This portal sends no e-mail" in browser.get(PAGE).content.decode()


def test_what_is_chosen_is_kept_shown_and_recorded(browser: Client, project: Project) -> None:
    answer = save(browser, by_email="", wanted=["failed", "proof"], reminder_days="3")
    assert answer.headers["Location"] == PAGE
    row = settings_of(project)
    assert (row.by_email, row.reminder_days) == (False, 3)
    assert row.muted == ["missed", "size", "check", "objective", "restore", "running"]
    assert browser.get(PAGE).content.decode().count("checked") == 2
    assert details_in_words(last_change().details) == [
        "By email: on → off",
        f"Not told: nothing → {MUTED}",
        "Reminder days: 7 days → 3 days",
    ]
    save(browser, by_email="", wanted=["failed", "proof"], reminder_days="3")
    assert AuditEvent.objects.filter(action="notifications.changed").count() == 1


def test_the_secret_of_a_new_webhook_is_shown_once(browser: Client, project: Project) -> None:
    answer = save(browser, webhook=HOOK)
    assert answer.status_code == 200
    assert "no-store" in answer.headers["Cache-Control"]
    assert len(SECRET.findall(answer.content.decode())) == 1
    assert settings_of(project).webhook_url == HOOK
    again = browser.get(PAGE).content.decode()
    assert HOOK in again
    assert not SECRET.search(again)
    assert save(browser, webhook=HOOK).status_code == 302
    assert details_in_words(last_change().details) == ["Webhook: none → hooks.example.com"]


def test_another_address_of_the_same_host_is_recorded_without_it(
    browser: Client, project: Project
) -> None:
    save(browser, webhook=HOOK, heartbeat=HOOK)
    save(browser, webhook=f"{HOOK}2", heartbeat="")
    assert settings_of(project).heartbeat_url == ""
    assert details_in_words(last_change().details) == [
        "Webhook: hooks.example.com → hooks.example.com, another address",
        "Heartbeat: hooks.example.com → none",
    ]


def test_a_webhook_that_was_taken_away_comes_back_with_another_secret(browser: Client) -> None:
    first = SECRET.findall(save(browser, webhook=HOOK).content.decode())
    save(browser)
    second = SECRET.findall(save(browser, webhook=HOOK).content.decode())
    assert first != second


def test_a_new_secret(browser: Client) -> None:
    assert browser.post(f"{PAGE}secret/").status_code == 409
    first = SECRET.findall(save(browser, webhook=HOOK).content.decode())
    answer = browser.post(f"{PAGE}secret/")
    second = SECRET.findall(answer.content.decode())
    assert len(second) == 1
    assert first != second
    assert f'action="{PAGE}"' in answer.content.decode(), "the form still saves"
    assert AuditEvent.objects.filter(action="notifications.secret_renewed").count() == 1


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("webhook", "ftp://example.com/", "begins with https://"),
        ("heartbeat", "hooks.example.com", "begins with https://"),
        ("webhook", "https://example.com:x/", "not a web address"),
        ("webhook", "https://u:p@example.com/", "name and password"),
        ("heartbeat", "https://u@example.com/", "name and password"),
        ("webhook", "https://example.com/" + "x" * 2000, "at most 2000 characters"),
        ("reminder_days", "0", "Enter 1 or more."),
        ("reminder_days", "", "required"),
        ("wanted", ["everything"], "not one of the choices"),
    ],
)
def test_what_cannot_be(browser: Client, name: str, value: Any, words: str) -> None:
    answer = save(browser, **{name: value})
    assert answer.status_code == 400
    assert words in answer.content.decode()
    assert not NotificationSettings.objects.exists()


def test_a_password_from_before_is_not_shown(browser: Client, project: Project) -> None:
    """Old versions saved such addresses; the part before the host was never sent."""
    row = settings_of(project)
    row.sealed_heartbeat_url = seal("https://u:s3cret@hooks.example.com/x?y=1", HEARTBEAT_URL)
    row.save()
    page = browser.get(PAGE).content.decode()
    assert "s3cret" not in page
    assert "https://hooks.example.com/x?y=1" in page


class TestTest:
    def test_it_goes_to_who_asks_and_to_the_webhook_and_to_no_heartbeat(
        self,
        browser: Client,
        project: Project,
        hook: Receiver,
        django_capture_on_commit_callbacks: Any,
    ) -> None:
        factories.make_membership(project, factories.make_account(), "owner")
        shown = save(browser, webhook=hook.url, heartbeat=f"{hook.url}/beat").content.decode()
        (secret,) = SECRET.findall(shown)
        with django_capture_on_commit_callbacks(execute=True):
            browser.post(f"{PAGE}test/")
        text = browser.get(PAGE).content.decode()
        assert "A test is on its way" in text
        assert text.count("state-good") == 2
        assert [message.to for message in mail.outbox] == [["olivia@example.com"]]
        (asked,) = hook.asked
        assert Webhook(secret).verify(asked.body, asked.headers)["type"] == "notifications.tested"

    def test_there_must_be_somewhere_to_send_it(self, browser: Client) -> None:
        save(browser, by_email="")
        text = browser.post(f"{PAGE}test/", follow=True).content.decode()
        assert "nowhere to send a test." in text
        assert not Delivery.objects.exists()

    def test_without_a_mail_server_it_does_not_ask_for_e_mail(
        self, browser: Client, settings: Any
    ) -> None:
        settings.EMAIL_HOST = ""
        save(browser, by_email="on")
        text = browser.post(f"{PAGE}test/", follow=True).content.decode()
        assert "but this portal" in text
        assert "Tick “E-mail" not in text

    def test_not_as_many_as_somebody_likes(self, browser: Client) -> None:
        for _ in range(TESTS.tries):
            browser.post(f"{PAGE}test/")
        text = browser.post(f"{PAGE}test/", follow=True).content.decode()
        assert "Try again in" in text
        assert Delivery.objects.count() == TESTS.tries

    def test_a_wait_of_a_minute_is_in_the_singular(
        self, browser: Client, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Limit, "take", lambda *_: 30)
        text = browser.post(f"{PAGE}test/", follow=True).content.decode()
        assert "Try again in 1 minute." in text


class TestList:
    def make(self, project: Project, number: int, **fields: Any) -> None:
        owner = project.created_by
        for event in range(number):
            Delivery.objects.create(
                **{
                    "project": project,
                    "event_id": event,
                    "kind": "failed",
                    "channel": "email",
                    "account": owner,
                    "message": {"data": {"subject": "Backup of 2024-11-23"}},
                    "state": "sent",
                    "finished_at": timezone.now(),
                    **fields,
                }
            )

    def test_what_became_of_it(self, browser: Client, project: Project) -> None:
        self.make(project, 1, state="failed", reason="It answered 500.", attempts=5)
        text = " ".join(re.sub(r"<[^>]+>", " ", browser.get(PAGE).content.decode()).split())
        assert "Backup failed Backup of 23 Nov 2024 E-mail olivia@example.com Failed" in text
        assert "It answered 500. 5 attempts" in text

    def test_it_asks_for_itself_while_something_is_under_way(
        self, browser: Client, project: Project
    ) -> None:
        then = timezone.now() + timedelta(minutes=5)
        self.make(project, 1, state="queued", finished_at=None, reason="No.", retry_at=then)
        text = browser.get(PAGE).content.decode()
        assert f'hx-get="{PAGE}?page=1"' in text
        assert "Next attempt" in text
        part = browser.get(f"{PAGE}?page=1", headers={"HX-Request": "true"})
        assert part.content.decode().lstrip().startswith('<div id="deliveries"')
        assert part.headers["Vary"].count("HX-Request") == 1
        Delivery.objects.update(state="sent", finished_at=timezone.now())
        assert "hx-get" not in browser.get(PAGE).content.decode()

    def test_not_those_of_another_project(self, browser: Client, owner: Account) -> None:
        self.make(factories.make_project_row(owner=owner), 1)
        assert "Nothing sent yet" in browser.get(PAGE).content.decode()

    @pytest.mark.parametrize("number", [1, 100])
    def test_it_asks_as_often_for_one_as_for_many(
        self,
        browser: Client,
        project: Project,
        number: int,
        django_assert_num_queries: DjangoAssertNumQueries,
    ) -> None:
        self.make(project, number)
        browser.get("/account/")
        with django_assert_num_queries(7):
            browser.get(PAGE)


@pytest.mark.parametrize("path", [PAGE, f"{PAGE}secret/", f"{PAGE}test/"])
def test_it_is_the_owners_alone(project: Project, path: str) -> None:
    colleague, stranger = factories.make_account(), factories.make_account()
    factories.make_membership(project, colleague)
    for account, status in ((colleague, 403), (stranger, 404)):
        client = Client()
        client.force_login(account)
        answer = client.post(path, FORM)
        assert answer.status_code == status
        if status == 403:
            assert "Only project owners can manage notifications." in answer.content.decode()
    assert not NotificationSettings.objects.exists()
