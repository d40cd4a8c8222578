"""The audit log for readers: events filtered, in words, and as CSV."""

import json
import re
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from django.db.models import QuerySet

from backups_portal.audit.models import AuditEvent
from backups_portal.lib.json_types import JsonObject
from backups_portal.ui import formats
from backups_portal.ui.csv_escaping import csv_line

# The areas of actions that the filter offers.
AREAS = {
    "snapshot": "Backups",
    "restore": "Restores",
    "proof": "Proofs",
    "check": "Checks",
    "transfer": "Data transfers",
    "data": "CSV files",
    "settings": "Settings",
    "token": "Tokens",
    "member": "Members",
    "invitation": "Invitations",
    "objective": "Recovery objectives",
    "notifications": "Notifications",
    "project": "Project",
    "evidence": "Evidence",
    "access": "Refused access",
}
WORDS = {
    "access.refused": "Access refused",
    "check.failed": "Checks not passed",
    "database.stray_dropped": "Leftover database dropped",
    "data.exported": "Data exported",
    "data.imported": "Data imported",
    "evidence.downloaded": "Backup evidence downloaded",
    "evidence.viewed": "Backup evidence viewed",
    "invitation.withdrawn": "Invitation withdrawn",
    "member.invited": "Member invited",
    "notifications.digest": "Weekly digest",
    "objective.changed": "Recovery objectives changed",
    "objective.met": "Recovery objective met again",
    "objective.missed": "Recovery objective missed",
    "snapshot.completed": "Backup stored",
    "snapshot.device_exported": "Device exported from a backup",
    "snapshot.downloaded": "Backup downloaded",
    "snapshot.expired": "Backup removed",
    "snapshot.failed": "Backup failed",
    "snapshot.held": "Backup held",
    "snapshot.looked_inside": "Contents of a backup viewed",
    "snapshot.missed": "Backup missed",
    "snapshot.objects_missing": "Backup incomplete in storage",
    "snapshot.released": "Backup released",
    "snapshot.repair_started": "Repair of backups begun",
    "snapshot.repaired": "Backup repaired from its copy",
    "snapshot.size_anomaly": "Backup unusually small",
    "snapshot.storage_healed": "Damaged parts of backups repaired",
    "storage.deletions_undone": "Deleted backups brought back",
    "server.away": "Database server not responding",
    "server.back": "Database server responding again",
    "server.removed": "Database server removed",
    "project.shut_down": "Project shut down",
    "project.still_running": "Restored project still running",
    "token.refused": "Token refused",
    "project.removed": "Project removed",
    "project.data_removed": "Database and backups removed",
    "project.started_again": "Project started again",
}
# The labels of settings and figures, if they differ from their names.
LABELS = {
    "backup_time": "Daily backup schedule",
    "backup_time_zone": "Time zone",
    "compare_seconds": "Compared in",
    "max_loss_hours": "Data lost at most",
    "max_restore_minutes": "Back within",
    "proof_policy": "Proof of backups",
    "restore_seconds": "Restored in",
    "retention_days": "Backup retention period",
    "stored_bytes": "Stored size",
}
# Details that pages leave out: ids mean nothing to readers, and the subject or the reason has the
# rest. The CSV includes them.
SILENT = {
    *("snapshot", "restore", "transfer", "new_project", "local_date"),
    *("first_backup", "first_day", "last_day"),
    *("objective", "wanted", "breach_began_at", "period"),
}
OF_A_BACKUP = re.compile(r"((?:Backup|Copy of the backup) of )(\d{4}-\d\d-\d\d)")
HEADERS = ("time_utc", "action", "account", "subject", "address", "details")


def events_of(
    project_id: uuid.UUID,
    *,
    area: str = "",
    who: str = "",
    since: date | None = None,
    until: date | None = None,
) -> QuerySet[AuditEvent]:
    """Select a project's events, newest first.

    Args:
        area: the first part of an action, a key of AREAS.
        who: a part of the account's e-mail address.
        since: first day, in UTC.
        until: last day, in UTC.
    """
    events = AuditEvent.objects.filter(project_id=project_id).order_by("-at", "-pk")
    if area:
        events = events.filter(action__startswith=f"{area}.")
    if who:
        events = events.filter(account_email__icontains=who)
    if since:
        events = events.filter(at__gte=datetime.combine(since, time.min, UTC))
    if until:
        # Until the last microsecond of the day: the day after 9999-12-31 does not exist.
        events = events.filter(at__lte=datetime.combine(until, time.max, UTC))
    return events


@dataclass(frozen=True)
class Change:
    """A change in words."""

    event: AuditEvent
    details: list[str]


def last_change_of_settings(
    project_id: uuid.UUID, *, action: str = "settings.changed"
) -> Change | None:
    """Return the latest change to a main database's settings, in words."""
    changes = AuditEvent.objects.filter(project_id=project_id, action=action)
    event = changes.order_by("-at", "-pk").first()
    return Change(event, details_in_words(event.details)) if event else None


def in_words(action: str) -> str:
    """Put an action in words: "snapshot.failed" is "Backup failed"."""
    area, _, verb = action.partition(".")
    return WORDS.get(action) or f"{area} {verb}".replace("_", " ").capitalize()


def subject_in_words(subject: str, day: Callable[[date], str] = formats.day) -> str:
    """Write a subject as pages and mails do: "Backup of 23 Nov 2026"."""
    found = OF_A_BACKUP.fullmatch(subject)
    try:
        return found[1] + day(date.fromisoformat(found[2])) if found else subject
    except ValueError:
        # A project happens to have such a name.
        return subject


def details_in_words(details: JsonObject) -> list[str]:
    """Put an event's details in words, one per line, with old and new values."""
    lines = []
    for name, value in details.items():
        label = LABELS.get(name) or name.replace("_", " ").capitalize()
        if isinstance(value, dict) and value.keys() == {"old", "new"}:
            old, new = (_value_in_words(name, value[which]) for which in ("old", "new"))
            lines.append(f"{label}: {old} → {new}")
        elif isinstance(value, str | int | float) and value != "" and name not in SILENT:
            lines.append(f"{label}: {_value_in_words(name, value)}")
    return lines


def event_in_words(event: AuditEvent, day: Callable[[date], str]) -> dict[str, object]:
    """Describe an event for a template; `day` writes the days in its subject."""
    return {
        "event": event,
        "action": in_words(event.action),
        "subject": subject_in_words(event.subject, day),
        "details": details_in_words(event.details),
    }


def _value_in_words(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float):
        return str(value)
    if name.endswith("_seconds"):
        return formats.duration(timedelta(seconds=value))
    if name.endswith("bytes"):
        return formats.data_size(int(value))
    for noun in ("day", "hour", "minute"):
        if name.endswith(f"_{noun}s"):
            return formats.count(int(value), noun)
    return f"{value:,}"


def as_csv(events: Iterable[AuditEvent]) -> Iterator[str]:
    """Write the events as lines of CSV, starting with a header."""
    yield csv_line(HEADERS)
    for event in events:
        yield csv_line(
            (
                event.at.isoformat(),
                event.action,
                event.who or "system",
                event.subject,
                event.address or "",
                json.dumps(event.details, sort_keys=True),
            )
        )
