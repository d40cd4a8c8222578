"""Passwords: asked for again, forgotten, and changed."""

import re
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from allauth.account.utils import user_pk_to_url_str
from celery.exceptions import OperationalError
from django.core import mail
from django.test import Client

from backups_portal.accounts import tasks
from backups_portal.accounts.models import Account
from backups_portal.accounts.password_reset import send_link
from backups_portal.audit.models import AuditEvent
from backups_portal.projects.models import Project
from restores.models import Restore
from snapshots.models import Snapshot
from tests import factories
from tests.accounts.test_sign_in import sign_in

pytestmark = pytest.mark.django_db
NEW = "a new one, and long"


@pytest.fixture
def account(client: Client) -> Account:
    account = factories.make_account("olivia@example.com")
    sign_in(client, account.email)
    return account


@pytest.fixture
def snapshot(account: Account) -> Snapshot:
    return factories.make_snapshot(factories.make_project_row(owner=account))


def address(snapshot: Snapshot, what: str) -> str:
    project = f"/projects/{snapshot.project.slug}/"
    return {
        "restore": f"{project}backups/{snapshot.pk}/restore/",
        "shut-down": f"{project}shut-down/",
        "tokens": f"{project}tokens/",
    }[what]


@pytest.mark.parametrize("what", ["restore", "shut-down"])
def test_who_has_just_signed_in_is_not_asked(client: Client, snapshot: Snapshot, what: str) -> None:
    assert client.get(address(snapshot, what)).status_code == 200


@pytest.mark.parametrize(
    ("what", "method"), [("restore", "get"), ("shut-down", "get"), ("tokens", "post")]
)
def test_a_browser_left_open_is_asked_and_led_back(
    client: Client, snapshot: Snapshot, what: str, method: str
) -> None:
    factories.age_sign_in(client, timedelta(minutes=16))
    url = address(snapshot, what)
    asked = getattr(client, method)(url)
    assert asked.status_code == 302
    question = urlsplit(asked["Location"])
    assert question.path == "/account/password-again/"
    page = client.get(asked["Location"]).content.decode()
    assert f'name="next" value="{url}"' in page
    # The page that follows would look as if the form had been sent.
    assert ("Nothing has been done yet." in page) == (method == "post")

    wrong = client.post(question.path, {"password": "wrong", "next": url})
    assert wrong.status_code == 400
    assert client.get(address(snapshot, "restore")).status_code == 302, "still asked"
    right = client.post(question.path, {"password": factories.PASSWORD, "next": url})
    assert right["Location"] == url
    assert client.get(url).status_code in (200, 503)


def test_another_try_of_a_restore_needs_the_password(client: Client, snapshot: Snapshot) -> None:
    restore = factories.make_restore(
        snapshot, requested_by=snapshot.project.created_by, state="failed", reason="It broke."
    )
    factories.age_sign_in(client, timedelta(minutes=16))
    asked = client.post(f"/restores/{restore.pk}/retry/")
    assert asked["Location"] == f"/account/password-again/?next=%2Frestores%2F{restore.pk}%2F"
    restore.refresh_from_db()
    assert restore.state == "failed"


def test_what_was_filled_in_for_long_is_not_thrown_away(client: Client, snapshot: Snapshot) -> None:
    url = address(snapshot, "shut-down")
    factories.age_sign_in(client, timedelta(minutes=45))
    assert client.post(url, {"name": "not its name"}).status_code == 400
    factories.age_sign_in(client, timedelta(minutes=61))
    assert client.post(url, {"name": snapshot.project.name}).status_code == 302
    assert Project.objects.get().state == Project.State.ACTIVE
    factories.age_sign_in(client, timedelta(minutes=61))
    assert client.post(address(snapshot, "restore"), {"name": "x"}).status_code == 302
    assert not Restore.objects.exists()


def test_a_clock_that_was_set_back_opens_nothing(client: Client, snapshot: Snapshot) -> None:
    factories.age_sign_in(client, timedelta(minutes=-5))
    assert client.get(address(snapshot, "restore")).status_code == 302


