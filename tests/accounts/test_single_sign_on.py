"""Single sign-on by OpenID Connect, with a provider that answers over HTTP."""

import socket
import time
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from allauth.account.models import EmailAddress
from allauth.socialaccount.models import SocialAccount
from django.test import Client
from pytest_django import Settings

from backups_portal.accounts.models import Account
from backups_portal.accounts.sign_in_limits import SSO_TOLD
from backups_portal.audit.models import AuditEvent
from backups_portal.lib import circuit_breaker
from tests import factories
from tests.accounts.provider import PORTAL, Provider, name_provider
from tests.accounts.test_security import code_of, turn_on
from tests.accounts.test_sign_in import sign_in

pytestmark = pytest.mark.django_db
EMAIL = "olivia@example.com"


@pytest.fixture
def account() -> Account:
    return factories.make_account(EMAIL)


def is_in(client: Client) -> bool:
    return "_auth_user_id" in client.session


def refused(answer: Any, client: Client, sentence: str = "signed in. Start again.") -> None:
    """Assert that the sign-in was refused with a reason and was recorded."""
    assert answer["Location"] == "/sign-in/"
    assert sentence in client.get("/sign-in/").text
    assert not is_in(client)
    event = AuditEvent.objects.get(action="session.refused")
    assert event.details["by"] == "single sign-on"


def test_a_verified_email_joins_its_account(
    client: Client, provider: Provider, account: Account
) -> None:
    page = client.get("/sign-in/?next=/account/").text
    assert "Continue with Example ID" in page
    assert 'href="/sign-in/single/?next=/account/"' in page
    answer = provider.sign_in(client, "42", "/sign-in/single/?next=/account/")
    assert answer["Location"] == "/account/"
    assert "also with Example ID" in client.get("/account/").text
    account.refresh_from_db()
    assert account.check_password(factories.PASSWORD), "the password stays"
    actions = list(AuditEvent.objects.order_by("pk").values_list("action", "account_id"))
    assert actions == [
        ("account.single_sign_on_joined", account.pk),
        ("session.signed_in", account.pk),
    ]
    assert AuditEvent.objects.latest("pk").details == {"by": "single sign-on"}


def test_it_is_the_same_person_after_a_new_email(
    client: Client, provider: Provider, account: Account
) -> None:
    provider.sign_in(client, "42")
    provider.knows("42", email="olivia@married.example", email_verified=True)
    provider.knows("43", email="olivia@married.example", email_verified=True)
    again = Client()
    assert provider.sign_in(again, "42")["Location"] == "/"
    assert again.session["_auth_user_id"] == str(account.pk)
    assert SocialAccount.objects.count() == 1


@pytest.mark.parametrize(
    "claims",
    [
        {"email": EMAIL, "email_verified": False},
        {"email": EMAIL},
        {"email": EMAIL, "email_verified": "no"},
        {"email": "", "email_verified": True},
        {"email_verified": True},
        {"email": "not an e-mail", "email_verified": True},
        {"email": ["olivia@example.com"], "email_verified": True},
    ],
)
@pytest.mark.parametrize("opens", [False, True])
def test_an_email_that_is_not_verified_joins_nothing(
    provider: Provider, account: Account, settings: Settings, claims: dict[str, Any], opens: bool
) -> None:
    settings.OIDC_CREATE_ACCOUNTS = opens
    provider.knows("42", **claims)
    visitor = Client()
    refused(provider.sign_in(visitor, "42"), visitor, "say that your e-mail is verified")
    assert not SocialAccount.objects.exists()
    assert Account.objects.count() == 1


def test_who_has_no_account_gets_none(client: Client, provider: Provider) -> None:
    refused(provider.sign_in(client, "42"), client, "has no account here")
    assert not Account.objects.exists()


def test_who_has_no_account_gets_one_where_that_is_set(
    client: Client, provider: Provider, settings: Settings
) -> None:
    settings.OIDC_CREATE_ACCOUNTS = True
    assert provider.sign_in(client, "42")["Location"] == "/"
    account = Account.objects.get()
    assert (account.email, account.name) == (EMAIL, "Olivia Owner")
    assert not account.has_usable_password()
    assert EmailAddress.objects.get().verified
    created = AuditEvent.objects.get(action="account.created")
    assert created.details == {"account": account.pk, "by": "single sign-on"}
    assert sign_in(Client(), EMAIL, "").status_code == 400


