"""A sign-in with the right password that still waits for its second factor."""

import pytest
from allauth.mfa.models import Authenticator
from django.test import Client

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from tests import factories
from tests.accounts.test_security import code_of, turn_on
from tests.accounts.test_sign_in import sign_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def account(client: Client) -> Account:
    account = factories.make_account("olivia@example.com")
    sign_in(client, account.email)
    turn_on(client, account)
    return account


@pytest.fixture
def waiting(account: Account) -> Client:
    visitor = Client()
    assert sign_in(visitor, account.email)["Location"] == "/sign-in/code/"
    return visitor


def test_a_second_factor_that_was_reset_leads_back_to_the_sign_in(
    waiting: Client, account: Account
) -> None:
    """Somebody without their phone may have the operator reset it in the meantime."""
    Authenticator.objects.all().delete()
    page = waiting.get("/sign-in/code/", follow=True)
    assert page.redirect_chain == [("/sign-in/", 302)]
    assert "Sign in once more." in page.text
    assert sign_in(waiting, account.email)["Location"] == "/"


@pytest.mark.parametrize("method", ["get", "post"])
def test_an_account_that_was_removed_leads_back_to_the_sign_in(
    waiting: Client, account: Account, method: str
) -> None:
    account.delete()
    answer = getattr(waiting, method)("/sign-in/code/", {"code": "123456"}, follow=True)
    assert answer.redirect_chain == [("/sign-in/", 302)]


def test_an_account_that_was_closed_is_not_signed_in(waiting: Client, account: Account) -> None:
    Account.objects.update(is_active=False)
    page = waiting.post("/sign-in/code/", {"code": code_of(account)}, follow=True)
    assert "This account is closed." in page.text
    event = AuditEvent.objects.latest("pk")
    assert (event.action, event.subject) == ("session.refused", account.email)


def test_a_passkey_that_is_refused_is_written_down(
    waiting: Client, client: Client, account: Account
) -> None:
    for browser, address in (
        (waiting, "/sign-in/code/"),
        (client, "/account/password-again/passkey/"),
    ):
        browser.post(address, {"credential": '{"id": "x"}'})
        event = AuditEvent.objects.latest("pk")
        assert (event.action, event.account_id) == ("session.passkey_refused", account.pk)


def test_a_passkey_of_nobody_is_written_down_and_fills_no_log(client: Client) -> None:
    for _ in range(7):
        client.post("/sign-in/passkey/", {"credential": '{"id": "x"}'})
    refused = AuditEvent.objects.filter(action="session.passkey_refused", account_id=None)
    assert [event.address for event in refused] == ["127.0.0.1"] * 5
