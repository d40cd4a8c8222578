"""A server that holds no project any more is taken off the lists; its name is free again."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import Any

import pytest
from django.conf import settings
from django.core.management.base import CommandError
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from backups_portal.audit.models import AuditEvent
from backups_portal.billing.charge_ledger import current_quote
from backups_portal.projectdb.provisioning import ProvisioningError
from backups_portal.projects.due_times import parse_time
from backups_portal.projects.errors import ServerRefusedError
from backups_portal.projects.models import DatabaseServer, Project
from backups_portal.projects.project_creation import BackupSettings, Instance, publish_project
from backups_portal.projects.servers import (
    check_servers,
    choose_server,
    register_server,
    remove_server,
)
from tests.factories import make_account, make_project_row
from tests.projects.test_servers import run, server

pytestmark = pytest.mark.django_db


def remove(name: str) -> list[str]:
    return [row["name"] for row in run("remove", name)]


def test_it_leaves_the_lists_and_its_row_stays_for_removed_projects() -> None:
    register_server("main", settings.PROJECT_DATABASE_URL)
    lost = server("lost", is_open=False)
    project = make_project_row(server=lost, state=Project.State.REMOVED)
    assert remove("lost") == ["main"]
    assert [row["name"] for row in run("list")] == ["main"]
    assert check_servers() == {"main": ""}
    assert Project.objects.get(pk=project.pk).server.name == "lost"
    events = AuditEvent.objects.filter(subject="lost").values_list("action", flat=True)
    assert list(events) == ["server.removed"]


def test_one_that_is_removed_while_it_is_asked_is_not_called_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server("lost", is_open=False)

    def ask(*_: object, **__: object) -> list[str]:
        remove_server("lost")
        return ["timeout expired"]

    monkeypatch.setattr("backups_portal.projects.servers.run_parallel", ask)
    check_servers()
    assert [event.action for event in AuditEvent.objects.all()] == ["server.removed"]


def test_a_new_server_may_have_its_name() -> None:
    lost = server("lost", is_open=False)
    remove("lost")
    run("add", "lost", "--url", settings.PROJECT_DATABASE_URL)
    assert choose_server("lost").pk != lost.pk


@pytest.mark.parametrize(
    ("is_open", "project", "why"),
    [
        (True, None, "“lost” accepts new projects. Close it first"),
        (
            False,
            {"state": "active"},
            (
                "“lost” holds 1.project. Restore it on another server, and shut it down here: "
                "“lost” can be removed once its grace period is over."
            ),
        ),
        (False, {"state": "shut_down", "shut_down_at": timezone.now()}, "“lost” holds 1.project"),
    ],
)
def test_one_that_is_needed_stays(is_open: bool, project: dict[str, Any] | None, why: str) -> None:
    lost = server("lost", is_open=is_open)
    if project:
        make_project_row(server=lost, **project)
    with pytest.raises(CommandError, match=f"^{why}"):
        remove("lost")
    assert [row["name"] for row in run("list")] == ["lost"]
    assert not AuditEvent.objects.filter(action="server.removed").exists()


def test_one_that_is_unknown_is_named() -> None:
    with pytest.raises(CommandError, match="There is no database server “lost”"):
        remove("lost")


def publish(lost: DatabaseServer) -> Project:
    return publish_project(
        instance=Instance(lost, "0a1b2c3d", "secret"),
        name="Cold Chain",
        owner=make_account(),
        settings=BackupSettings(parse_time("03:00"), "UTC", 7, timezone.now()),
        quote=current_quote(),
        reason="",
    )


def test_a_restore_that_was_under_way_publishes_no_project_there() -> None:
    lost = server("lost", is_open=False)
    remove("lost")
    with pytest.raises(ProvisioningError, match="removed"):
        publish(lost)
    assert not DatabaseServer.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_a_server_that_a_project_is_just_published_on_stays() -> None:
    lost = server("lost", is_open=False)

    def remove_now() -> None:
        with closing(connection):
            remove_server("lost")

    with ThreadPoolExecutor() as pool:
        with transaction.atomic():
            publish(lost)
            removal = pool.submit(remove_now)
            with suppress(TimeoutError):
                removal.result(timeout=1)
        with pytest.raises(ServerRefusedError, match=r"holds 1.project"):
            removal.result()
    assert DatabaseServer.objects.get() == lost


def test_two_that_are_in_use_have_two_names() -> None:
    server("lost")
    with pytest.raises(IntegrityError, match="server_name_unique"):
        server("lost")
