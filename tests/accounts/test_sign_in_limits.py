"""Guessing passwords: attacks are bounded, and legitimate users hardly notice."""

import pytest
from django.test import Client
from pytest_django import Settings

from backups_portal.accounts.models import Account
from backups_portal.accounts.sign_in_limits import take_sign_in
from backups_portal.audit.models import AuditEvent
from backups_portal.lib.client_address import asked_from, neighbourhood
from tests import factories
from tests.accounts.test_sign_in import sign_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def account(settings: Settings) -> Account:
    """An account whose password is cheap to check, since a test checks many."""
    account = factories.make_account("olivia@example.com")
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    account.set_password(factories.PASSWORD)
    account.save()
    return account


def attack(client: Client, email: str, tries: int, **extra: str) -> list[int]:
    """Return the answers to this many wrong passwords."""
    return [
        client.post(
            "/sign-in/", {"username": email, "password": f"guess {number}"}, **extra
        ).status_code
        for number in range(tries)
    ]


def test_after_five_wrong_passwords_nothing_is_looked_at(client: Client, account: Account) -> None:
    assert attack(client, "Olivia@Example.com", 60) == [400] * 5 + [429] * 55
    response = sign_in(client, "olivia@example.com")
    assert response.status_code == 429, "the right one is found out no faster"
    assert 0 < int(response["Retry-After"]) <= 15 * 60
    assert "15 minutes" in response.content.decode()
    assert "_auth_user_id" not in client.session
    told = AuditEvent.objects.filter(action="session.locked")
    assert told.count() == 1, "an attack does not fill the audit log"


def test_one_password_tried_on_many_accounts(client: Client, account: Account) -> None:
    answers = [attack(client, f"nobody{number}@example.com", 1)[0] for number in range(120)]
    assert answers == [400] * 100 + [429] * 20


def test_many_addresses_guess_no_faster(client: Client, account: Account) -> None:
    answers = [
        attack(client, "olivia@example.com", 1, REMOTE_ADDR=f"192.0.2.{number}")[0]
        for number in range(60)
    ]
    assert answers == [400] * 50 + [429] * 10


def test_who_has_signed_in_before_is_not_locked_out_by_others(
    client: Client, account: Account
) -> None:
    at_home = {"REMOTE_ADDR": "198.51.100.7"}
    password = {"username": account.email, "password": factories.PASSWORD}
    assert client.post("/sign-in/", password, **at_home).status_code == 302
    for number in range(60):
        attack(Client(), account.email, 1, REMOTE_ADDR=f"192.0.2.{number}")
    assert Client().post("/sign-in/", password, **at_home).status_code == 302
    assert Client().post("/sign-in/", password).status_code == 429


@pytest.mark.parametrize(
    "spellings",
    [
        # The database matches each of these with the account: a long s is uppercased to an S…
        [
            "oskar@example.com",
            "OSKAR@EXAMPLE.COM",
            "o\u017fkar@example.com",
            "o\u017fKAR@example.com",
        ],
        # …or with no account, written in letters that look alike.
        [
            "nobody@example.com",
            "\uff4eobody@example.com",
            "NOBODY@example.com",
            "noBODY@example.com",
        ],
    ],
)
def test_another_spelling_is_no_new_beginning(spellings: list[str]) -> None:
    factories.make_account("oskar@example.com")
    with asked_from("192.0.2.1"):
        waits = [take_sign_in(spellings[number % 4]) > 0 for number in range(8)]
    assert waits == [False] * 5 + [True] * 3


def test_the_right_password_forgives_the_wrong_ones(client: Client, account: Account) -> None:
    for _ in range(3):
        attack(client, account.email, 4)
        assert sign_in(Client(), account.email).status_code == 302


def test_an_ipv6_client_is_its_network() -> None:
    assert neighbourhood("2001:db8::1") == neighbourhood("2001:db8::2:3")
    assert neighbourhood("2001:db8::1") != neighbourhood("2001:db8:0:1::1")
    assert neighbourhood(None) == "nowhere"


def test_without_a_proxy_no_header_is_believed(client: Client, account: Account) -> None:
    answers = [
        attack(client, account.email, 1, HTTP_X_FORWARDED_FOR=f"192.0.2.{number}")[0]
        for number in range(6)
    ]
    assert answers == [400] * 5 + [429]


@pytest.mark.parametrize(
    "entry",
    ["{}", "{}:{}", '"{}:{}"', " {}:{} ", "203.0.113.250, {}:{}", "unknown,{}:{}", ",, {}:{}"],
)
def test_who_attacks_through_a_proxy_locks_nobody_else_out(
    client: Client, account: Account, settings: Settings, entry: str
) -> None:
    settings.PROXY_HOPS = 1
    guesses = [
        attack(client, account.email, 1, **forwarded(entry, "192.0.2.66", port))[0]
        for port in range(6)
    ]
    assert guesses == [400] * 5 + [429]
    other = {"username": account.email, "password": factories.PASSWORD}
    for_other = forwarded(entry, "192.0.2.67", 51_000)
    assert Client().post("/sign-in/", other, **for_other).status_code == 302


def forwarded(entry: str, address: str, port: int) -> dict[str, str]:
    """Return the header in which a proxy reports the client's address."""
    return {"HTTP_X_FORWARDED_FOR": entry.format(address, port)}
