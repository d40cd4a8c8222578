"""Two-factor authentication, recovery codes, and the list of sessions."""

import base64
import re
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import allauth
import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.utils import decrypt
from allauth.usersessions.models import UserSession
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from django.conf import settings
from django.contrib.auth.hashers import Argon2PasswordHasher
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client

from backups_portal.accounts.models import Account
from backups_portal.accounts.second_factor import asks_for_code
from backups_portal.audit.models import AuditEvent
from tests import factories
from tests.accounts.test_sign_in import sign_in

pytestmark = pytest.mark.django_db
ON, OFF = "/account/second-factor/", "/account/second-factor/off/"
CODES = "/account/recovery-codes/"


@pytest.fixture
def account(client: Client) -> Account:
    account = factories.make_account("olivia@example.com")
    sign_in(client, account.email)
    return account


def shown_by_app(secret: str, *, steps: int = 0) -> str:
    """Compute the code that the app shows, by an independent RFC 6238."""
    totp = TOTP(base64.b32decode(secret), 6, SHA1(), 30)  # noqa: S303
    return totp.generate(int(time.time()) + 30 * steps).decode()


def code_of(account: Account, *, steps: int = 0) -> str:
    """Return the current code of an account's app."""
    app = Authenticator.objects.get(user=account, type="totp")
    return shown_by_app(decrypt(app.data["secret"]), steps=steps)


def confirm(client: Client) -> None:
    """Confirm the sign-in again, which changing sign-in methods requires."""
    answer = client.post("/account/password-again/", {"password": factories.PASSWORD})
    assert answer.status_code == 302


def secret_on(page: str) -> str:
    """Return the secret that the setup page shows."""
    (secret,) = re.findall(r"<pre[^>]*>([A-Z2-7]{32})</pre>", page)
    return str(secret)


def turn_on(client: Client, account: Account) -> list[str]:
    """Turn codes on with the previous step's code; return the recovery codes."""
    confirm(client)
    secret = secret_on(client.get(ON).text)
    if (left := 30 - time.time() % 30) < 5:
        # Otherwise it would be two steps old before the server reads it.
        time.sleep(left)
    done = client.post(ON, {"code": shown_by_app(secret, steps=-1)})
    assert done["Location"] == CODES
    page = client.get(CODES)
    assert "no-store" in page["Cache-Control"]
    assert "Two-factor authentication is on." in page.text
    return re.findall(r"<code>(\d{10})</code>", page.text)


def test_turned_on_it_asks_for_a_code(client: Client, account: Account) -> None:
    assert client.get(ON)["Location"].startswith("/account/password-again/")
    confirm(client)
    assert 'src="data:image/svg+xml;base64,' in client.get(ON).text
    assert len(turn_on(client, account)) == 10
    elsewhere = Client()
    response = sign_in(elsewhere, account.email, next="/account/")
    assert response["Location"] == "/sign-in/code/"
    assert elsewhere.get("/account/").status_code == 302, "the password alone opens nothing"
    response = elsewhere.post("/sign-in/code/", {"code": code_of(account)})
    assert response["Location"] == "/account/"
    assert elsewhere.get("/account/").status_code == 200


def test_the_secret_is_shown_until_codes_are_on(client: Client, account: Account) -> None:
    confirm(client)
    secret = secret_on(client.get(ON).text)
    (row,) = Session.objects.all()
    assert secret in str(row.get_decoded())
    data = row.session_data.encode()
    unsigned = b"".join(data.partition(b":")[:1])
    padded = unsigned.lstrip(b".") + b"=" * (-len(unsigned.lstrip(b".")) % 4)
    for raw in (data, base64.urlsafe_b64decode(padded)):
        assert secret.encode() not in raw, "it is sealed in the table"
    turn_on(client, account)
    assert client.get(ON)["Location"] == OFF
    for address in ("/account/", CODES, OFF):
        assert (
            decrypt(Authenticator.objects.get(type="totp").data["secret"])
            not in client.get(address).text
        )


