"""Which account single sign-on joins, and which it never joins."""

import json
from io import StringIO
from typing import Any

import pytest
from allauth.account.models import EmailAddress
from django.core.management import CommandError, call_command
from django.test import Client
from pytest_django import Settings

from backups_portal.accounts.models import Account
from backups_portal.accounts.single_sign_on import SingleSignOnAdapter
from backups_portal.audit.models import AuditEvent
from tests import factories
from tests.accounts.provider import Provider, name_provider, running_provider
from tests.accounts.test_single_sign_on import EMAIL, is_in, refused

pytestmark = pytest.mark.django_db


@pytest.fixture
def account() -> Account:
    return factories.make_account(EMAIL)


@pytest.mark.parametrize(
    "email",
    # The Kelvin sign is lowercased to a plain k.
    ["ol\u0131via@example.com", "olivia@e\u017fample.com", "mar\u212a@example.com"],
)
def test_letters_that_look_alike_are_others(provider: Provider, email: str) -> None:
    for other in ("olivia@esample.com", EMAIL, "mark@example.com"):
        factories.make_account(other)
    provider.knows("42", email=email, email_verified=True)
    visitor = Client()
    provider.sign_in(visitor, "42")
    assert not is_in(visitor)


def test_letters_that_look_alike_get_no_account(provider: Provider, settings: Settings) -> None:
    """Otherwise an address with a Kelvin sign would see the invitations of mark@example.com."""
    settings.OIDC_CREATE_ACCOUNTS = True
    provider.knows("42", email="mar\u212a@example.com", email_verified=True)
    visitor = Client()
    refused(provider.sign_in(visitor, "42"), visitor, "say that your e-mail is verified")
    assert not Account.objects.exists()


def test_whoever_gets_an_email_later_does_not_get_its_account(
    client: Client, provider: Provider, account: Account
) -> None:
    provider.sign_in(client, "42")
    provider.knows("42", email="olivia@married.example", email_verified=True)
    provider.knows("43", email=EMAIL, email_verified=True)
    successor = Client()
    refused(provider.sign_in(successor, "43"), successor, "another person at Example ID")
    assert provider.sign_in(Client(), "42")["Location"] == "/"


def test_an_operator_lets_another_id_of_the_provider_join(
    provider: Provider, account: Account
) -> None:
    with pytest.raises(CommandError, match="Nobody has joined"):
        call_command("reset_single_sign_on", EMAIL)
    with pytest.raises(CommandError, match="no account"):
        call_command("reset_single_sign_on", "nobody@example.com")
    provider.sign_in(Client(), "42")
    provider.knows("43", email=EMAIL, email_verified=True)
    out = StringIO()
    call_command("reset_single_sign_on", EMAIL.upper(), json=True, stdout=out)
    assert json.loads(out.getvalue()) == {"email": EMAIL, "removed": [f"{provider.url} 42"]}
    event = AuditEvent.objects.latest("pk")
    assert (event.action, event.subject) == ("account.single_sign_on_reset", EMAIL)
    visitor = Client()
    provider.sign_in(visitor, "43")
    assert visitor.session["_auth_user_id"] == str(account.pk)


def test_another_provider_has_other_ids(
    provider: Provider, account: Account, settings: Settings
) -> None:
    provider.sign_in(Client(), "42")
    with running_provider("second") as other:
        other.knows("42", email="mallory@example.com", email_verified=True)
        other.knows("olivia", email=EMAIL, email_verified=True)
        name_provider(settings, other.url)
        mallory = Client()
        refused(other.sign_in(mallory, "42"), mallory, "has no account here")
        visitor = Client()
        other.sign_in(visitor, "olivia")
        assert visitor.session["_auth_user_id"] == str(account.pk)
    name_provider(settings, provider.url)
    assert provider.sign_in(Client(), "42")["Location"] == "/"


def test_all_ids_are_reset_where_the_provider_has_given_new_ones(
    provider: Provider, account: Account
) -> None:
    out = StringIO()
    call_command("reset_single_sign_on", all=True, stdout=out)
    assert out.getvalue() == "Nobody has joined an account by single sign-on.\n"
    provider.sign_in(Client(), "42")
    call_command("reset_single_sign_on", all=True, stdout=StringIO())
    provider.knows("43", email=EMAIL, email_verified=True)
    assert provider.sign_in(Client(), "43")["Location"] == "/"


def test_somebody_elses_change_of_email_keeps_nobody_out(
    client: Client, provider: Provider, settings: Settings
) -> None:
    settings.OIDC_CREATE_ACCOUNTS = True
    mallory = factories.make_account("mallory@example.com")
    EmailAddress.objects.create(user=mallory, email=EMAIL)
    assert provider.sign_in(client, "42")["Location"] == "/"
    assert client.session["_auth_user_id"] == str(Account.objects.get(email=EMAIL).pk)
    assert not EmailAddress.objects.filter(user=mallory, email=EMAIL)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("step", ["is_open_for_signup", "save_user"])
def test_an_answer_that_comes_twice_makes_one_account(
    client: Client,
    provider: Provider,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
) -> None:
    """A double click sends the answer twice, and the other request wins."""
    settings.OIDC_CREATE_ACCOUNTS = True
    done = getattr(SingleSignOnAdapter, step)

    def overtaken(*arguments: Any, **options: Any) -> Any:
        factories.make_account(EMAIL)
        return done(*arguments, **options)

    monkeypatch.setattr(SingleSignOnAdapter, step, overtaken)
    refused(provider.sign_in(client, "42"), client)
    assert provider.sign_in(client, "42")["Location"] == "/"
    assert Account.objects.count() == 1