def test_a_collaborator_is_refused_before_being_asked(client: Client, snapshot: Snapshot) -> None:
    colleague = factories.make_account()
    factories.make_membership(snapshot.project, colleague)
    client.force_login(colleague)
    factories.age_sign_in(client, timedelta(days=1))
    assert client.get(address(snapshot, "restore")).status_code == 403


def test_it_leads_back_to_this_portal_only(client: Client, account: Account) -> None:
    for elsewhere in ("https://evil.example/", "//evil.example/", "javascript:alert(1)"):
        form = {"password": factories.PASSWORD, "next": elsewhere}
        assert client.post("/account/password-again/", form)["Location"] == "/"


def test_guesses_are_slowed_down(client: Client, account: Account) -> None:
    answers = [
        client.post("/account/password-again/", {"password": str(n)}).status_code for n in range(7)
    ]
    assert answers == [400] * 5 + [429] * 2


def link() -> str:
    (found,) = re.findall(r"https://portal\.example\.com(\S+)", str(mail.outbox[-1].body))
    return str(found)


def forget(email: str) -> Any:
    return Client().post("/sign-in/forgotten/", {"email": email})


def test_a_forgotten_password(client: Client, account: Account, letters: list[str]) -> None:
    visitor = Client()
    assert "Forgot your password?" in visitor.get("/sign-in/").content.decode()
    answer = visitor.post("/sign-in/forgotten/", {"email": "OLIVIA@example.com"})
    assert answer["Location"] == "/sign-in/forgotten/sent/"
    assert "works once, for one hour" in visitor.get(answer["Location"]).text
    assert mail.outbox[0].to == ["olivia@example.com"]

    opened = visitor.get(link())
    assert opened["Location"].endswith("-set-password/"), "no token stays in the address"
    page = visitor.get(opened["Location"])
    assert page.status_code == 200
    assert "no-store" in page["Cache-Control"]
    weak = visitor.post(opened["Location"], {"password1": "password", "password2": "password"})
    assert weak.status_code == 400
    assert "too common" in weak.content.decode()
    other = visitor.post(opened["Location"], {"password1": NEW, "password2": "another"})
    assert "match. Type the new" in other.content.decode()
    done = visitor.post(opened["Location"], {"password1": NEW, "password2": NEW})
    assert done["Location"] == "/sign-in/"

    account.refresh_from_db()
    assert account.check_password(NEW)
    assert client.get("/account/").status_code == 302, "other browsers are signed out"
    assert visitor.get("/account/").status_code == 302, "the link signs nobody in"
    event = AuditEvent.objects.get(action="account.password_reset")
    assert event.account_id == account.pk
    assert Client().get(link()).status_code == 410, "it works once"
    assert visitor.post(opened["Location"], {"password1": "x", "password2": "x"}).status_code == 410


def test_a_link_opened_twice_sets_one_password(account: Account, letters: list[str]) -> None:
    forget(account.email)
    first, second = Client(), Client()
    form = first.get(link())["Location"]
    assert second.get(link())["Location"] == form
    assert first.post(form, {"password1": NEW, "password2": NEW}).status_code == 302
    late = second.post(form, {"password1": "one more, and long", "password2": "one more, and long"})
    assert late.status_code == 410
    account.refresh_from_db()
    assert account.check_password(NEW)


def test_a_link_ends_with_the_address_it_was_sent_to(account: Account, letters: list[str]) -> None:
    forget(account.email)
    Account.objects.update(email="olivia@elsewhere.example")
    assert Client().get(link()).status_code == 410


def test_the_link_of_one_account_opens_no_other(account: Account, letters: list[str]) -> None:
    other = factories.make_account("mallory@example.com")
    forget(other.email)
    stolen = link().replace(f"/{user_pk_to_url_str(other)}-", f"/{user_pk_to_url_str(account)}-")
    assert stolen != link()
    assert Client().get(stolen).status_code == 410