def test_a_code_counts_once(client: Client, account: Account) -> None:
    turn_on(client, account)
    code = code_of(account)
    for expected in (302, 400):
        elsewhere = Client()
        sign_in(elsewhere, account.email)
        assert elsewhere.post("/sign-in/code/", {"code": code}).status_code == expected


def test_a_recovery_code_signs_in_once(client: Client, account: Account) -> None:
    codes = turn_on(client, account)
    for expected in (302, 400):
        elsewhere = Client()
        sign_in(elsewhere, account.email)
        sent = {"code": f" {codes[0][:5]} {codes[0][5:]}"}
        assert elsewhere.post("/sign-in/code/", sent).status_code == expected
    assert "<strong>9</strong>" in client.get("/account/").content.decode()
    event = AuditEvent.objects.filter(action="session.signed_in").latest("pk")
    assert event.details == {"code": "recovery", "recovery_codes_left": 9}


def test_codes_are_shown_once(client: Client, account: Account) -> None:
    codes = turn_on(client, account)
    again = client.get(CODES).text
    assert not any(code in again for code in codes)


def test_codes_are_guessed_five_times_and_no_more(client: Client, account: Account) -> None:
    turn_on(client, account)
    wrong = {"code": f"{(int(code_of(account)) + 1) % 1_000_000:06}"}
    answers = []
    for _ in range(7):
        # Failures count across sessions.
        elsewhere = Client()
        sign_in(elsewhere, account.email)
        answers.append(elsewhere.post("/sign-in/code/", wrong).status_code)
    assert answers == [400] * 5 + [429] * 2
    right = elsewhere.post("/sign-in/code/", {"code": code_of(account)})
    assert right.status_code == 429
    assert 0 < int(right["Retry-After"]) <= 15 * 60
    assert AuditEvent.objects.filter(action="session.code_refused").count() == 5
    assert AuditEvent.objects.get(action="session.locked").account_id == account.pk


@pytest.mark.django_db(transaction=True)
def test_codes_guessed_at_once_are_no_more(client: Client) -> None:
    account = factories.make_account("olivia@example.com")
    sign_in(client, account.email)
    turn_on(client, account)
    guessers = [Client() for _ in range(16)]
    for guesser in guessers:
        sign_in(guesser, account.email)
    right = code_of(account)

    def guess(number: int) -> int:
        wrong = f"{(int(right) + 1 + number) % 1_000_000:06}"
        answer = guessers[number].post("/sign-in/code/", {"code": wrong})
        connection.close()
        return int(answer.status_code)

    with ThreadPoolExecutor(8) as pool:
        answers = sorted(pool.map(guess, range(16)))
    assert answers == [400] * 5 + [429] * 11


# One test for each kind, because it is random how many failures of one kind also count for the
# other.
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("kind", ["of the app", "recovery"])
def test_one_code_sent_twice_at_once_signs_in_once(client: Client, kind: str) -> None:
    account = factories.make_account("olivia@example.com")
    sign_in(client, account.email)
    recovery = turn_on(client, account)[0]
    code = recovery if kind == "recovery" else code_of(account)
    browsers = [Client() for _ in range(4)]
    for browser in browsers:
        sign_in(browser, account.email)

    def send(browser: Client) -> int:
        answer = browser.post("/sign-in/code/", {"code": code})
        connection.close()
        return int(answer.status_code)

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(send, browsers)) == [302, 400, 400, 400]


@pytest.mark.parametrize("code", ["000000", "", "x" * 400])
def test_it_is_not_turned_on_by_halves(client: Client, account: Account, code: str) -> None:
    confirm(client)
    client.get(ON)
    assert client.post(ON, {"code": code}).status_code == 400
    assert not asks_for_code(account)


ASKED = (ON, OFF, f"{CODES}new/", CODES, "/account/passkeys/new/", "/account/email/")


