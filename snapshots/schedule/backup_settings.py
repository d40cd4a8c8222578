"""Change when a project is backed up, and how long backups are kept."""

from collections.abc import Callable, Mapping
from datetime import datetime, time
from typing import Any

from django.db import transaction
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.audit.recorder import record
from backups_portal.lib.loggers import get_logger
from backups_portal.projects.access import Permission, hold_right
from backups_portal.projects.due_times import last_run, parse_time, parse_zone, plan_run
from backups_portal.projects.models import MainDatabase, Project, plain_settings
from snapshots.errors import SettingsRefusedError
from snapshots.models import Snapshot
from snapshots.schedule.edit_conflicts import backup_settings_of, only_meant

log = get_logger(__name__)

MIN_DAYS, MAX_DAYS = 1, 365
SCHEDULE_FIELDS = {"backup_time", "backup_time_zone"}


def change_backup_settings(
    *,
    database: MainDatabase,
    actor: Account,
    wanted: Mapping[str, Any],
    loaded: Mapping[str, Any] | None = None,
    now: datetime | None = None,
) -> MainDatabase:
    """Save changed settings, plan the next run, and record the changes.

    Args:
        wanted: See `read_settings`.
        loaded: The settings as the actor saw them, by name. A wanted value equal to the loaded one
            leaves the current value alone; settings missing here are always saved.

    Returns:
        The row as it is now.

    Raises:
        SettingsRefusedError: with a message for each wrong field; nothing was saved.
        SettingsChangedMeanwhileError: the same, for fields that somebody else changed since.
        RightLostError: the actor has just lost the right.
    """
    try:
        values = read_settings(wanted, kept_zone=database.backup_time_zone)
        with transaction.atomic():
            hold_right(actor, Permission.MANAGE_BACKUPS, database.project)
            row = MainDatabase.objects.select_for_update().get(pk=database.pk)
            shown = read_loaded(loaded or {}, row.backup_time_zone)
            meant = only_meant(backup_settings_of(row), actor, values, shown)
            _save(row, actor, meant, now or timezone.now())
    except SettingsRefusedError as refused:
        log.warning("settings refused %s", refused.errors, project=database.pk)
        raise
    return row


def _save(row: MainDatabase, actor: Account, wanted: dict[str, Any], now: datetime) -> None:
    before = plain_settings(row)
    changed = {name for name, value in wanted.items() if getattr(row, name) != value}
    if not changed:
        return
    for name in changed:
        setattr(row, name, wanted[name])
    if changed & SCHEDULE_FIELDS:
        row.next_snapshot_at = plan_next(row, now)
        changed.add("next_snapshot_at")
    row.save(update_fields=changed)
    _record(row, actor, before)


def read_settings(wanted: Mapping[str, Any], *, kept_zone: str = "") -> dict[str, Any]:
    """Return the settings in the form in which they are stored.

    Args:
        wanted: By name: backup_time, a time or "HH:MM" as a form sends it; backup_time_zone;
            retention_days, 1 to 365 as a number or its digits; proof_policy, "every", "weekly",
            "off", or None, which leaves it as it is.
        kept_zone: The stored zone, which is accepted even if it is no longer known.

    Raises:
        SettingsRefusedError: with a message for each wrong field.
    """
    given = {name: value for name, value in wanted.items() if value is not None}
    values, errors = read_each(given, _readers(kept_zone))
    if errors:
        raise SettingsRefusedError(errors=errors)
    return values


def read_loaded(loaded: Mapping[str, Any], kept_zone: str = "") -> dict[str, Any]:
    """Read settings as a form showed them, ignoring invalid ones."""
    return read_each(loaded, _readers(kept_zone))[0]


def read_each(
    given: Mapping[str, Any], readers: Mapping[str, Callable[[Any], Any]]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Read values by name; return them, and a message for each wrong one."""
    values, errors = {}, {}
    for name, read in readers.items():
        try:
            if name in given:
                values[name] = read(given[name])
        except ValueError as error:
            errors[name] = str(error)
    return values, errors


def _readers(kept_zone: str) -> dict[str, Callable[[Any], Any]]:
    return {
        "backup_time": _read_time,
        "backup_time_zone": lambda name: name if name == kept_zone else parse_zone(name),
        "retention_days": parse_retention,
        "proof_policy": parse_proof_policy,
    }


def parse_retention(value: str | int) -> int:
    """Read the number of days for which backups are kept.

    Raises:
        ValueError: it is not valid; the message suits a page.
    """
    text = str(value).strip()
    # int() accepts signs, underscores and other scripts' digits, which are typing errors here.
    if text.isascii() and text.isdigit() and len(text) < 10 and MIN_DAYS <= int(text) <= MAX_DAYS:
        return int(text)
    if not text:
        raise ValueError(f"Enter a number of days, from {MIN_DAYS} to {MAX_DAYS}.")
    raise ValueError(
        f"“{value}” is not a retention period. Give a whole number of days, "
        f"from {MIN_DAYS} to {MAX_DAYS}."
    )


def parse_proof_policy(value: str) -> str:
    """Read the policy that says which snapshots are proven.

    Raises:
        ValueError: it is not valid; the message suits a page.
    """
    if value in MainDatabase.ProofPolicy.values:
        return value
    known = ", ".join(f"“{policy}”" for policy in MainDatabase.ProofPolicy.values)
    raise ValueError(f"“{value}” is not a proof of backups. Choose one of {known}.")


def plan_next(database: MainDatabase, now: datetime) -> datetime | None:
    """Find the next run without a backup on its date; None if shut down.

    A date whose backup failed or turned out to be bad is run again if the new time has not passed
    yet. See `plan_run`.
    """
    project, planned = database.project, database.next_snapshot_at
    if project.state != Project.State.ACTIVE:
        return None
    at, zone = database.backup_time, database.backup_time_zone
    snapshots = Snapshot.objects.filter(project=project)
    since = last_run(now, at, zone).local_date
    dates = snapshots.filter(local_date__gte=since, is_replaced=False)
    dates = dates.exclude(pk__in=snapshots.never_stored())
    dates = dates.exclude(pk__in=snapshots.replaceable())
    newest = snapshots.newest_good()
    return plan_run(
        now,
        at,
        zone,
        taken=set(dates.values_list("local_date", flat=True)),
        newest=newest.taken_at if newest and newest.taken_at else project.created_at,
        is_overdue=planned is not None and planned <= now,
    )


def _read_time(value: str | time) -> time:
    return value.replace(second=0, microsecond=0) if isinstance(value, time) else parse_time(value)


def _record(row: MainDatabase, actor: Account, before: dict[str, Any]) -> None:
    after = plain_settings(row)
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
    )
