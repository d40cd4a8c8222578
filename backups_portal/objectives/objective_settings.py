"""Change the recovery objectives of a project."""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

from django.db import transaction
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.audit.recorder import record
from backups_portal.objectives.breach_scan import bring_up_to_date
from backups_portal.objectives.models import Breach, Objective
from backups_portal.projects.access import Permission, hold_right
from backups_portal.projects.models import MainDatabase, Project
from backups_portal.ui import formats
from snapshots.errors import SettingsRefusedError
from snapshots.schedule.backup_settings import read_each
from snapshots.schedule.edit_conflicts import RecordedSettings, only_meant

LOSS, RESTORE = "max_loss_hours", "max_restore_minutes"
KINDS = {LOSS: Objective.Kind.POINT, RESTORE: Objective.Kind.TIME}
UNITS = {LOSS: "hour", RESTORE: "minute"}
LABELS = {LOSS: "Data lost at most", RESTORE: "Back within"}
# The largest targets: a year, and a week.
MAX_TARGETS = {LOSS: 8_760, RESTORE: 10_080}
NONE = "none"
ACTION = "objective.changed"


def objectives_of(project_id: UUID) -> dict[str, int | None]:
    """Return the targets in force by name; None for one that is not set."""
    in_force = Objective.objects.filter(project=project_id, ended_at=None)
    targets = dict(in_force.values_list("kind", "target"))
    return {name: targets.get(kind) for name, kind in KINDS.items()}


def change_objectives(
    *,
    project: Project,
    actor: Account,
    wanted: Mapping[str, Any],
    loaded: Mapping[str, Any] | None = None,
    now: datetime | None = None,
) -> dict[str, int | None]:
    """Save the objectives that differ, and record their old and new targets.

    Args:
        wanted: By name, see `read_objectives`; missing ones stay as they are.
        loaded: The objectives as the actor saw them; those that the actor left stay as they are.

    Returns:
        The objectives as they are now, by name.

    Raises:
        SettingsRefusedError: names each wrong field; nothing was saved.
        SettingsChangedMeanwhileError: the same for what somebody else changed since `loaded`.
        RightLostError: the actor was removed a moment ago.
    """
    values = read_objectives(wanted)
    with transaction.atomic():
        hold_right(actor, Permission.MANAGE_BACKUPS, project)
        # Serialize changes with a row that exists even if there is no objective yet.
        MainDatabase.objects.select_for_update().get(pk=project.pk)
        settings = recorded_objectives(project.pk)
        meant = only_meant(settings, actor, values, read_loaded(loaded or {}))
        before = settings.values
        changed = {name: meant[name] for name in meant if meant[name] != before[name]}
        for name, target in changed.items():
            _replace(project, KINDS[name], target, now or timezone.now())
        if changed:
            record(
                action=ACTION,
                actor=actor,
                project=project,
                subject="Recovery objectives",
                details={
                    name: {"old": before[name] or NONE, "new": target or NONE}
                    for name, target in changed.items()
                },
            )
    return {**before, **changed}


def _replace(project: Project, kind: str, target: int | None, now: datetime) -> None:
    """Replace the objective in force; its breaches stay in the history."""
    in_force = Objective.objects.filter(project=project, kind=kind, ended_at=None)
    old = in_force.select_for_update(of=("self",))
    # Include what happened in the minute since the last scan.
    bring_up_to_date(old, now)
    Breach.objects.filter(objective__in=in_force, ended_at=None).update(
        ended_at=now, end=Breach.End.CHANGED
    )
    in_force.update(ended_at=now)
    if target is not None:
        Objective.objects.create(
            project=project, kind=kind, target=target, began_at=now, checked_at=now
        )


def recorded_objectives(project_id: UUID) -> RecordedSettings:
    """Return the current objectives, to detect concurrent changes."""
    return RecordedSettings(project_id, ACTION, objectives_of(project_id), LABELS, _in_words)


def read_objectives(wanted: Mapping[str, Any]) -> dict[str, int | None]:
    """Parse objectives into the form in which they are stored.

    Args:
        wanted: max_loss_hours and max_restore_minutes: each a number, its digits, or None or ""
            for no objective.

    Raises:
        SettingsRefusedError: names each wrong field.
    """
    values, errors = _read(wanted)
    if errors:
        raise SettingsRefusedError(errors=errors)
    return values


def read_loaded(loaded: Mapping[str, Any]) -> dict[str, int | None]:
    """Parse objectives as a form showed them; skip invalid ones."""
    return _read(loaded)[0]


def _read(given: Mapping[str, Any]) -> tuple[dict[str, int | None], dict[str, str]]:
    return read_each(given, {name: partial(_parse, name) for name in KINDS})


def _parse(name: str, value: object) -> int | None:
    text = "" if value is None else str(value).strip()
    if not text:
        return None
    # int() accepts signs, underscores and other scripts' digits, which are typing errors here.
    if text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= MAX_TARGETS[name]:
        return int(text)
    unit = UNITS[name]
    raise ValueError(
        f"“{value}” is not a number of {unit}s. Enter a whole number from 1 to "
        f"{MAX_TARGETS[name]:,}, or leave it empty."
    )


def _in_words(name: str, value: Any) -> str:
    return formats.count(value, UNITS[name]) if value else NONE
