"""Passkeys in Chromium with its virtual authenticator: created, used, and misused."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from playwright.sync_api import Browser, BrowserContext, CDPSession, Page, expect

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from tests import factories
from tests.browser.conftest import Portal, open_context
from tests.browser.pagechecks import judge


@dataclass
class Phone:
    """A browser with an authenticator.

    Attributes:
        url: The portal under a host name, which passkeys require.
    """

    context: BrowserContext
    page: Page
    network: CDPSession
    id: str
    url: str

    def credentials(self) -> list[dict[str, Any]]:
        """Return all stored credentials with their private keys."""
        found: list[dict[str, Any]] = self.network.send(
            "WebAuthn.getCredentials", {"authenticatorId": self.id}
        )["credentials"]
        return found

    def hold(self, credential: dict[str, Any]) -> None:
        """Store a passkey in the authenticator."""
        self.network.send(
            "WebAuthn.addCredential", {"authenticatorId": self.id, "credential": credential}
        )

    def open(self, path: str) -> None:
        self.page.goto(f"{self.url}{path}")

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def enter_password(self, account: Account) -> None:
        self.open("/sign-in/")
        self.page.get_by_label("E-mail").fill(account.email)
        self.page.get_by_label("Password").fill(factories.PASSWORD)
        self.press("Sign in")

    def open_form(self) -> None:
        """Open the form for a new passkey, which first asks for the password."""
        self.open("/account/passkeys/new/")
        self.page.get_by_label("Your password").fill(factories.PASSWORD)
        self.press("Continue")

    def add_passkey(self, name: str, *, alone: bool = True) -> None:
        self.open_form()
        self.page.get_by_label("Name").fill(name)
        self.page.get_by_label("Sign in without a password").set_checked(alone)
        self.press("Add passkey")
        self.page.wait_for_url("**/account/recovery-codes/")

    def is_at(self, path: str) -> None:
        expect(self.page).to_have_url(f"{self.url}{path}")


@pytest.fixture
def phones(transactional_db: None, portal: Portal, browser: Browser) -> Iterator[Any]:
    opened: list[BrowserContext] = []
    url = portal.url.replace("127.0.0.1", "localhost")

    def one(at: str = url) -> Phone:
        context = open_context(browser, portal, None)
        opened.append(context)
        page = context.new_page()
        network = context.new_cdp_session(page)
        network.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2",
            "transport": "internal",
            "hasResidentKey": True,
            "hasUserVerification": True,
            "isUserVerified": True,
            "automaticPresenceSimulation": True,
        }
        made = network.send("WebAuthn.addVirtualAuthenticator", {"options": options})
        return Phone(context, page, network, made["authenticatorId"], at)

    yield one
    for context in opened:
        context.close()


@pytest.fixture
def account(transactional_db: None) -> Iterator[Account]:
    account = factories.make_account(name="Olivia Owner")
    yield account
    Account.objects.filter(pk=account.pk).delete()


def test_a_passkey_signs_in_without_a_password(phones: Any, account: Account) -> None:
    phone = phones()
    phone.enter_password(account)
    phone.add_passkey("phone")
    expect(phone.page.locator("#recovery-codes code")).to_have_count(10)
    phone.open("/account/")
    expect(phone.page.get_by_text("Your passkeys are asked for")).to_be_visible()
    judge(phone.page)
    phone.context.clear_cookies()
    phone.open("/sign-in/?next=/account/tokens/")
    phone.press("Sign in with a passkey")
    phone.is_at("/account/tokens/")
    event = AuditEvent.objects.filter(action="session.signed_in").latest("pk")
    assert (event.account_id, event.details) == (account.pk, {"code": "passkey"})


def test_a_passkey_is_asked_for_after_the_password(phones: Any, account: Account) -> None:
    phone = phones()
    phone.enter_password(account)
    phone.add_passkey("security key", alone=False)
    phone.context.clear_cookies()
    phone.enter_password(account)
    phone.is_at("/sign-in/code/")
    judge(phone.page)
    phone.press("Use a passkey")
    phone.is_at("/")
    assert AuditEvent.objects.latest("pk").details == {"code": "passkey"}


def test_a_passkey_confirms_who_it_is_and_is_removed(phones: Any, account: Account) -> None:
    phone = phones()
    phone.enter_password(account)
    phone.add_passkey("phone")
    phone.open("/account/password-again/passkey/?next=/account/tokens/new/")
    judge(phone.page)
    phone.press("Use passkey")
    phone.is_at("/account/tokens/new/")
    phone.open("/account/")
    phone.page.get_by_role("link", name="Remove phone").click()
    phone.press("Remove passkey")
    phone.is_at("/account/")
    assert not Authenticator.objects.filter(user=account).exists()
    phone.context.clear_cookies()
    phone.open("/sign-in/")
    phone.press("Sign in with a passkey")
    phone.is_at("/sign-in/")
    expect(phone.page.get_by_text("Your passkey wasn't accepted.")).to_be_visible()


def test_the_passkey_of_another_account_is_no_second_factor(phones: Any, account: Account) -> None:
    mallory = factories.make_account()
    mine, hers = phones(), phones()
    mine.enter_password(account)
    mine.add_passkey("phone")
    hers.enter_password(mallory)
    hers.add_passkey("phone")
    stolen = mine.credentials()[0]["credentialId"]
    # She knows his password, and lets her own key answer for his account.
    (own,) = hers.credentials()
    hers.context.clear_cookies()
    hers.network.send("WebAuthn.clearCredentials", {"authenticatorId": hers.id})
    hers.hold({**own, "credentialId": stolen})
    hers.enter_password(account)
    hers.press("Use a passkey")
    expect(hers.page.get_by_text("doesn't belong to this account")).to_be_visible()
    hers.open("/account/")
    hers.is_at("/sign-in/code/")
    mallory.delete()


def test_a_key_of_ones_own_signs_in_as_nobody_else(phones: Any, account: Account) -> None:
    mallory = factories.make_account()
    mine, hers = phones(), phones()
    mine.enter_password(account)
    mine.add_passkey("phone")
    hers.enter_password(mallory)
    hers.add_passkey("phone")
    (own,), (other,) = hers.credentials(), mine.credentials()
    hers.network.send("WebAuthn.clearCredentials", {"authenticatorId": hers.id})
    # Her key claims to be his.
    hers.hold({**own, "userHandle": other["userHandle"]})
    hers.context.clear_cookies()
    hers.open("/sign-in/")
    hers.press("Sign in with a passkey")
    hers.is_at("/sign-in/")
    expect(hers.page.get_by_text("Your passkey wasn't accepted.")).to_be_visible()
    mallory.delete()


def answer_of(phone: Phone, origin: str = "") -> str:
    """Return the passkey's answer to the portal's challenge, as a form would send it."""
    return str(
        phone.page.evaluate(
            """async ([url, origin]) => {
          const asked = await fetch(url, { headers: { Accept: "application/json" } });
          const { publicKey } = (await asked.json()).request_options;
          const options = PublicKeyCredential.parseRequestOptionsFromJSON(publicKey);
          const answer = (await navigator.credentials.get({ publicKey: options })).toJSON();
          if (origin) {
            const plain = answer.response.clientDataJSON.replaceAll("-", "+").replaceAll("_", "/");
            const said = JSON.parse(atob(plain));
            answer.response.clientDataJSON = btoa(JSON.stringify({ ...said, origin }))
              .replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
          }
          return JSON.stringify(answer);
        }""",
            ["/sign-in/passkey/", origin],
        )
    )


def send(phone: Phone, credential: str) -> str:
    """Send an answer by the page's form; return the address it leads to."""
    with phone.page.expect_navigation():
        phone.page.evaluate(
            """credential => {
              const form = document.querySelector("form[data-passkey]");
              form.elements.credential.value = credential;
              form.submit();
            }""",
            credential,
        )
    return phone.page.url.removeprefix(phone.url)


def test_an_answer_to_another_origin_or_an_older_question(phones: Any, account: Account) -> None:
    phone = phones()
    phone.enter_password(account)
    phone.add_passkey("phone")
    phone.context.clear_cookies()
    phone.open("/sign-in/")
    assert send(phone, answer_of(phone, "https://evil.example")) == "/sign-in/"
    phone.open("/sign-in/")
    older = answer_of(phone)
    answer_of(phone)
    assert send(phone, older) == "/sign-in/"
    phone.open("/sign-in/")
    right = answer_of(phone)
    assert send(phone, right) == "/"
    phone.context.clear_cookies()
    phone.open("/sign-in/")
    assert send(phone, right) == "/sign-in/", "it counts once"


def test_by_its_number_the_portal_has_no_passkeys_and_says_so(
    phones: Any, portal: Portal, account: Account
) -> None:
    phone = phones(portal.url)
    phone.enter_password(account)
    phone.open_form()
    phone.press("Add passkey")
    expect(phone.page.get_by_text("Your passkey wasn't used. Try again.")).to_be_visible()
