"""Signing in and out."""

from urllib.parse import urlsplit

import pytest
from django.http import QueryDict
from django.test import Client

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from tests import factories

pytestmark = pytest.mark.django_db


@pytest.fixture
def account() -> Account:
    return factories.make_account("Olivia@Example.com")


def sign_in(client: Client, email: str, password: str = factories.PASSWORD, **data: str):
    return client.post("/sign-in/", {"username": email, "password": password, **data})


@pytest.mark.parametrize("email", ["olivia@example.com", "OLIVIA@EXAMPLE.COM"])
def test_email_signs_in_whatever_its_case(client: Client, account: Account, email: str) -> None:
    response = sign_in(client, email)
    assert response.status_code == 302
    assert response["Location"] == "/"
    assert client.session["_auth_user_id"] == str(account.pk)


def test_password_is_stored_with_argon2(account: Account) -> None:
    assert account.password.startswith("argon2$argon2id$")


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("olivia@example.com", "wrong"),
        ("nobody@example.com", factories.PASSWORD),
    ],
)
def test_wrong_sign_in_is_refused_with_a_trace(
    client: Client, account: Account, email: str, password: str
) -> None:
    response = sign_in(client, email, password)
    assert response.status_code == 400
    assert "_auth_user_id" not in client.session
    event = AuditEvent.objects.get()
    assert (event.action, event.account_id) == ("session.refused", None)
    assert event.address == "127.0.0.1"


@pytest.mark.parametrize(
    ("email", "password"),
    [
        ("not an e-mail", "x"),
        ("olivia@example.com\0", "x"),
        ("", ""),
        ("a" * 400 + "@example.com", "x"),
        ("olivia@example.com", "x" * 5000),
    ],
)
def test_what_is_no_sign_in_is_looked_up_nowhere(
    client: Client, account: Account, email: str, password: str
) -> None:
    assert sign_in(client, email, password).status_code == 400
    assert not AuditEvent.objects.exists()


def test_closed_account_cannot_sign_in(client: Client, account: Account) -> None:
    Account.objects.update(is_active=False)
    assert sign_in(client, "olivia@example.com").status_code == 400


def test_anonymous_goes_to_sign_in_and_back(client: Client, account: Account) -> None:
    asked = client.get("/projects/fleet/charges/?page=2")
    assert asked["Location"] == "/sign-in/?next=/projects/fleet/charges/%3Fpage%3D2"
    response = sign_in(client, account.email, next="/projects/fleet/charges/?page=2")
    assert response["Location"] == "/projects/fleet/charges/?page=2"


def test_whose_session_ended_reads_that_nothing_was_done(client: Client, account: Account) -> None:
    asked = client.post("/projects/fleet/shut-down/", {"name": "Fleet"})
    page = client.get(asked["Location"]).text
    assert "Your session has ended, so nothing was changed." in page
    assert "Sign in to continue." not in page
    # The message appears once, and only to a visitor who has sent something.
    asked = client.get("/projects/fleet/shut-down/")
    assert "session has ended" not in client.get(asked["Location"]).text


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example/", "javascript:x"])
def test_sign_in_never_leads_elsewhere(client: Client, account: Account, elsewhere: str) -> None:
    assert sign_in(client, account.email, next=elsewhere)["Location"] == "/"


def test_sign_out_ends_the_session_and_is_audited(client: Client, account: Account) -> None:
    sign_in(client, account.email)
    response = client.post("/sign-out/")
    assert response["Location"] == "/sign-in/"
    assert "_auth_user_id" not in client.session
    actions = list(AuditEvent.objects.order_by("pk").values_list("action", "account_id"))
    assert actions == [("session.signed_in", account.pk), ("session.signed_out", account.pk)]


def test_a_link_cannot_sign_out(client: Client, account: Account) -> None:
    client.force_login(account)
    assert client.get("/sign-out/").status_code == 405
    assert "_auth_user_id" in client.session


@pytest.mark.parametrize(
    ("referer", "back"),
    [
        ("http://testserver/restores/1/?device=a", "/restores/1/?device=a"),
        ("https://elsewhere.example/restores/1/", "/"),
        ("http://testserver.elsewhere.example/", "/"),
        ("nonsense", "/"),
        ("", "/"),
    ],
)
def test_after_a_form_the_way_back_is_its_page(client: Client, referer: str, back: str) -> None:
    headers = {"Referer": referer} if referer else {}
    answer = client.post("/restores/00000000-0000-4000-8000-000000000000/retry/", headers=headers)
    assert answer.status_code == 302
    assert QueryDict(urlsplit(answer.url).query).get("next", "/") == back
