"""Two-factor authentication, recovery codes, and where an account is signed in."""

import re
import time
from io import BytesIO

import pytest
import segno
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.twofactor.totp import TOTP
from django.test import Client
from qsessions.models import Session

from backups_portal.accounts import two_factor
from backups_portal.accounts.models import Account, SecondFactor
from backups_portal.accounts.security_views import MASK
from backups_portal.audit.models import AuditEvent
from tests import factories
from tests.accounts.test_sign_in import sign_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def account(client: Client) -> Account:
    account = factories.make_account("olivia@example.com")
    sign_in(client, account.email)
    return account


def code_of(account: Account, *, steps: int = 0) -> str:
    """What the app shows; RFC 6238 by another's hand."""
    import base64

    secret = base64.b32decode(two_factor.secret_of(SecondFactor.objects.get(account=account)))
    return TOTP(secret, 6, SHA1(), 30).generate(int(time.time()) + 30 * steps).decode()  # noqa: S303


def turn_on(client: Client, account: Account) -> list[str]:
    """Turn codes on with the code of a step ago; the recovery codes."""
    client.get("/account/second-factor/")
    if (left := 30 - time.time() % 30) < 5:
        # It would be of two steps ago before it is read.
        time.sleep(left)
    form = {"code": code_of(account, steps=-1), "password": factories.PASSWORD}
    page = client.post("/account/second-factor/", form)
    assert page.status_code == 200
    assert page["Cache-Control"] == "no-store"
    return re.findall(r"<code>([a-z0-9]{5}-[a-z0-9]{5})</code>", page.content.decode())


def test_turned_on_it_asks_for_a_code(client: Client, account: Account) -> None:
    page = client.get("/account/second-factor/").content.decode()
    assert 'src="/account/second-factor/code.svg"' in page
    assert two_factor.secret_of(SecondFactor.objects.get()) in page
    assert len(turn_on(client, account)) == 10
    elsewhere = Client()
    response = sign_in(elsewhere, account.email, next="/account/")
    assert response["Location"] == "/sign-in/code/"
    assert elsewhere.get("/account/").status_code == 302, "the password alone opens nothing"
    response = elsewhere.post("/sign-in/code/", {"code": code_of(account)})
    assert response["Location"] == "/account/"
    assert elsewhere.get("/account/").status_code == 200


def test_the_secret_is_drawn_until_codes_are_on(client: Client, account: Account) -> None:
    picture = client.get("/account/second-factor/code.svg")
    assert picture["Content-Type"] == "image/svg+xml"
    assert picture["Cache-Control"] == "no-store"
    address = two_factor.address_of_secret(SecondFactor.objects.get(account=account))
    segno.make(address, mask=MASK).save(drawn := BytesIO(), kind="svg", border=2, omitsize=True)
    assert picture.content == drawn.getvalue()
    turn_on(client, account)
    assert client.get("/account/second-factor/code.svg").status_code == 404


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
        sent = {"code": codes[0].upper().replace("-", " ")}
        assert elsewhere.post("/sign-in/code/", sent).status_code == expected
    assert "<strong>9</strong>" in client.get("/account/").content.decode()


def test_codes_are_guessed_five_times_and_no_more(client: Client, account: Account) -> None:
    turn_on(client, account)
    elsewhere = Client()
    sign_in(elsewhere, account.email)
    wrong = {"code": f"{(int(code_of(account)) + 1) % 1_000_000:06}"}
    answers = [elsewhere.post("/sign-in/code/", wrong).status_code for _ in range(7)]
    assert answers == [400] * 5 + [429] * 2
    assert AuditEvent.objects.filter(action="session.code_refused").count() == 5


@pytest.mark.parametrize(
    ("code", "password"), [("right", "wrong"), ("000000", factories.PASSWORD), ("", "")]
)
def test_it_is_not_turned_on_by_halves(
    client: Client, account: Account, code: str, password: str
) -> None:
    client.get("/account/second-factor/")
    form = {"code": code_of(account) if code == "right" else code, "password": password}
    assert client.post("/account/second-factor/", form).status_code == 400
    assert not two_factor.is_on(account)


def test_turning_it_off_asks_for_the_password(client: Client, account: Account) -> None:
    turn_on(client, account)
    assert client.post("/account/second-factor/off/", {"password": "x"}).status_code == 400
    assert two_factor.is_on(account)
    password = {"password": factories.PASSWORD}
    assert client.post("/account/second-factor/off/", password).status_code == 302
    assert not two_factor.is_on(account)
    actions = set(AuditEvent.objects.values_list("action", flat=True))
    assert {"account.second_factor_on", "account.second_factor_off"} <= actions


def test_new_recovery_codes_replace_the_old(client: Client, account: Account) -> None:
    old = turn_on(client, account)
    page = client.post("/account/recovery-codes/", {"password": factories.PASSWORD})
    assert old[0] not in page.content.decode()
    assert two_factor.spend(account, old[0]) == ""
    assert two_factor.codes_left(account) == 10


def test_secrets_are_sealed(client: Client, account: Account) -> None:
    turn_on(client, account)
    factor = SecondFactor.objects.get()
    assert two_factor.secret_of(factor).encode() not in bytes(factor.sealed)


def test_another_browser_is_signed_out(client: Client, account: Account) -> None:
    phone, laptop = Client(HTTP_USER_AGENT="Mozilla/5.0 (iPhone) Safari"), Client()
    for other in (phone, laptop):
        sign_in(other, account.email)
    page = client.get("/account/").content.decode()
    (handles,) = (re.findall(r"/account/sessions/([0-9a-f]{24})/end/", page),)
    assert len(handles) == 2, "not the one that asks"
    assert not any(key in page for key in Session.objects.values_list("session_key", flat=True))
    assert client.post(f"/account/sessions/{handles[0]}/end/").status_code == 302
    assert sorted(one.get("/account/").status_code for one in (phone, laptop)) == [200, 302]
    client.post("/account/sessions/end-others/")
    assert [one.get("/account/").status_code for one in (phone, laptop)] == [302, 302]
    assert client.get("/account/").status_code == 200


def test_nobody_ends_the_sessions_of_somebody_else(client: Client, account: Account) -> None:
    other = Client()
    sign_in(other, factories.make_account("mallory@example.com").email)
    page = other.get("/account/").content.decode()
    other.post("/account/sessions/end-others/")
    assert client.get("/account/").status_code == 200
    assert "olivia" not in page
