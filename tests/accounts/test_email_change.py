"""An account's new e-mail address, which takes effect once its link is opened."""

import re
from io import StringIO
from typing import Any

import pytest
from allauth.account.forms import AddEmailForm
from allauth.account.models import EmailAddress
from django.contrib.messages import SUCCESS
from django.core import mail
from django.core.mail import EmailMessage
from django.core.management import call_command
from django.db import IntegrityError
from django.http import HttpRequest
from django.test import Client

from backups_portal.accounts import tasks
from backups_portal.accounts.account_adapter import AccountAdapter
from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.lib.mail_backend import NOT_ACCEPTED
from tests import factories
from tests.accounts.test_passwords import NEW, change, forget, link
from tests.accounts.test_security import confirm
from tests.accounts.test_sign_in import sign_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def account(client: Client) -> Account:
    account = factories.make_account("olivia@example.com")
    account.vouch_for_email()
    sign_in(client, account.email)
    confirm(client)
    return account


def confirmation() -> str:
    assert "three days" in str(mail.outbox[-1].body)
    return link()


def test_another_email_counts_once_it_is_confirmed(
    client: Client,
    account: Account,
    letters: list[str],
    django_capture_on_commit_callbacks: Any,
) -> None:
    new = {"email": "olivia@elsewhere.example", "action_add": ""}
    assert client.post("/account/email/", new).status_code == 302
    assert "sent a link to your new e-mail" in client.get("/account/email/").text
    assert mail.outbox[-1].to == ["olivia@elsewhere.example"]
    account.refresh_from_db()
    assert account.email == "olivia@example.com"
    assert "Confirm your e-mail" in client.get(confirmation()).text
    account.refresh_from_db()
    assert account.email == "olivia@example.com", "a mail scanner opens links, too"
    with django_capture_on_commit_callbacks(execute=True):
        client.post(confirmation())
    account.refresh_from_db()
    assert account.email == "olivia@elsewhere.example"
    assert sign_in(Client(), "olivia@elsewhere.example").status_code == 302
    assert sign_in(Client(), "olivia@example.com").status_code == 400
    event = AuditEvent.objects.get(action="account.email_changed")
    assert event.details == {"from": "olivia@example.com"}
    assert mail.outbox[-1].to == ["olivia@example.com"]
    assert "now signs in with olivia@elsewhere.example" in str(mail.outbox[-1].body)


