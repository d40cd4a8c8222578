"""A process killed before an account's audit event is written leaves the account unchanged."""

import json
import re
from collections.abc import Callable
from hashlib import sha256
from html import unescape

import pytest
from allauth.mfa.models import Authenticator
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from django.contrib.sessions.models import Session
from django.test import Client
from fido2.cose import ES256
from fido2.utils import websafe_decode, websafe_encode
from fido2.webauthn import (
    AttestationObject,
    AttestedCredentialData,
    AuthenticatorData,
    CollectedClientData,
)

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from tests import factories
from tests.accounts.test_email_change import confirmation
from tests.accounts.test_passwords import NEW, change, forget, link
from tests.accounts.test_security import CODES, OFF, ON, confirm, secret_on, shown_by_app
from tests.accounts.test_sign_in import sign_in
from tests.audit.test_lines_of_changes import Run, killed  # noqa: F401 - a fixture

pytestmark = pytest.mark.django_db
FLAG = AuthenticatorData.FLAG
NEW_PASSKEY = "/account/passkeys/new/"
Act = Callable[[], object]


@pytest.fixture
def account(client: Client) -> Account:
    account = factories.make_account("olivia@example.com")
    sign_in(client, account.email)
    confirm(client)
    return account


def credential_for(page: str) -> str:
    """Answer a page's challenge as an authenticator without attestation does."""
    (options,) = re.findall(r'data-options="([^"]*)"', page)
    asked = json.loads(unescape(options))["publicKey"]
    key = ES256.from_cryptography_key(generate_private_key(SECP256R1()).public_key())
    data = AuthenticatorData.create(
        sha256(asked["rp"]["id"].encode()).digest(),
        FLAG.UP | FLAG.UV | FLAG.AT,
        0,
        AttestedCredentialData.create(bytes(16), b"phone", key),
    )
    said = CollectedClientData.create(
        "webauthn.create", websafe_decode(asked["challenge"]), "https://testserver"
    )
    return json.dumps(
        {
            "id": websafe_encode(b"phone"),
            "rawId": websafe_encode(b"phone"),
            "type": "public-key",
            "response": {
                "clientDataJSON": websafe_encode(said),
                "attestationObject": websafe_encode(AttestationObject.create("none", data, {})),
            },
        }
    )


def add_passkey(client: Client, account: Account) -> Act:
    credential = credential_for(client.get(NEW_PASSKEY).text)
    return lambda: client.post(NEW_PASSKEY, {"name": "phone", "credential": credential})


def remove_passkey(client: Client, account: Account) -> Act:
    add_passkey(client, account)()
    (passkey,) = Authenticator.objects.filter(type="webauthn")
    return lambda: client.post(f"/account/passkeys/{passkey.pk}/remove/")


def switch_on(client: Client, account: Account) -> Act:
    secret = secret_on(client.get(ON).text)
    return lambda: client.post(ON, {"code": shown_by_app(secret)})


def after_switching_on(client: Client, account: Account, address: str) -> Act:
    switch_on(client, account)()
    return lambda: client.post(address)


def reset_password(client: Client, account: Account) -> Act:
    visitor = Client()
    forget(account.email)
    form = visitor.get(link())["Location"]
    return lambda: visitor.post(form, {"password1": NEW, "password2": NEW})


def confirm_email(client: Client, account: Account) -> Act:
    account.vouch_for_email()
    client.post("/account/email/", {"email": "olivia@elsewhere.example", "action_add": ""})
    address = confirmation()
    return lambda: client.post(address)


CHANGES: dict[str, Callable[[Client, Account], Act]] = {
    "password_changed": lambda client, account: lambda: change(client, factories.PASSWORD),
    "password_reset": reset_password,
    "email_changed": confirm_email,
    "second_factor_on": switch_on,
    "second_factor_off": lambda client, account: after_switching_on(client, account, OFF),
    "recovery_codes_renewed": lambda client, account: after_switching_on(
        client, account, f"{CODES}new/"
    ),
    "passkey_added": add_passkey,
    "passkey_removed": remove_passkey,
}


def state() -> list[object]:
    rows = Authenticator.objects.order_by("pk").values_list("pk", "type")
    return [*Account.objects.values_list("email", "password"), *rows]


@pytest.mark.usefixtures("letters")
@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_how_somebody_signs_in(
    client: Client,
    account: Account,
    killed: Run,  # noqa: F811 - the fixture
    name: str,
) -> None:
    act = CHANGES[name](client, account)
    before = state()
    killed(act)
    assert state() == before
    act()
    assert state() != before
    assert AuditEvent.objects.filter(action=f"account.{name}").count() == 1


def test_signing_out(client: Client, account: Account, killed: Run) -> None:  # noqa: F811
    before = set(Session.objects.values_list("pk", flat=True))
    killed(lambda: client.post("/sign-out/"))
    assert set(Session.objects.values_list("pk", flat=True)) == before
    client.post("/sign-out/")
    assert AuditEvent.objects.filter(action="session.signed_out").count() == 1
