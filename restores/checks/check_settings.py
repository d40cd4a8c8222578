"""Add, change and remove the checks that every proof runs."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import transaction

from backups_portal.accounts.models import Account
from backups_portal.audit.recorder import SUBJECT_LENGTH, record
from backups_portal.lib.json_types import JsonObject
from backups_portal.projects.access import Permission, hold_right
from backups_portal.projects.models import MainDatabase, Project
from restores.checks.check_targets import EVERY_DEVICE, Target, check_variable, find_device
from restores.checks.shown_check import ShownCheck
from restores.errors import CheckRefusedError
from restores.models import Check
from snapshots.schedule.edit_conflicts import RecordedSettings, only_meant

# Each takes time in every proof.
MAX_CHECKS = 20
MAX_HOURS = 24 * 366
MAX_DEVICES = 10_000_000
MAX_VARIABLE = 200
CHANGED, SENTENCE = "check.changed", "check"


@dataclass(frozen=True)
class WantedCheck:
    """A requested check; fields that its kind does not need are ignored.

    Attributes:
        kind: One of Check.Kind.
        device: Its name or id; empty: every device, if the kind allows it.
        hours: The maximum age of the newest record, or how far back values count; None: all.
    """

    kind: str
    device: str = ""
    variable: str = ""
    hours: int | None = None
    at_least: int | None = None
    low: float | None = None
    high: float | None = None


@transaction.atomic
def add_check(*, project: Project, actor: Account, wanted: WantedCheck) -> Check:
    """Add a check, which proofs run from now on.

    Raises:
        CheckRefusedError: names each wrong field; nothing was saved.
        RightLostError: the actor was removed a moment ago.
    """
    # Read the storage, which may be slow, before anything is locked.
    fields = _Reader(project, wanted).read()
    hold_right(actor, Permission.MANAGE_BACKUPS, project)
    _lock(project)
    checks = Check.objects.filter(project=project)
    if checks.count() >= MAX_CHECKS:
        raise CheckRefusedError(
            f"A project has up to {MAX_CHECKS} checks. Remove one before you add another.",
            status=409,
        )
    _check_new(checks, fields)
    check = Check.objects.create(project=project, **fields)
    _record("check.added", actor, check, {})
    return check


@transaction.atomic
def change_check(
    *,
    project: Project,
    actor: Account,
    check_id: UUID,
    wanted: WantedCheck,
    loaded: ShownCheck | None = None,
) -> Check | None:
    """Change a check of the project; None if it is gone.

    Args:
        loaded: The check as the actor saw it; None changes it whatever it is now.

    Raises: as `add_check`, and
        SettingsChangedMeanwhileError: somebody else changed it since `loaded`.
    """
    checks = Check.objects.filter(project=project)
    check = checks.filter(pk=check_id).first()
    fields = _Reader(project, wanted, check).read() if check else {}
    hold_right(actor, Permission.MANAGE_BACKUPS, project)
    _lock(project)
    check = checks.select_for_update().filter(pk=check_id).first()
    if check is None:
        return None
    _check_new(checks.exclude(pk=check_id), fields)
    if _is_meant(check, Check(**fields), loaded, actor):
        _change(check, fields, actor)
    return check


def _is_meant(check: Check, wanted: Check, loaded: ShownCheck | None, actor: Account) -> bool:
    """Tell whether the actor changed the check; False keeps others' edits.

    Raises:
        SettingsChangedMeanwhileError: the actor and somebody else both changed it.
    """
    now = _recorded(check)
    shown = {SENTENCE: loaded} if loaded else now.values
    return bool(only_meant(now, actor, {SENTENCE: ShownCheck.of(wanted)}, shown))


def _change(check: Check, fields: JsonObject, actor: Account) -> None:
    old, before = check.sentence, ShownCheck.of(check)
    for name, value in fields.items():
        setattr(check, name, value)
    check.save(update_fields=[*fields])
    if ShownCheck.of(check) != before:
        new = check.sentence
        if new == old:
            # The new device has the same name: only the ids tell the two apart.
            old, new = f"{old} ({before.device_id})", f"{new} ({check.device_id})"
        _record(CHANGED, actor, check, {SENTENCE: {"old": old, "new": new}})


@transaction.atomic
def remove_check(*, project: Project, actor: Account, check_id: UUID) -> Check | None:
    """Remove a check of the project; None if it is gone.

    Raises:
        RightLostError: the actor was removed a moment ago.
    """
    hold_right(actor, Permission.MANAGE_BACKUPS, project)
    found = Check.objects.select_for_update().filter(project=project, pk=check_id)
    check = found.first()
    if check:
        found.delete()
        _record("check.removed", actor, check, {})
    return check


def _lock(project: Project) -> None:
    """Serialize concurrent changes to a project's checks."""
    MainDatabase.objects.select_for_update().get(pk=project.pk)