def test_another_claim_has_the_email(
    client: Client, provider: Provider, account: Account, settings: Settings
) -> None:
    settings.OIDC_EMAIL_CLAIM = "upn"
    provider.knows("42", email="other@example.com", upn=EMAIL, email_verified=True)
    provider.sign_in(client, "42")
    assert client.session["_auth_user_id"] == str(account.pk)


def test_a_closed_account_stays_closed(client: Client, provider: Provider) -> None:
    factories.make_account(EMAIL, is_active=False)
    assert provider.sign_in(client, "42")["Location"] == "/sign-in/"
    assert "This account is closed" in client.get("/sign-in/").text
    assert not is_in(client)
    event = AuditEvent.objects.latest("pk")
    assert (event.action, event.subject) == ("session.refused", EMAIL)
    assert event.details == {"reason": "account closed"}


def test_a_second_factor_is_still_asked_for(
    client: Client, provider: Provider, account: Account
) -> None:
    sign_in(client, EMAIL)
    turn_on(client, account)
    visitor = Client()
    assert provider.sign_in(visitor, "42")["Location"] == "/sign-in/code/"
    assert not is_in(visitor)
    visitor.post("/sign-in/code/", {"code": code_of(account)})
    assert is_in(visitor)


@pytest.mark.parametrize(
    "spoiled",
    [
        {"claims": {"nonce": "another"}},
        {"claims": {"nonce": None}},
        {"claims": {"aud": "another portal"}},
        {"claims": {"iss": "https://evil.example"}},
        {"claims": {"exp": 1_700_000_000}},
        {"claims": {"sub": "43"}},
        {"userinfo": {"sub": "43"}},
        {"forges": True},
        {"unsigned": True},
    ],
    ids=str,
)
def test_an_answer_with_something_wrong(
    client: Client, provider: Provider, account: Account, spoiled: dict[str, Any]
) -> None:
    for name, value in spoiled.items():
        setattr(provider, name, value)
    refused(provider.sign_in(client, "42"), client)
    assert not SocialAccount.objects.exists()


@pytest.mark.parametrize("change", ["state=made-up", "state=", "code=made-up", "code="])
def test_an_answer_that_was_changed(
    client: Client, provider: Provider, account: Account, change: str
) -> None:
    name, _, value = change.partition("=")
    back = urlsplit(provider.sends_back(client, "42"))
    query = {**{key: one[0] for key, one in parse_qs(back.query).items()}, name: value}
    refused(client.get(back.path, query), client)


def test_made_up_answers_fill_no_log(provider: Provider, account: Account) -> None:
    for number in range(30):
        answer = Client().get("/sign-in/single/back/", {"state": f"made-up-{number}"})
        assert answer["Location"] == "/sign-in/"
    assert AuditEvent.objects.count() == SSO_TOLD.tries == 20


def test_an_answer_counts_once_and_in_the_browser_that_asked(
    client: Client, provider: Provider, account: Account
) -> None:
    back = provider.sends_back(client, "42")
    other = Client()
    assert other.get(back)["Location"] == "/sign-in/"
    assert not is_in(other), "who is sent the address of an answer is not signed in by it"
    assert client.get(back)["Location"] == "/"
    client.logout()
    client.get(back)
    assert not is_in(client)


def test_who_changes_their_mind_is_back(client: Client, provider: Provider) -> None:
    begun = client.get("/sign-in/single/")["Location"]
    state = parse_qs(urlsplit(begun).query)["state"][0]
    answer = client.get("/sign-in/single/back/", {"state": state, "error": "access_denied"})
    refused(answer, client)
    assert AuditEvent.objects.get().details["reason"] == "cancelled"


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example/", "javascript:x"])
def test_it_never_leads_elsewhere(
    client: Client, provider: Provider, account: Account, elsewhere: str
) -> None:
    assert provider.sign_in(client, "42", f"/sign-in/single/?next={elsewhere}")["Location"] == "/"


def test_what_is_asked_cannot_be_changed_by_the_address(client: Client, provider: Provider) -> None:
    query = "process=connect&scope=offline&auth_params=redirect_uri%3Dhttps%3A%2F%2Fevil.example"
    asked = parse_qs(urlsplit(client.get(f"/sign-in/single/?{query}")["Location"]).query)
    assert {*asked["scope"][0].split()} == {"openid", "profile", "email"}
    assert asked["redirect_uri"] == [f"{PORTAL}/sign-in/single/back/"]
    assert asked["code_challenge_method"] == ["S256"]


def test_a_session_of_before_is_not_gone_on_with(
    client: Client, provider: Provider, account: Account
) -> None:
    back = provider.sends_back(client, "42")
    before = client.session.session_key
    client.get(back)
    assert client.session.session_key != before


