"""The operators' command that makes accounts."""

import io
import json

import pytest
from django.core.management import CommandError, call_command

from backups_portal.accounts.models import Account

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


@pytest.mark.parametrize(
    ("email", "password", "message"),
    [
        ("ada@example.com", "short", "too short"),
        ("ada@example.com", "password", "too common"),
        ("ada", "correct horse battery", "valid email"),
        ("TAKEN@example.com", "correct horse battery", "is an account TAKEN@example.com already"),
    ],
)
def test_what_cannot_sign_in_is_not_created(
    email: str, password: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Account.objects.create_user("taken@example.com", "correct horse battery")
    with pytest.raises(CommandError, match=message):
        create(email, password, monkeypatch)
    assert Account.objects.count() == 1