def test_the_old_address_is_told_by_a_worker_once_the_change_is_committed(
    client: Client,
    account: Account,
    letters: list[str],
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:
    send, slow = EmailMessage.send, [TimeoutError(), TimeoutError()]

    def sending(message: EmailMessage) -> int:
        if slow:
            raise slow.pop()
        return send(message)

    client.post("/account/email/", {"email": "olivia@elsewhere.example", "action_add": ""})
    url = confirmation()
    sent: list[tuple[object, ...]] = []
    monkeypatch.setattr(tasks.send_notice, "delay", lambda *arguments: sent.append(arguments))
    monkeypatch.setattr(EmailMessage, "send", sending)
    with django_capture_on_commit_callbacks() as waiting:
        assert client.post(url).status_code == 302
    assert sent == []
    for callback in waiting:
        callback()
    account.refresh_from_db()
    assert account.email == "olivia@elsewhere.example"
    (arguments,) = sent
    assert tasks.send_notice.apply(arguments).successful()
    assert slow == []
    assert mail.outbox[-1].to == ["olivia@example.com"]


@pytest.mark.usefixtures("letters")
@pytest.mark.parametrize("minutes", [[1, 5, 30, 120], [90], [], [0, 31]])
def test_a_notice_waits_for_a_mail_server_as_long_as_notifications_do(
    minutes: list[int],
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings.NOTIFICATION_RETRY_MINUTES = minutes
    waits, again = [], tasks.send_notice.signature_from_request

    def waiting(*arguments: Any, **options: Any) -> Any:
        waits.append(options["countdown"])
        return again(*arguments, **options)

    def away(_: EmailMessage) -> int:
        raise ConnectionRefusedError

    monkeypatch.setattr(EmailMessage, "send", away)
    monkeypatch.setattr(tasks.send_notice, "signature_from_request", waiting)
    arguments = ("account/email/email_changed", "olivia@example.com", {})
    assert isinstance(tasks.send_notice.apply(arguments).result, ConnectionRefusedError)
    assert NOT_ACCEPTED in caplog.text
    # The last wait is computed before the limit is noticed.
    assert sum(waits[: len(tasks.notice_waits())]) == 60 * sum(minutes)
    # Redis redelivers a message that a worker has held for an hour.
    assert max([seconds for seconds in waits if seconds], default=0) < 3600


def test_the_old_address_is_told_while_redis_is_away(
    client: Client,
    account: Account,
    letters: list[str],
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:
    send, waiting = EmailMessage.send, []

    def away(_: EmailMessage) -> int:
        raise ConnectionRefusedError

    for email in ("first@elsewhere.example", "second@elsewhere.example"):
        client.post("/account/email/", {"email": email, "action_add": ""})
        with django_capture_on_commit_callbacks() as callbacks:
            client.post(confirmation())
        waiting.append(callbacks)
    settings.REDIS_URL = "redis://127.0.0.1:1/0"
    before = len(mail.outbox)
    for sending, callbacks in zip((send, away), waiting, strict=True):
        monkeypatch.setattr(EmailMessage, "send", sending)
        for callback in callbacks:
            callback()
    (told,) = mail.outbox[before:]
    assert told.to == ["olivia@example.com"]


def test_a_change_that_is_rolled_back_tells_nobody(
    client: Client,
    account: Account,
    letters: list[str],
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:
    client.post("/account/email/", {"email": "olivia@elsewhere.example", "action_add": ""})
    url, before = confirmation(), len(mail.outbox)
    say = AccountAdapter.add_message

    def late(adapter: AccountAdapter, request: HttpRequest, level: int, *rest: Any) -> None:
        if level == SUCCESS:
            raise IntegrityError
        say(adapter, request, level, *rest)

    monkeypatch.setattr(AccountAdapter, "add_message", late)
    with django_capture_on_commit_callbacks(execute=True):
        client.post(url)
    account.refresh_from_db()
    assert account.email == "olivia@example.com"
    assert len(mail.outbox) == before


def test_a_double_click_sends_one_link(
    client: Client, account: Account, letters: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    new = {"email": "olivia@elsewhere.example", "action_add": ""}
    look = AddEmailForm.clean_email

    def overtaken(form: AddEmailForm) -> str:
        monkeypatch.setattr(AddEmailForm, "clean_email", look)
        found = look(form)
        assert client.post("/account/email/", new).status_code == 302
        return found

    monkeypatch.setattr(AddEmailForm, "clean_email", overtaken)
    before = len(mail.outbox)
    assert client.post("/account/email/", new).status_code == 302
    assert len(mail.outbox) == before + 1
    client.post(confirmation())
    account.refresh_from_db()
    assert account.email == "olivia@elsewhere.example"


def test_of_two_accounts_one_confirms_an_address(
    client: Client, account: Account, letters: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    email = "olivia@elsewhere.example"
    client.post("/account/email/", {"email": email, "action_add": ""})
    other, can = factories.make_account("other@example.com"), EmailAddress.can_set_verified

    def overtaken(address: EmailAddress) -> bool:
        monkeypatch.setattr(EmailAddress, "can_set_verified", can)
        found = can(address)
        EmailAddress.objects.create(user=other, email=email, verified=True)
        return found

    monkeypatch.setattr(EmailAddress, "can_set_verified", overtaken)
    assert client.post(confirmation()).status_code < 500
    account.refresh_from_db()
    assert account.email == "olivia@example.com"


@pytest.mark.parametrize("way", ["changed", "forgotten", "by the operator"])
def test_a_new_password_ends_a_change_of_the_email_that_waits(
    client: Client, account: Account, letters: list[str], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Otherwise an intruder at the browser could still take the account through their link."""
    client.post("/account/email/", {"email": "mallory@example.com", "action_add": ""})
    theirs = confirmation()
    if way == "changed":
        change(client, factories.PASSWORD)
    elif way == "forgotten":
        forget(account.email)
        visitor = Client()
        form = visitor.get(link())["Location"]
        visitor.post(form, {"password1": NEW, "password2": NEW})
    else:
        monkeypatch.setattr("getpass.getpass", lambda *_, **__: NEW)
        call_command("changepassword", account.email, stdout=StringIO())
    account.refresh_from_db()
    assert account.check_password(NEW)
    Client().post(theirs)
    account.refresh_from_db()
    assert account.email == "olivia@example.com"


def test_the_email_of_a_closed_account_stays(
    client: Client, account: Account, letters: list[str]
) -> None:
    client.post("/account/email/", {"email": "olivia@elsewhere.example", "action_add": ""})
    Account.objects.update(is_active=False)
    Client().post(confirmation())
    account.refresh_from_db()
    assert account.email == "olivia@example.com"


def test_the_email_of_another_is_taken_by_nobody(
    client: Client, account: Account, letters: list[str]
) -> None:
    factories.make_account("mallory@example.com").vouch_for_email()
    answers = []
    for email in ("mallory@example.com", "nobody@example.com"):
        sent = client.post("/account/email/", {"email": email, "action_add": ""})
        page = client.get("/account/email/").text.replace(email, "")
        answers.append((sent.status_code, re.sub(r'(?:value|content)="[^"]*"', "", page)))
    assert answers[0] == answers[1]
    # That letter reveals nothing to its reader, and its links change nothing.
    for message in mail.outbox:
        (opened,) = re.findall(r"https://portal\.example\.com(\S+)", str(message.body))
        reader = Client()
        if message.to == ["mallory@example.com"]:
            assert "no longer works" in reader.get(opened).text
            reader.post(opened)
    account.refresh_from_db()
    assert account.email == "olivia@example.com"


def test_a_mail_server_that_is_away_is_said(
    client: Client, account: Account, letters: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr("django.core.mail.EmailMessage.send", away)
    new = {"email": "olivia@elsewhere.example", "action_add": ""}
    assert "send e-mail right now" in client.post("/account/email/", new, follow=True).text