@pytest.mark.parametrize("address", ASKED)
def test_a_browser_left_open_changes_nothing(
    client: Client, account: Account, address: str
) -> None:
    if address != ON:
        turn_on(client, account)
    before = list(Authenticator.objects.values_list("pk", "data"))
    factories.age_sign_in(client, timedelta(hours=1))
    form = {"action_add": "", "email": "mallory@example.com"}
    asked = client.post(address, form) if address != CODES else client.get(address)
    assert asked["Location"].startswith("/account/password-again/?next=")
    assert list(Authenticator.objects.values_list("pk", "data")) == before
    form = {"password": factories.PASSWORD, "next": "/account/"}
    assert client.post("/account/password-again/", form)["Location"] == "/account/"
    assert client.get(address).status_code == 200


def test_a_code_confirms_who_it_is(client: Client, account: Account) -> None:
    turn_on(client, account)
    factories.age_sign_in(client, timedelta(hours=1))
    page = client.get(client.get(OFF)["Location"]).text
    assert "/account/password-again/code/?next=" in page
    form = {"code": code_of(account), "next": OFF}
    assert client.post("/account/password-again/code/", form)["Location"] == OFF
    assert client.get(OFF).status_code == 200


def test_it_is_turned_off(
    client: Client, account: Account, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        turn_on(client, account)
    assert client.post(OFF)["Location"] == "/account/"
    assert not Authenticator.objects.exists(), "nor do recovery codes work any more"
    actions = set(AuditEvent.objects.values_list("action", flat=True))
    assert {"account.second_factor_on", "account.second_factor_off"} <= actions


def test_new_recovery_codes_replace_the_old(client: Client, account: Account) -> None:
    old = turn_on(client, account)
    assert client.post(f"{CODES}new/")["Location"] == CODES
    new = re.findall(r"<code>(\d{10})</code>", client.get(CODES).text)
    assert len({*old, *new}) == 20
    elsewhere = Client()
    sign_in(elsewhere, account.email)
    assert elsewhere.post("/sign-in/code/", {"code": old[0]}).status_code == 400
    assert elsewhere.post("/sign-in/code/", {"code": new[0]}).status_code == 302


def test_secrets_are_sealed(client: Client, account: Account) -> None:
    codes = turn_on(client, account)
    rows = str(list(Authenticator.objects.values_list("data", flat=True)))
    assert decrypt(Authenticator.objects.get(type="totp").data["secret"]) not in rows
    assert not any(code in rows for code in codes)


def test_another_browser_is_signed_out(client: Client, account: Account) -> None:
    phone, laptop = Client(HTTP_USER_AGENT="Mozilla/5.0 (iPhone) Safari"), Client()
    for other in (phone, laptop):
        sign_in(other, account.email)
    page = client.get("/account/").content.decode()
    ends = re.findall(r"/account/sessions/(\d+)/end/", page)
    assert len(ends) == 2, "not the one that asks"
    assert not any(key in page for key in Session.objects.values_list("session_key", flat=True))
    assert client.post(f"/account/sessions/{ends[0]}/end/").status_code == 302
    assert sorted(one.get("/account/").status_code for one in (phone, laptop)) == [200, 302]
    client.post("/account/sessions/end-others/")
    assert [one.get("/account/").status_code for one in (phone, laptop)] == [302, 302]
    assert "All other browsers were signed out." in client.get("/account/").text
    actions = AuditEvent.objects.values_list("action", "account_id")
    assert {("session.ended", account.pk), ("session.others_ended", account.pk)} <= {*actions}


def test_messages_have_the_names_that_allauth_asks_for() -> None:
    ours, theirs = Path(settings.BASE_DIR) / "templates", Path(allauth.__file__).parent
    said = {str(path.relative_to(ours)) for path in ours.glob("*/messages/*.txt")}
    assert len(said) == 9
    assert {name for name in said if not (theirs / "templates" / name).is_file()} == set()


def test_nobody_ends_the_sessions_of_somebody_else(client: Client, account: Account) -> None:
    (session,) = UserSession.objects.filter(user=account)
    other = Client()
    sign_in(other, factories.make_account("mallory@example.com").email)
    page = other.get("/account/").content.decode()
    other.post("/account/sessions/end-others/")
    other.post(f"/account/sessions/{session.pk}/end/")
    assert client.get("/account/").status_code == 200
    assert "olivia" not in page


def test_a_sign_in_that_waits_for_a_code_is_left(client: Client, account: Account) -> None:
    turn_on(client, account)
    other = factories.make_account("mallory@example.com")
    elsewhere = Client()
    sign_in(elsewhere, account.email)
    assert elsewhere.get("/sign-in/")["Location"] == "/sign-in/code/"
    assert "Start again" in elsewhere.get("/sign-in/code/").text
    assert elsewhere.post("/sign-out/")["Location"] == "/sign-in/"
    assert sign_in(elsewhere, other.email)["Location"] == "/"
    assert elsewhere.session["_auth_user_id"] == str(other.pk)


def test_a_session_that_was_known_before_is_not_gone_on_with(client: Client) -> None:
    account = factories.make_account("olivia@example.com")
    sign_in(client, account.email)
    turn_on(client, account)
    fixed = Client()
    fixed.get("/sign-in/forgotten/")
    sign_in(fixed, account.email)
    before = fixed.session.session_key
    assert before
    assert fixed.post("/sign-in/code/", {"code": code_of(account)}).status_code == 302
    assert fixed.session.session_key != before
    thief = Client()
    thief.cookies["sessionid"] = before
    assert thief.get("/account/").status_code == 302


NONSENSE = (
    *("", "null", "[]", "{}", "1", '"x"', '{"id": "x"}', '{"response": 1}', "not JSON", "[" * 5000),
    (
        '{"id": "eA", "rawId": "eA", "type": "public-key", "response": {"userHandle": null, '
        '"clientDataJSON": "e30", "authenticatorData": "eA", "signature": "eA"}}'
    ),
    '{"id": "eA", "rawId": "eA", "type": "public-key", "response": {"userHandle": "MTIz", '
    '"clientDataJSON": "eyJ0eXBlIjoiIiwiY2hhbGxlbmdlIjoiIiwib3JpZ2luIjoiIn0", '
    '"authenticatorData": "' + "A" * 64 + '", "signature": "eA"}}',
)


@pytest.mark.parametrize("credential", NONSENSE)
def test_what_is_no_answer_of_a_passkey(client: Client, account: Account, credential: str) -> None:
    visitor = Client()
    for _ in range(2):
        answer = visitor.post("/sign-in/passkey/", {"credential": credential})
        assert answer["Location"] == "/sign-in/"
        assert "passkey wasn" in visitor.get("/sign-in/").text
        assert (
            "request_options"
            in visitor.get("/sign-in/passkey/", headers={"Accept": "application/json"}).json()
        )
    assert "_auth_user_id" not in visitor.session
    turn_on(client, account)
    client.get("/account/passkeys/new/")
    form = {"name": "x", "credential": credential}
    assert client.post("/account/passkeys/new/", form).status_code == 400
    sign_in(visitor, account.email)
    assert visitor.post("/sign-in/code/", {"credential": credential}).status_code == 400
    assert Authenticator.objects.filter(type="webauthn").count() == 0


def test_a_new_password_ends_a_sign_in_that_waits_for_a_code(
    client: Client, account: Account
) -> None:
    turn_on(client, account)
    thief = Client()
    sign_in(thief, account.email)
    account.set_password("quite another battery")
    account.save()
    assert thief.post("/sign-in/code/", {"code": code_of(account)})["Location"] == "/sign-in/"
    assert thief.get("/account/").status_code == 302


def test_the_session_of_a_closed_account_opens_nothing(client: Client, account: Account) -> None:
    session = client.session
    session["seen_at"] = 0
    session.save()
    Account.objects.update(is_active=False)
    assert client.get("/account/")["Location"] == "/sign-in/?next=/account/"
    assert client.get("/").status_code == 302


def test_a_password_that_is_stored_anew_ends_no_session(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = factories.make_account()
    client.force_login(account)
    before = account.password
    # As after an update that raises the cost of hashing.
    monkeypatch.setattr(Argon2PasswordHasher, "time_cost", 2)
    answer = client.post("/account/password-again/", {"password": factories.PASSWORD})
    assert answer.status_code == 302
    assert Account.objects.get().password != before
    assert client.get("/account/").status_code == 200
