"""A command that cannot reach a server says so in one sentence."""

import os
import subprocess
import sys
from io import StringIO

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import connection

from backups_portal.audit.operator_command import OperatorCommand
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
