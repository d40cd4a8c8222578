"""The operators' command that creates accounts."""

import io
import json

import pytest
from allauth.account.models import EmailAddress
from django.core.management import CommandError, call_command
from django.test import Client

from backups_portal.accounts.models import Account
from backups_portal.accounts.second_factor import asks_for_code
from backups_portal.audit.models import AuditEvent
from tests.accounts.test_security import turn_on

pytestmark = pytest.mark.django_db


def create(email: str, password: str, monkeypatch: pytest.MonkeyPatch, **options: object) -> str:
    monkeypatch.setattr("sys.stdin", io.StringIO(f"{password}\n"))
    out = io.StringIO()
    call_command("create_account", email, stdout=out, **options)
    return out.getvalue()


def test_account_can_sign_in(monkeypatch: pytest.MonkeyPatch) -> None:
    said = create("ada@example.com", "correct horse battery", monkeypatch, json=True)
    account = Account.objects.get(email="ada@example.com")
    assert json.loads(said) == {"id": account.pk, "email": "ada@example.com"}
    assert account.check_password("correct horse battery")
    event = AuditEvent.objects.get()
    assert (event.action, event.subject, event.account_id) == (
        "account.created",
        account.email,
        None,
    )


def test_a_command_that_is_cut_short_leaves_no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    def cut(**_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("backups_portal.accounts.models.record", cut)
    with pytest.raises(KeyboardInterrupt):
        create("ada@example.com", "correct horse battery", monkeypatch)
    assert not Account.objects.exists()
    assert not EmailAddress.objects.exists()


def test_a_new_password_is_given_and_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account.objects.create_user("ada@example.com", "correct horse battery")
    monkeypatch.setattr("getpass.getpass", lambda prompt="": "another horse battery")
    call_command("changepassword", account.email, stdout=io.StringIO())
    account.refresh_from_db()
    assert account.check_password("another horse battery")
    event = AuditEvent.objects.get()
    assert (event.action, event.subject) == ("account.password_set", account.email)


def test_an_account_is_found_by_its_email_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account.objects.create_user("ada@example.com", "correct horse battery")
    monkeypatch.setattr("getpass.getpass", lambda prompt="": "another horse battery")
    call_command("changepassword", "Ada@Example.com", stdout=io.StringIO())
    account.refresh_from_db()
    assert account.check_password("another horse battery")


def test_an_account_has_an_email_and_no_user_name() -> None:
    with pytest.raises(CommandError, match="required: EMAIL"):
        call_command("changepassword")


def test_what_was_not_changed_is_not_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    account = Account.objects.create_user("ada@example.com", "correct horse battery")
    monkeypatch.setattr("getpass.getpass", lambda prompt="": "short")
    for name in (account.email, "nobody@example.com"):
        with pytest.raises(CommandError):
            call_command("changepassword", name, stdout=io.StringIO(), stderr=io.StringIO())
    assert not AuditEvent.objects.exists()


@pytest.mark.parametrize(
    ("email", "password", "message"),
    [
        ("ada@example.com", "short", "too short"),
        ("ada@example.com", "password", "too common"),
        ("ada", "correct horse battery", "e-mail address"),
        ("TAKEN@example.com", "correct horse battery", "account TAKEN@example.com already exists"),
    ],
)
def test_what_cannot_sign_in_is_not_created(
    email: str, password: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Account.objects.create_user("taken@example.com", "correct horse battery")
    with pytest.raises(CommandError, match=message):
        create(email, password, monkeypatch)
    assert Account.objects.count() == 1


def test_a_lost_second_factor_is_taken_off(client: Client) -> None:
    account = Account.objects.create_user("ada@example.com", "correct horse battery")
    client.post("/sign-in/", {"username": account.email, "password": "correct horse battery"})
    turn_on(client, account)
    out = io.StringIO()
    call_command("reset_second_factor", "ADA@example.com", json=True, stdout=out)
    assert json.loads(out.getvalue()) == {
        "email": "ada@example.com",
        "removed": ["recovery_codes", "totp"],
    }
    assert not asks_for_code(account)
    event = AuditEvent.objects.get(action="account.second_factor_reset")
    assert (event.subject, event.account_id) == ("ada@example.com", None)
    assert event.details["account"] == account.pk
    assert (event.details["removed"], event.details["via"]) == ("recovery_codes, totp", "command")
    for email, said in (("ada@example.com", "no second factor"), ("x@example.com", "no account")):
        with pytest.raises(CommandError, match=said):
            call_command("reset_second_factor", email, stdout=out)
    assert AuditEvent.objects.filter(action="account.second_factor_reset").count() == 1


def test_who_was_made_by_the_operator_is_vouched_for(monkeypatch: pytest.MonkeyPatch) -> None:
    create("Ada@example.com", "correct horse battery", monkeypatch)
    (address,) = EmailAddress.objects.values_list("email", "verified", "primary")
    assert address == ("ada@example.com", True, True)
