"""A name is given to one project, and an address to one account, however often it is asked for."""

from collections.abc import Callable
from io import StringIO

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError

from backups_portal.accounts.management.commands import create_account
from backups_portal.accounts.models import Account
from backups_portal.projectdb.provisioning import drop_database
from backups_portal.projects.models import Project
from tests.at_once import at_once
from tests.factories import make_account
from tests.faults.laboratory import databases

pytestmark = pytest.mark.usefixtures("transactional_db", "project_server")


def outcomes_of_two(command: Callable[[], None]) -> list[str]:
    """Run a command twice at the same time; return the errors, and "" for a success."""
    said: list[str] = []

    def run() -> None:
        try:
            command()
        except CommandError as error:
            said.append(str(error))
        else:
            said.append("")

    at_once(run, run)
    return sorted(said)


def test_a_project_that_is_created_twice_at_once_is_one() -> None:
    owner, others = make_account(), databases()
    said = outcomes_of_two(
        lambda: call_command("create_project", "Twin", "--owner", owner.email, stdout=StringIO())
    )
    project = Project.objects.get()
    try:
        assert said == ["", "You already have a project named “Twin”. Choose another name."]
        assert databases() - others == {project.database}
    finally:
        drop_database(settings.PROJECT_DATABASE_URL, prefix=project.prefix)


def test_an_account_that_is_created_twice_at_once_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(create_account.sys, "stdin", StringIO("a long pass phrase\n" * 2))
    said = outcomes_of_two(
        lambda: call_command("create_account", "new@example.com", stdout=StringIO())
    )
    assert said == ["", "The account new@example.com already exists."]
    assert Account.objects.count() == 1
