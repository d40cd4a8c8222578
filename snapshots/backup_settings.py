"""Changing when a project is backed up and for how long its backups are kept."""

import logging
from collections.abc import Callable, Mapping
from datetime import datetime, time
from typing import Any

from django.db import transaction
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.audit.services import record
from backups_portal.projects.models import MainDatabase, Project, snapshot_of_settings
from snapshots.errors import SettingsRefusedError
from snapshots.meanwhile import only_meant
from snapshots.models import Snapshot
from snapshots.schedule import last_run, next_run, parse_time, parse_zone

log = logging.getLogger(__name__)

SHORTEST_DAYS, LONGEST_DAYS = 1, 365
SCHEDULE_FIELDS = {"backup_time", "backup_time_zone"}


def change_backup_settings(
    *,
    database: MainDatabase,
    actor: Account,
    backup_time: str | time,
    backup_time_zone: str,
    retention_days: str | int,
    proof_policy: str | None = None,
    loaded: Mapping[str, Any] | None = None,
    address: str | None = None,
    now: datetime | None = None,
) -> MainDatabase:
    """Save the settings that differ, plan the next run anew, and record old and new values.

    Args:
        backup_time: A time, or "HH:MM" as a form sends it.
        retention_days: 1 to 365, as a number or its digits.
        proof_policy: "every", "weekly" or "off"; None leaves it as it is.
        loaded: The settings as the actor saw them, by name; those wanted the same stay as they
            are by now. What is not among them is saved whatever it was.

    Returns:
        The row as it is now.

    Raises:
        SettingsRefusedError: names each wrong field; nothing was saved.
        SettingsChangedMeanwhileError: the same for what somebody else changed since `loaded`.
    """
    try:
        wanted = read_settings(backup_time, backup_time_zone, retention_days, proof_policy)
        with transaction.atomic():
            row = MainDatabase.objects.select_for_update().get(pk=database.pk)
            meant = only_meant(row, actor, wanted, read_loaded(loaded or {}))
            _save(row, actor, meant, address, now or timezone.now())
    except SettingsRefusedError as refused:
        log.warning("settings refused project=%s %s", database.pk, refused.errors)
        raise
    return row


def _save(
    row: MainDatabase, actor: Account, wanted: dict[str, Any], address: str | None, now: datetime
) -> None:
    before = snapshot_of_settings(row)
    changed = {name for name, value in wanted.items() if getattr(row, name) != value}
    if not changed:
        return
    for name in changed:
        setattr(row, name, wanted[name])
    if changed & SCHEDULE_FIELDS:
        row.next_snapshot_at = plan_next(row, now)
        changed.add("next_snapshot_at")
    row.save(update_fields=changed)
    _record(row, actor, before, address)


def read_settings(
    backup_time: str | time,
    backup_time_zone: str,
    retention_days: str | int,
    proof_policy: str | None = None,
) -> dict[str, Any]:
    """The settings as they are stored.

    Raises:
        SettingsRefusedError: names each wrong field.
    """
    given = {
        "backup_time": backup_time,
        "backup_time_zone": backup_time_zone,
        "retention_days": retention_days,
    }
    if proof_policy is not None:
        given["proof_policy"] = proof_policy
    values, errors = _read(given)
    if errors:
        raise SettingsRefusedError(errors)
    return values


def read_loaded(loaded: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as a form showed them; without those that no form of ours shows so."""
    return _read(loaded)[0]


def _read(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    values, errors = {}, {}
    for name, read in _readers().items():
        try:
            if name in given:
                values[name] = read(given[name])
        except ValueError as error:
            errors[name] = str(error)
    return values, errors


def _readers() -> dict[str, Callable[[Any], Any]]:
    return {
        "backup_time": _read_time,
        "backup_time_zone": parse_zone,
        "retention_days": parse_retention,
        "proof_policy": parse_proof_policy,
    }


def parse_retention(value: str | int) -> int:
    """A number of days that backups are kept.

    Raises:
        ValueError: with a sentence fit for a page.
    """
    text = str(value).strip()
    # Signs, underscores and other scripts' digits are numbers to int(), and typing errors here.
    if text.isascii() and text.isdigit() and SHORTEST_DAYS <= int(text[:9]) <= LONGEST_DAYS:
        return int(text)
    if not text:
        raise ValueError(f"Enter a number of days, from {SHORTEST_DAYS} to {LONGEST_DAYS}.")
    raise ValueError(
        f"“{value}” is not a retention period. Give a whole number of days, "
        f"from {SHORTEST_DAYS} to {LONGEST_DAYS}."
    )


def parse_proof_policy(value: str) -> str:
    """Which snapshots are proven.

    Raises:
        ValueError: with a sentence fit for a page.
    """
    if value in MainDatabase.ProofPolicy.values:
        return value
    known = ", ".join(f"“{policy}”" for policy in MainDatabase.ProofPolicy.values)
    raise ValueError(f"“{value}” is not a proof of backups. Choose one of {known}.")


def plan_next(database: MainDatabase, now: datetime) -> datetime | None:
    """The next run whose local date has no snapshot yet; None while the project is shut down.

    A run that is overdue, because the schedule stood still, is not forgotten.
    """
    if database.project.state != Project.State.ACTIVE:
        return None
    at, zone = database.backup_time, database.backup_time_zone
    is_overdue = database.next_snapshot_at is not None and database.next_snapshot_at <= now
    moment = last_run(now, at, zone).at if is_overdue else next_run(now, at, zone)
    while _is_taken(database, moment):
        moment = next_run(moment, at, zone)
    return moment


def _is_taken(database: MainDatabase, moment: datetime) -> bool:
    run = last_run(moment, database.backup_time, database.backup_time_zone)
    return Snapshot.objects.filter(project=database.pk, local_date=run.local_date).exists()


def _read_time(value: str | time) -> time:
    return value.replace(second=0, microsecond=0) if isinstance(value, time) else parse_time(value)


def _record(row: MainDatabase, actor: Account, before: dict[str, Any], address: str | None) -> None:
    after = snapshot_of_settings(row)
    record(
        action="settings.changed",
        actor=actor,
        project=row.project,
        subject="Backup settings",
        details={
            name: {"old": before[name], "new": after[name]}
            for name in after
            if before[name] != after[name]
        },
        address=address,
    )
