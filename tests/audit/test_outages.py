"""A command that cannot reach a server says so in one sentence."""

import os
import secrets
import subprocess
import sys
from io import StringIO

import psycopg
import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from backups_portal.audit.operator_command import OperatorCommand
from backups_portal.lib.command_errors import NOT_MIGRATED
from backups_portal.projectdb.database_url import database_url
from tests.factories import make_project_row

AWAY = "postgresql://portal:hidden@127.0.0.1:1/portal"
PROJECT_COMMANDS = ("new_ids", "export_csv")


@pytest.mark.parametrize(
    "command", [["prune_snapshots"], ["create_account", "ada@example.com"], ["verify_audit"]]
)
def test_the_portals_database_is_away(command: list[str]) -> None:
    ended = subprocess.run(
        [sys.executable, "manage.py", *command],
        env={**os.environ, "DATABASE_URL": AWAY},
        input="a password\n",
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    (line,) = [text for text in ended.stderr.splitlines() if text.startswith("CommandError")]
    assert line == "CommandError: The portal's database is not responding: Connection refused."
    assert "Traceback" not in ended.stderr
    assert "hidden" not in ended.stderr


def failed(database_url: str, *command: str) -> str:
    """Return what a command prints when it fails."""
    ended = subprocess.run(
        [sys.executable, "manage.py", *command],
        env={**os.environ, "DATABASE_URL": database_url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 1
    return ended.stderr.strip()


def test_the_first_command_of_an_installation_has_a_wrong_address() -> None:
    right = os.environ["DATABASE_URL"]
    wrong = {
        AWAY: "is not responding: Connection refused",
        right.replace("://", "://no-", 1): "has refused: password authentication failed",
        f"{right.rpartition('/')[0]}/none": 'has refused: database "none" does not exist',
    }
    for url, said in wrong.items():
        assert failed(url, "migrate") == f"backups-portal: The portal's database {said}."


@pytest.mark.django_db
def test_the_role_of_an_installation_does_not_own_its_database() -> None:
    """So nothing was migrated either, as the next commands say."""
    role, name = f"poor_{secrets.token_hex(4)}", f"poor_{secrets.token_hex(4)}"
    server = os.environ["DATABASE_URL"]
    with psycopg.connect(server, autocommit=True) as portal:
        portal.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'poor'".encode())
        portal.execute(f"CREATE DATABASE {name}".encode())
        try:
            url = database_url(server, database=name, user=role, password="poor")
            said, then = failed(url, "migrate"), failed(url, "prune_snapshots")
        finally:
            portal.execute(f"DROP DATABASE {name}".encode())
            portal.execute(f"DROP ROLE {role}".encode())
    assert said == (
        "backups-portal: The portal's role cannot create tables in its database: permission denied "
        "for schema public. If it lacks the right, make it the owner: ALTER DATABASE name OWNER TO "
        "role."
    )
    assert then == f"backups-portal: {NOT_MIGRATED}"


@pytest.mark.django_db
@pytest.mark.parametrize("command", PROJECT_COMMANDS)
def test_a_main_database_is_away(command: str) -> None:
    with pytest.raises(
        CommandError, match=r"^A main database is not responding: Connection refused\.$"
    ):
        call_command(command, make_project_row().slug, "5" * 24, stdout=StringIO())


@pytest.mark.django_db
def test_a_database_that_refuses_is_not_called_away() -> None:
    class Slow(OperatorCommand):
        def handle(self, *args: object, **options: object) -> None:
            with connection.cursor() as cursor:
                cursor.execute("SET LOCAL statement_timeout = 1")
                cursor.execute("SELECT pg_sleep(5)")

    with pytest.raises(CommandError, match=r"^The portal's database has refused: canceling stat"):
        call_command(Slow())
