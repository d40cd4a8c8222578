"""Commands that ask something, run where nobody can answer."""

import os
import subprocess
import sys

import pytest
from django.conf import settings

from backups_portal.accounts.models import Account
from tests.conftest import database_of_this_test

PASSWORD = "correct horse battery"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["changepassword", "ada@example.com"], "Standard input ended before it answered"),
        (["create_account", "new@example.com"], "This password is too short."),
        (["database_servers", "add", "second"], "Give the server's address"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_it_fails_with_a_sentence(command: list[str], said: str) -> None:
    account = Account.objects.create_user("ada@example.com", PASSWORD)
    done = subprocess.run(
        [sys.executable, "manage.py", *command],
        env={**os.environ, **database_of_this_test()},
        cwd=settings.BASE_DIR,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        # Without a terminal, from which getpass would read.
        start_new_session=True,
    )
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    account.refresh_from_db()
    assert account.check_password(PASSWORD)
    assert Account.objects.count() == 1
