"""The audit log as its readers see it: in words, filtered, and as CSV."""

import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.db.models import QuerySet

from backups_portal.audit.models import AuditEvent
from backups_portal.lib.compiled import compiled
from backups_portal.ui import formats
from backups_portal.ui.spreadsheets import csv_line

# Areas of actions, as a filter offers them.
AREAS = {
    "snapshot": "Backups",
    "restore": "Restores",
    "proof": "Proofs",
    "transfer": "Moved data",
    "data": "CSV files",
    "settings": "Settings",
    "token": "Tokens",
    "member": "Members",
    "invitation": "Invitations",
    "notifications": "Notifications",
    "project": "Project",
    "access": "Refused access",
}
WORDS = {
    "access.refused": "Access refused",
    "database.stray_dropped": "Database left behind dropped",
    "data.exported": "Data exported",
    "data.imported": "Data imported",
    "invitation.withdrawn": "Invitation withdrawn",
    "member.invited": "Member invited",
    "snapshot.completed": "Backup stored",
    "snapshot.downloaded": "Backup downloaded",
    "snapshot.expired": "Backup removed",
    "snapshot.failed": "Backup failed",
    "snapshot.held": "Backup kept",
    "snapshot.missed": "Backup missed",
    "snapshot.objects_missing": "Backup found incomplete in storage",
    "snapshot.released": "Backup released",
    "snapshot.size_anomaly": "Backup unusually small",
    "server.away": "Database server away",
    "server.back": "Database server answers again",
    "project.shut_down": "Project shut down",
    "project.still_running": "Restored project still running",
    "token.refused": "Token refused",
    "project.removed": "Project removed",
    "project.data_removed": "Database and backups removed",
    "project.started_again": "Project started again",
}
# What pages call a setting, where that is not its name.
LABELS = {
    "backup_time": "Daily backup schedule",
    "backup_time_zone": "Time zone",
    "proof_policy": "Proof of backups",
    "retention_days": "Backup retention period",
}
# Ids say nothing to people; the CSV has them.
SILENT = {"snapshot", "restore", "transfer", "new_project"}
HEADERS = ("time_utc", "action", "account", "subject", "address", "details")


@compiled
def all_events_of(project_id: uuid.UUID) -> QuerySet[AuditEvent]:
    """What happened to a project, newest first, as far as a page shows it."""
    return _of_project(project_id).defer("position", "seal")


def _of_project(project_id: uuid.UUID) -> QuerySet[AuditEvent]:
    return AuditEvent.objects.filter(project_id=project_id).order_by("-at", "-pk")


def events_of(
    project_id: uuid.UUID,
    *,
    area: str = "",
    who: str = "",
    since: date | None = None,
    until: date | None = None,
) -> QuerySet[AuditEvent]:
    """What happened to a project, newest first.

    Args:
        area: what an action begins with; a key of AREAS.
        who: a part of the account's e-mail.
        since: first day, in UTC.
        until: last day, in UTC.
    """
    events = _of_project(project_id)
    if area:
        events = events.filter(action__startswith=f"{area}.")
    if who:
        events = events.filter(account_email__icontains=who)
    if since:
        events = events.filter(at__gte=datetime.combine(since, time.min, UTC))
    if until:
        # To its last microsecond: the day after the last one of all does not exist.
        events = events.filter(at__lte=datetime.combine(until, time.max, UTC))
    return events


@dataclass(frozen=True)
class Change:
    """Something that somebody changed, in words."""

    event: AuditEvent
    details: list[str]


def last_change_of_settings(project_id: uuid.UUID) -> Change | None:
    """When the settings of a project's main database were changed last, by whom and how."""
    event = _changes_of_settings(project_id).first()
    return Change(event, details_in_words(event.details)) if event else None


@compiled
def _changes_of_settings(project_id: uuid.UUID) -> QuerySet[AuditEvent]:
    found = AuditEvent.objects.filter(project_id=project_id, action="settings.changed")
    return found.order_by("-at", "-pk")


def in_words(action: str) -> str:
    """An action for people: "snapshot.failed" is "Backup failed"."""
    area, _, verb = action.partition(".")
    return WORDS.get(action) or f"{area} {verb}".replace("_", " ").capitalize()


def details_in_words(details: dict[str, Any]) -> list[str]:
    """What an event says besides, a line each; a changed setting with its old and new value."""
    lines = []
    for name, value in details.items():
        label = LABELS.get(name) or name.replace("_", " ").capitalize()
        if isinstance(value, dict) and value.keys() == {"old", "new"}:
            old, new = (_value_in_words(name, value[which]) for which in ("old", "new"))
            lines.append(f"{label}: {old} → {new}")
        elif isinstance(value, str | int | float) and value != "" and name not in SILENT:
            lines.append(f"{label}: {_value_in_words(name, value)}")
    return lines


def _value_in_words(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, int | float):
        return str(value)
    if name.endswith("_seconds"):
        return formats.duration(timedelta(seconds=value))
    if name.endswith("bytes"):
        return formats.data_size(int(value))
    if name.endswith("_days"):
        return f"{value:,} day{'' if value == 1 else 's'}"
    return f"{value:,}"


def as_csv(events: QuerySet[AuditEvent]) -> Iterator[str]:
    """The events as lines of CSV, with a line of headers; read in batches."""
    yield csv_line(HEADERS)
    for event in events.iterator(chunk_size=2_000):
        yield csv_line(
            (
                event.at.isoformat(),
                event.action,
                event.account_email or "system",
                event.subject,
                event.address or "",
                json.dumps(event.details, sort_keys=True),
            )
        )
