"""After an upgrade from version 0.1.0 every account still signs in.

`version_0_1_0.sql` was written by pg_dump from an installation of that version, whose key is
`01` 32 times: Olivia with an app, ten recovery codes of which she used the first, and a token;
Peter, who began to set an app up; and an account that is closed.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings
from psycopg import sql
from psycopg.conninfo import make_conninfo

NAME = "version_0_1_0"
DUMP = Path(__file__).with_name(f"{NAME}.sql")
KEY = "01" * 32
SECRET = "UNALE3Q6WUU6XYGOLTU7T277MBY7PBYY"
CODES = ["2g2xw-t4hgp", "ctzd2-tvmb5", "ta2gk-ef7px", "7zj7w-78px9"]
TOKEN = "bp_4b04f8112f1189d06f8cc5f064889240dfa62e06"
PASSWORD = "correct horse battery"
SCRIPT = """
import json, django; django.setup()
from django.conf import settings
from django.test import Client
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib.contenttypes.models import ContentType
from backups_portal.access_tokens.issued_tokens import find_access_token, refusal_of
from backups_portal.accounts.models import Account
from tests.accounts.test_security import shown_by_app
secret, codes, token, password = json.loads(input())
def sign_in(email, *sent):
    client = Client()
    path = client.post("/sign-in/", {"username": email, "password": password}).get("Location", "")
    answers = [client.post(path, {"code": code}).status_code for code in sent]
    return [path, *answers, client.get("/account/").status_code]
found = find_access_token(token)
print(json.dumps({
    "app": sign_in("olivia@example.com", shown_by_app(secret)),
    "unused": sign_in("OLIVIA@example.com", codes[1].upper()),
    "without its dash": sign_in("olivia@example.com", codes[2].replace("-", " ")),
    "used before": sign_in("olivia@example.com", codes[0]),
    "used just now": sign_in("olivia@example.com", codes[1]),
    "made up": sign_in("olivia@example.com", "aaaaa-aaaaa"),
    "begun": sign_in("peter@example.com"),
    "closed": sign_in("closed@example.com"),
    "token": [found.account.email, found.name, refusal_of(found)],
    "apps of tokens": [one.app_label for one in ContentType.objects.filter(model="accesstoken")],
    "emails": sorted(EmailAddress.objects.values_list("email", "verified", "primary")),
    "names": sorted(Account.objects.values_list("email", "name")),
    "left": [len(one.wrap().get_unused_codes())
             for one in Authenticator.objects.filter(type="recovery_codes")],
}))
"""


@pytest.fixture
def database() -> Any:
    """The URL of a database of version 0.1.0."""
    server = os.environ["DATABASE_URL"]
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {}").format(sql.Identifier(NAME)))
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(NAME)))
    with psycopg.connect(make_conninfo(server, dbname=NAME), autocommit=True) as connection:
        connection.execute(DUMP.read_bytes())
    before, _, last = server.rpartition("/")
    yield f"{before}/{NAME}{''.join(last.partition('?')[1:])}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(NAME)))


def test_everybody_of_version_0_1_0_still_signs_in(database: str) -> None:
    environment = {
        **os.environ,
        "DATABASE_URL": database,
        "INSTALLATION_KEY": KEY,
        "DJANGO_SETTINGS_MODULE": "backups_portal.settings",
        "ALLOWED_HOSTS": "testserver",
        # Serve static files without collecting them.
        "DEBUG": "1",
        "SECURE_COOKIES": "0",
    }

    def run(*command: str, told: str = "") -> str:
        done = subprocess.run(
            [sys.executable, *command],
            env=environment,
            cwd=settings.BASE_DIR,
            input=told,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    run("manage.py", "migrate", "--verbosity=0")
    told = json.dumps([SECRET, CODES, TOKEN, PASSWORD])
    found = json.loads(run("-c", SCRIPT, told=told).splitlines()[-1])
    code = "/sign-in/code/"
    assert found == {
        "app": [code, 302, 200],
        "unused": [code, 302, 200],
        "without its dash": [code, 302, 200],
        "used before": [code, 400, 302],
        "used just now": [code, 400, 302],
        "made up": [code, 400, 302],
        "begun": ["/", 200],
        "closed": ["", 302],
        "token": ["olivia@example.com", "nightly drill", ""],
        "apps of tokens": ["access_tokens"],
        "emails": [
            ["closed@example.com", True, True],
            ["olivia@example.com", True, True],
            ["peter@example.com", True, True],
        ],
        "names": [
            ["closed@example.com", ""],
            # allauth stores addresses in lowercase.
            ["olivia@example.com", "Olivia Owner"],
            ["peter@example.com", ""],
        ],
        "left": [7],
    }
    with psycopg.connect(database) as connection:
        left = connection.execute(
            "SELECT count(*) FROM pg_tables WHERE tablename ~ 'qsession|secondfactor|recoverycode'"
        ).fetchone()
    assert left == (0,)