@pytest.mark.parametrize("fault", ["down", "broken", "down meanwhile", "broken meanwhile"])
def test_without_the_provider_a_password_signs_in(
    client: Client, provider: Provider, account: Account, settings: Settings, fault: str
) -> None:
    path = "/sign-in/single/"
    if "meanwhile" in fault:
        path = provider.sends_back(client, "42")
    if "down" in fault:
        name_provider(settings, "http://127.0.0.1:1")
    provider.broken = "broken" in fault
    began = time.monotonic()
    assert client.get(path)["Location"] == "/sign-in/"
    page = client.get("/sign-in/").text
    assert "reach Example ID right now. Sign in with your password" in page
    assert time.monotonic() - began < 10
    assert sign_in(client, EMAIL)["Location"] == "/"


def test_not_everybody_waits_for_a_provider_that_says_nothing(
    client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Waiting sign-ins would take the threads that other pages need."""
    settings.SOCIALACCOUNT_REQUESTS_TIMEOUT = 0.3
    monkeypatch.setattr(circuit_breaker, "PATIENCE_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silence:
        name_provider(settings, f"http://127.0.0.1:{silence.getsockname()[1]}")
        for _ in range(3):
            assert client.get("/sign-in/single/")["Location"] == "/sign-in/"
        silence.accept()[0].close()
        silence.setblocking(False)
        with pytest.raises(BlockingIOError):
            silence.accept()
    assert "reach Example ID right now" in client.get("/sign-in/").text


def test_who_has_no_password_confirms_by_the_provider(
    client: Client, provider: Provider, settings: Settings
) -> None:
    settings.OIDC_CREATE_ACCOUNTS = True
    provider.sign_in(client, "42")
    factories.age_sign_in(client, timedelta(hours=1))
    asked = client.get("/account/second-factor/")
    assert asked["Location"] == "/sign-in/single/?next=%2Faccount%2Fsecond-factor%2F"
    begun = client.get(asked["Location"])["Location"]
    assert "prompt=login" in begun
    assert (
        provider.sign_in(client, "42", asked["Location"])["Location"] == "/account/second-factor/"
    )
    assert client.get("/account/second-factor/").status_code == 200
    first = {"password1": "a first one, and long", "password2": "a first one, and long"}
    assert client.post("/account/password/first/", first)["Location"] == "/account/"
    assert sign_in(Client(), EMAIL, "a first one, and long").status_code == 302


class TestWithoutPasswords:
    @pytest.fixture(autouse=True)
    def _no_passwords(self, settings: Settings, provider: Provider) -> None:
        settings.PASSWORD_SIGN_IN = False

    def test_none_is_asked_for_and_none_signs_in(self, client: Client, account: Account) -> None:
        page = client.get("/sign-in/").text
        assert 'type="password"' not in page
        assert "Forgot your password?" not in page
        assert sign_in(client, EMAIL).status_code == 403
        assert not is_in(client)

    def test_none_confirms(self, client: Client, account: Account, provider: Provider) -> None:
        provider.sign_in(client, "42")
        form = {"password": factories.PASSWORD, "next": "/account/"}
        answer = client.post("/account/password-again/", form)
        assert answer["Location"].startswith("/sign-in/single/")

    def test_nobody_is_sent_a_link(self, client: Client, account: Account) -> None:
        from backups_portal.accounts.password_reset import send_link

        assert not send_link(EMAIL)

    @pytest.mark.parametrize(
        "path",
        [
            *("/sign-in/forgotten/", "/sign-in/forgotten/sent/"),
            *("/account/password/", "/account/password/first/"),
        ],
    )
    def test_none_is_changed_or_reset(self, client: Client, account: Account, path: str) -> None:
        client.force_login(account)
        new = {
            "oldpassword": factories.PASSWORD,
            "password1": "a new one",
            "password2": "a new one",
        }
        assert client.get(path).status_code == 404
        assert client.post(path, {**new, "email": EMAIL}).status_code == 404
        account.refresh_from_db()
        assert account.check_password(factories.PASSWORD)

    @pytest.mark.parametrize("page", ["/sign-in/", "/sign-in/new-password/1-x/", "/account/"])
    def test_no_page_leads_there(self, client: Client, account: Account, page: str) -> None:
        if page == "/account/":
            client.force_login(account)
        text = client.get(page, follow=True).text
        assert "/sign-in/forgotten/" not in text
        assert "/account/password/" not in text
