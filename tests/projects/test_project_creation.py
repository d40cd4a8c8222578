"""A name is given to one project, and an address to one account, however often it is asked for."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from io import StringIO
from threading import Barrier, BrokenBarrierError

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError

from backups_portal.accounts.management.commands import create_account
from backups_portal.accounts.models import Account
from backups_portal.projectdb.provisioning import drop_database
from backups_portal.projects import project_creation
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


def test_two_owners_take_the_same_name_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    owners, both = [make_account(), make_account()], Barrier(2)
    free_slug = project_creation.free_slug

    def found_by_both(name: str) -> str:
        slug = free_slug(name)
        with suppress(BrokenBarrierError):
            both.wait(2)
        return slug

    monkeypatch.setattr(project_creation, "free_slug", found_by_both)
    create = partial(call_command, "create_project", "Twin", stdout=StringIO())
    try:
        at_once(*(partial(create, "--owner", owner.email) for owner in owners))
        assert {project.created_by for project in Project.objects.all()} == {*owners}
        assert Project.objects.filter(slug="twin").count() == 1
    finally:
        for project in Project.objects.all():
            drop_database(settings.PROJECT_DATABASE_URL, prefix=project.prefix)


def test_an_account_that_is_created_twice_at_once_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(create_account.sys, "stdin", StringIO("a long pass phrase\n" * 2))
    said = outcomes_of_two(
        lambda: call_command("create_account", "new@example.com", stdout=StringIO())
    )
    assert said == ["", "The account new@example.com already exists."]
    assert Account.objects.count() == 1
