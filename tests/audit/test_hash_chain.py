"""The audit log is append-only, and its seals reveal tampering."""

import json
import re
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError, connection, transaction

from backups_portal.audit.hash_chain import seal_events, verify
from backups_portal.audit.models import AuditEvent
from backups_portal.audit.recorder import record

pytestmark = pytest.mark.django_db


@pytest.fixture
def events() -> list[AuditEvent]:
    """Five sealed events and an unsealed one."""
    made = [
        record(action="settings.changed", actor=None, subject=str(number), details={"n": number})
        for number in range(5)
    ]
    assert seal_events() == 5
    return [*made, record(action="session.signed_in", actor=None)]


def as_an_intruder(statement: str, *arguments: Any) -> None:
    """Execute a statement that the append-only triggers do not stop."""
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_auditevent DISABLE TRIGGER audit_append_only")
        cursor.execute(statement, arguments)
        cursor.execute("ALTER TABLE audit_auditevent ENABLE TRIGGER audit_append_only")


def test_a_log_that_nobody_touched(events: list[AuditEvent]) -> None:
    verdict = verify()
    assert (verdict.sealed, verdict.unsealed, verdict.broken) == (5, 1, "")
    assert seal_events() == 1
    assert seal_events() == 0
    assert verify().sealed == 6


def test_the_database_refuses_changes(events: list[AuditEvent]) -> None:
    attempts = (
        lambda: AuditEvent.objects.filter(pk=events[0].pk).update(subject="x"),
        lambda: AuditEvent.objects.filter(pk=events[5].pk).update(subject="x"),
        lambda: AuditEvent.objects.filter(pk=events[0].pk).update(seal=b"x"),
        lambda: AuditEvent.objects.filter(pk=events[0].pk).delete(),
    )
    for attempt in attempts:
        with pytest.raises(DatabaseError, match="only ever added to"), transaction.atomic():
            attempt()
    assert verify().broken == ""


@pytest.mark.parametrize(
    "change",
    ["subject = 'x'", "details = '{}'", "at = at + interval '1 s'", "account_id = 7", "seal = ''"],
)
def test_a_changed_event_is_found(events: list[AuditEvent], change: str) -> None:
    as_an_intruder(f"UPDATE audit_auditevent SET {change} WHERE id = %s", events[2].pk)
    verdict = verify()
    assert verdict.sealed == 2
    assert "position 3 was changed" in verdict.broken


def test_a_removed_event_is_found(events: list[AuditEvent]) -> None:
    as_an_intruder("DELETE FROM audit_auditevent WHERE id = %s", events[2].pk)
    assert verify().broken == "The event at position 3 is missing."
    as_an_intruder("UPDATE audit_auditevent SET position = position - 1 WHERE position > 3")
    assert "position 3 was changed" in verify().broken


def test_a_tail_that_was_cut_off_is_found_by_a_seal_that_was_noted(
    events: list[AuditEvent],
) -> None:
    out = StringIO()
    call_command("verify_audit", stdout=out)
    (noted,) = re.findall(r"5:[0-9a-f]{64}", out.getvalue())
    call_command("verify_audit", "--expect", noted, stdout=StringIO())
    as_an_intruder("DELETE FROM audit_auditevent WHERE id >= %s", events[3].pk)
    assert verify().broken == "", "what is left fits"
    with pytest.raises(CommandError, match="ends at position 3; position 5 was noted"):
        call_command("verify_audit", "--expect", noted, stdout=StringIO())
    forged = f"3:{'0' * 64}"
    with pytest.raises(CommandError, match="not the one that was noted"):
        call_command("verify_audit", "--expect", forged, stdout=StringIO())


def test_the_command_says_it_to_programs(events: list[AuditEvent]) -> None:
    out = StringIO()
    call_command("verify_audit", "--json", stdout=out)
    said = json.loads(out.getvalue())
    assert (said["sealed"], said["unsealed"], said["broken"]) == (5, 1, "")
    with pytest.raises(CommandError, match="Write the position"):
        call_command("verify_audit", "--expect", "last")


def test_another_key_makes_other_seals(events: list[AuditEvent], settings: Any) -> None:
    settings.INSTALLATION_KEY = "cd" * 32
    assert "position 1 was changed" in verify().broken


@pytest.mark.django_db
@pytest.mark.parametrize("position", ["²", "", "-1", "one"])
def test_a_position_that_is_no_number(position: str) -> None:
    with pytest.raises(CommandError, match="Write the position and its seal"):
        call_command("verify_audit", f"--expect={position}:{'a' * 64}")