def _recorded(check: Check) -> RecordedSettings:
    """Return a check as one setting, to detect concurrent changes."""
    return RecordedSettings(
        project_id=check.project_id,
        action=CHANGED,
        values={SENTENCE: ShownCheck.of(check)},
        labels={SENTENCE: "Check"},
        in_words=lambda _, value: str(value.sentence),
        subject=check.sentence[:SUBJECT_LENGTH],
    )


def _check_new(others: Any, fields: JsonObject) -> None:
    same = {name: value for name, value in fields.items() if name != "device_name"}
    if others.filter(**same).exists():
        raise CheckRefusedError("There is already a check like this.", status=409)


def _record(action: str, actor: Account, check: Check, details: JsonObject) -> None:
    record(
        action=action, actor=actor, project=check.project, subject=check.sentence, details=details
    )


class _Reader:
    """Validates a requested check into fields, collecting every error."""

    def __init__(self, project: Project, wanted: WantedCheck, old: Check | None = None) -> None:
        self._project, self._wanted, self._old = project, wanted, old
        self._errors: dict[str | None, str] = {}

    def read(self) -> JsonObject:
        """Return the fields; raises CheckRefusedError."""
        if self._wanted.kind not in Check.Kind.values:
            raise CheckRefusedError(f"Choose one of {', '.join(Check.Kind.values)}.")
        read = {
            Check.Kind.NEWEST: self._newest,
            Check.Kind.DEVICES: self._devices,
            Check.Kind.BETWEEN: self._between,
        }[Check.Kind(self._wanted.kind)]
        nothing = {"device_id": "", "device_name": "", "variable": ""}
        numbers = dict.fromkeys(("hours", "at_least", "low", "high"))
        fields = {"kind": self._wanted.kind, **nothing, **numbers, **read()}
        if self._errors:
            raise CheckRefusedError(errors=self._errors)
        return fields

    def _newest(self) -> JsonObject:
        if not self._wanted.device:
            self._errors["device"] = "Name a device."
        target = self._target()
        hours = self._whole("hours", self._wanted.hours, MAX_HOURS)
        return {**target.fields(), "hours": hours}

    def _devices(self) -> JsonObject:
        return {"at_least": self._whole("at_least", self._wanted.at_least, MAX_DEVICES)}

    def _between(self) -> JsonObject:
        wanted, name = self._wanted, self._wanted.variable
        target = self._target()
        if not name:
            self._errors["variable"] = "Name a variable."
        elif len(name) > MAX_VARIABLE or "\0" in name:
            self._errors["variable"] = f"Use at most {MAX_VARIABLE} characters, without NUL."
        elif not self._errors and not self._is_as_before(target, name):
            self._try("variable", lambda: check_variable(self._project, target, name))
        hours = wanted.hours
        if hours is not None:
            self._whole("hours", hours, MAX_HOURS)
        return {
            **target.fields(),
            "variable": name,
            "hours": hours,
            "low": self._number("low"),
            "high": self._number("high"),
        }

    def _is_as_before(self, target: Target, variable: str) -> bool:
        """Tell if device and variable are unchanged; backups may now lack them."""
        old = self._old
        return old is not None and (old.device_id, old.variable) == (target.device_id, variable)

    def _target(self) -> Target:
        text, old = self._wanted.device, self._old
        if not text:
            return EVERY_DEVICE
        if old is not None and text in (old.device_id, old.device_name):
            return Target(old.device_id, old.device_name)
        found: list[Target] = []
        self._try("device", lambda: found.append(find_device(self._project, text)))
        return found[0] if found else EVERY_DEVICE

    def _try(self, field: str, look: Callable[[], None]) -> None:
        try:
            look()
        except ValueError as error:
            self._errors[field] = str(error)

    def _whole(self, field: str, value: int | None, most: int) -> int | None:
        if value is None or not 1 <= value <= most:
            self._errors[field] = f"Enter a whole number from 1 to {most:,}."
        return value

    def _number(self, field: str) -> float | None:
        low, high = self._wanted.low, self._wanted.high
        value = low if field == "low" else high
        if value is None or not math.isfinite(value):
            self._errors[field] = "Enter a number."
        elif field == "high" and low is not None and low > value:
            self._errors[field] = "Enter a number that is not less than the first one."
        return value