def test_an_address_without_an_account_is_answered_the_same(
    client: Client, account: Account, letters: list[str]
) -> None:
    answers = [forget(email) for email in ("nobody@example.com", account.email)]
    assert {(one.status_code, one["Location"], one.text) for one in answers} == {
        (302, "/sign-in/forgotten/sent/", "")
    }
    assert [message.to for message in mail.outbox] == [[account.email]]
    # The request only enqueues a message, so that its timing reveals nothing.
    assert letters == ["nobody@example.com", account.email]


def test_nobody_fills_a_mailbox(account: Account, letters: list[str]) -> None:
    codes = [forget(account.email).status_code for _ in range(21)]
    assert (len(letters), codes) == (3, [302] * 20 + [429])


def test_another_spelling_fills_it_no_faster(letters: list[str]) -> None:
    factories.make_account("oskar@example.com")
    # The database uppercases all of these to the same text.
    for name in ("oskar", "OSKAR", "o\u017fkar", "o\u017fKAR", "Oskar"):
        forget(f"{name}@example.com")
    assert len(letters) == 3


@pytest.mark.parametrize("path", ["", "0-0/", "1-x/", "zz-a-b/", "1-set-password/"])
def test_links_that_were_made_up(path: str, account: Account) -> None:
    answer = Client().get(f"/sign-in/new-password/{path}")
    assert answer.status_code == 410
    assert "Send a new link" in answer.content.decode()


def test_a_link_of_version_0_1_says_that_it_is_over(account: Account) -> None:
    assert Client().get("/sign-in/new-password/?account=MQ&token=abc-def").status_code == 410


def test_a_link_is_too_old_after_an_hour(
    account: Account, letters: list[str], settings: Any
) -> None:
    send_link(account.email)
    settings.PASSWORD_RESET_TIMEOUT = -1
    assert Client().get(link()).status_code == 410


@pytest.mark.parametrize("over", ["account closed", "passwords off"])
@pytest.mark.parametrize("when", ["opened", "sent"])
def test_a_link_ends_with_the_account_and_with_passwords(
    account: Account, letters: list[str], settings: Any, over: str, when: str
) -> None:
    forget(account.email)
    visitor, address = Client(), link()
    if when == "sent":
        address = visitor.get(address)["Location"]
    if over == "account closed":
        Account.objects.update(is_active=False)
    settings.PASSWORD_SIGN_IN = over != "passwords off"
    sent = {"password1": NEW, "password2": NEW}
    assert (
        visitor.post(address, sent) if when == "sent" else visitor.get(address)
    ).status_code == 410
    account.refresh_from_db()
    assert account.check_password(factories.PASSWORD)


def test_a_portal_without_mail_says_whom_to_ask(settings: Any) -> None:
    settings.EMAIL_HOST = ""
    assert "Ask its operator" in Client().get("/sign-in/forgotten/").content.decode()
    assert forget("a@example.com").status_code == 400


def test_a_queue_that_is_away_is_said(
    account: Account, letters: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(email: str) -> None:
        raise OperationalError

    monkeypatch.setattr(tasks.send_reset_link, "delay", away)
    answer = forget(account.email)
    assert (answer.status_code, "send e-mail right now" in answer.text) == (503, True)


def change(client: Client, old: str) -> Any:
    form = {"oldpassword": old, "password1": NEW, "password2": NEW}
    return client.post("/account/password/", form)


def test_changing_it_signs_the_others_out(client: Client, account: Account) -> None:
    elsewhere = Client()
    sign_in(elsewhere, account.email)
    assert change(client, "wrong").status_code == 400
    assert change(client, factories.PASSWORD)["Location"] == "/account/"
    assert "Your password was changed." in client.get("/account/").text
    assert elsewhere.get("/account/").status_code == 302
    account.refresh_from_db()
    assert account.check_password(NEW)
    assert AuditEvent.objects.filter(action="account.password_changed").exists()


def test_an_open_browser_guesses_five_old_passwords(client: Client, account: Account) -> None:
    assert [change(client, str(n)).status_code for n in range(7)] == [400] * 5 + [429] * 2
    assert AuditEvent.objects.filter(action="account.password_refused").count() == 5
    assert AuditEvent.objects.filter(action="session.locked").count() == 1
