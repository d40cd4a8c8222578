"""The audit log names the operator for what was done by a command."""

import re
from io import StringIO

import pytest
from django.core.management import call_command, get_commands, load_command_class
from django.core.management.base import BaseCommand, CommandError, SystemCheckError
from pytest_django import Settings

from backups_portal.audit.audit_log import as_csv
from backups_portal.audit.models import AuditEvent
from backups_portal.audit.operator_command import ByOperator, system_user
from backups_portal.audit.recorder import acting_by_command, record
from backups_portal.lib.startup import SETTINGS
from tests.factories import make_account

OURS = ("backups_portal.", "snapshots", "restores")


def commands() -> dict[str, BaseCommand]:
    """Return the portal's commands by name."""
    ours = {name: app for name, app in get_commands().items() if str(app).startswith(OURS)}
    return {name: load_command_class(app, name) for name, app in ours.items()}


def test_every_command_of_the_portal_is_an_operators() -> None:
    ours = commands()
    assert {"create_project", "restore_snapshot", "transfer", "changepassword"} <= set(ours)
    assert not [name for name, one in ours.items() if not isinstance(one, ByOperator)]


def test_no_command_of_the_portal_loads_every_page_first() -> None:
    asked = {tag for one in commands().values() for tag in one.requires_system_checks}
    assert asked == {SETTINGS}


def test_a_command_does_not_begin_with_settings_that_a_backup_fails_by(settings: Settings) -> None:
    settings.SNAPSHOT_COPY_STORAGE = settings.SNAPSHOT_STORAGE
    with pytest.raises(SystemCheckError, match="names the same place"):
        call_command("create_account", "owner@example.com", skip_checks=False)


@pytest.mark.django_db
def test_no_account_counts_as_the_actor_of_a_command() -> None:
    owner = make_account()
    with acting_by_command("root"):
        event = record(action="project.created", actor=owner, details={"days": 7})
    assert (event.account_id, event.account_email, event.who) == (None, "", "operator (root)")
    assert event.details == {"days": 7, "via": "command", "system_user": "root"}
    assert "operator (root)" in list(as_csv([event]))[1]
    after = record(action="project.created", actor=owner)
    assert (after.account_id, after.who, after.details) == (owner.pk, owner.email, {})


@pytest.mark.django_db
def test_a_new_project_is_the_owners_and_the_act_is_not() -> None:
    owner = make_account()
    call_command("create_project", "Cold Chain", "--owner", owner.email, stdout=StringIO())
    event = AuditEvent.objects.get(action="project.created")
    assert (event.account_id, event.details["system_user"]) == (None, system_user())
    assert event.details["via"] == "command"


@pytest.mark.parametrize("text", ["noon", "2026-13-01", "9999-12-31", "0001-01-01T00:00+10:00"])
@pytest.mark.parametrize(
    "command",
    [
        ["run_schedule", "--at"],
        ["undo_deletions", "--since"],
        ["snapshot_records", "6f1c1a52-1a42-4d2c-a5d5-0e8d6b0f5a11", "device", "--since"],
        ["transfer", "source", "target", "--until"],
    ],
    ids=lambda command: command[0],
)
def test_a_time_that_is_none_is_refused_in_a_sentence(command: list[str], text: str) -> None:
    with pytest.raises(CommandError, match=f"“{re.escape(text)}” is not a time. Write it like"):
        call_command(*command, text)
