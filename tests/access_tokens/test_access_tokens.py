"""The pages of API tokens: created with the password, shown once, revoked."""

import re
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.utils import timezone

from backups_portal.access_tokens import issued_tokens
from backups_portal.access_tokens.issued_tokens import NameTakenError, find_access_token
from backups_portal.access_tokens.models import AccessToken
from backups_portal.access_tokens.scopes import Scope, allows
from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from tests import factories
from tests.accounts.test_sign_in import sign_in

pytestmark = pytest.mark.django_db
FORM = {"name": "  nightly   drill ", "lifetime": "30", "scopes": ["backups:read"]}
NEW = "/account/tokens/new/"


@pytest.fixture
def account(client: Client) -> Account:
    account = factories.make_account("olivia@example.com")
    sign_in(client, account.email)
    return account


def made(page: str) -> list[str]:
    """Return the tokens that a page shows."""
    return re.findall(r"bp_[0-9a-f]{40}", page)


def test_a_token_is_made_and_shown_once(client: Client, account: Account) -> None:
    response = client.post(NEW, FORM)
    assert response.status_code == 200
    assert "no-store" in response["Cache-Control"]
    (value,) = made(response.content.decode())
    token = AccessToken.objects.get()
    assert (token.name, token.scopes) == ("nightly drill", ["backups:read"])
    assert timedelta(days=29) < token.expires_at - timezone.now() <= timedelta(days=30)
    assert find_access_token(value) == token
    page = client.get("/account/tokens/").content.decode()
    assert made(page) == []
    for part in ("nightly drill", f"…{value[-4:]}", "<code>backups:read</code>", "Never"):
        assert part in page
    assert "<strong>1</strong> token." in client.get("/account/").content.decode()


def test_the_value_is_kept_nowhere(client: Client, account: Account) -> None:
    (value,) = made(client.post(NEW, FORM).content.decode())
    row = AccessToken.objects.filter(account=account).values().get()
    assert value not in repr(row)
    assert value[3:].encode() not in bytes(row["digest"])
    assert len(bytes(row["digest"])) == 32


def test_making_one_asks_for_the_password(client: Client, account: Account) -> None:
    factories.age_sign_in(client, timedelta(minutes=16))
    assert client.get(NEW)["Location"] == f"/account/password-again/?next={NEW.replace('/', '%2F')}"
    factories.age_sign_in(client, timedelta(minutes=76))
    assert client.post(NEW, FORM).status_code == 302
    assert not AccessToken.objects.exists()


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": ""}, "Enter a name for the token."),
        ({"scopes": []}, "Choose at least one thing the token can do."),
        ({"scopes": ["backups:create"]}, "not one of the choices"),
        ({"lifetime": "9999"}, "not one of the choices"),
        ({"name": "NIGHTLY DRILL"}, "You already have a token named “NIGHTLY DRILL”."),
    ],
)
def test_a_wrong_form_makes_none(
    client: Client, account: Account, changes: dict[str, object], sentence: str
) -> None:
    client.post(NEW, FORM)
    response = client.post(NEW, {**FORM, **({"name": "other"} | changes)})
    assert response.status_code == 400
    assert sentence in response.content.decode()
    assert AccessToken.objects.count() == 1


def test_a_revoked_one_is_gone_and_its_name_is_free(client: Client, account: Account) -> None:
    for _ in range(2):
        client.post(NEW, FORM)
        token = AccessToken.objects.unrevoked().get()
        response = client.post(f"/account/tokens/{token.pk}/revoke/", follow=True)
        assert "“nightly drill” is revoked" in response.content.decode()
    response = client.post(f"/account/tokens/{token.pk}/revoke/", follow=True)
    assert "already revoked" in response.content.decode()
    actions = list(AuditEvent.objects.order_by("pk").values_list("action", flat=True))
    assert actions.count("account.token_created") == actions.count("account.token_revoked") == 2


def test_nobody_sees_or_revokes_the_token_of_somebody_else(
    client: Client, account: Account
) -> None:
    client.post(NEW, FORM)
    token = AccessToken.objects.get()
    other = Client()
    sign_in(other, factories.make_account("mallory@example.com").email)
    assert "nightly drill" not in other.get("/account/tokens/").content.decode()
    other.post(f"/account/tokens/{token.pk}/revoke/")
    token.refresh_from_db()
    assert token.revoked_at is None


def test_the_pages_say_that_a_new_password_ends_none(client: Client, account: Account) -> None:
    (value,) = made(client.post(NEW, FORM).content.decode())
    new = "quite another battery"
    form = {"oldpassword": factories.PASSWORD, "password1": new, "password2": new}
    assert client.post("/account/password/", form).status_code == 302
    token = find_access_token(value)
    assert token is not None
    assert issued_tokens.refusal_of(token) == ""
    assert "Changing your password" in client.get("/account/tokens/").text


def test_an_expired_one_is_said_to_be(client: Client, account: Account) -> None:
    factories.make_token(account, expires_at=timezone.now() - timedelta(seconds=1))
    assert "Expired" in client.get("/account/tokens/").content.decode()


def test_two_accounts_may_use_one_name() -> None:
    for account in (factories.make_account(), factories.make_account()):
        issued_tokens.make_access_token(
            account=account, name="drill", scopes=["backups:read"], expires_at=None
        )
    with pytest.raises(NameTakenError):
        issued_tokens.make_access_token(
            account=account, name="Drill", scopes=["backups:read"], expires_at=None
        )


@pytest.mark.parametrize(
    ("changes", "constraint"),
    [
        ({"name": "FIRST"}, "access_token_name_unique_per_account"),
        ({"name": ""}, "access_token_name_not_empty"),
        ({"scopes": []}, "access_token_has_known_scopes"),
        ({"scopes": ["backups:create"]}, "access_token_has_known_scopes"),
        ({"digest": b"1" * 32}, "digest"),
    ],
)
def test_the_database_refuses(changes: dict[str, object], constraint: str) -> None:
    fields = {"account": factories.make_account(), "last_four": "abcd", "scopes": ["backups:read"]}
    AccessToken.objects.create(**fields, name="first", digest=b"1" * 32)
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        AccessToken.objects.create(**{**fields, "name": "second", "digest": b"2" * 32, **changes})


@pytest.mark.parametrize("scope", Scope)
def test_what_changes_something_reads_it_too_and_nothing_else(scope: Scope) -> None:
    area = scope.partition(":")[0]
    found = {needed for needed in Scope if allows([scope], needed)}
    assert found == {scope, *(one for one in Scope if one == f"{area}:read")}
