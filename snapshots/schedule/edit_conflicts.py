"""Conflicts between editors of the same settings, and which changes win."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.projects.models import MainDatabase, plain_settings
from snapshots.errors import SettingsChangedMeanwhileError

LABELS = {field.name: str(field.verbose_name) for field in MainDatabase._meta.fields}


@dataclass(frozen=True)
class RecordedSettings:
    """A project's current settings, and how the audit log records them.

    Attributes:
        action: The action of the events whose details are old and new values by name.
        labels: The name of each setting on pages.
        in_words: Puts a setting's value in words.
        subject: The subject of the events, if a project has several such settings; "" for any.
    """

    project_id: UUID
    action: str
    values: Mapping[str, Any]
    labels: Mapping[str, str]
    in_words: Callable[[str, Any], str]
    subject: str = ""


@dataclass(frozen=True)
class Change:
    """A setting that differs from what a form showed, in words."""

    label: str
    old: str
    new: str
    who: str


def backup_settings_of(row: MainDatabase) -> RecordedSettings:
    """Return the settings of a main database."""
    return RecordedSettings(
        project_id=row.pk,
        action="settings.changed",
        values={name: getattr(row, name) for name in plain_settings(row)},
        labels=LABELS,
        in_words=_in_words,
    )


def only_meant(
    settings: RecordedSettings, actor: Account, wanted: Mapping[str, Any], loaded: Mapping[str, Any]
) -> dict[str, Any]:
    """Select wanted settings that differ from the shown ones: the changes.

    Args:
        loaded: The settings as they were shown; a setting missing here counts as changed.

    Raises:
        SettingsChangedMeanwhileError: somebody else set the same setting to another value.
    """
    meant = {
        name: value for name, value in wanted.items() if name not in loaded or loaded[name] != value
    }
    errors = {
        name: _refusal(change_of(settings, actor, name, loaded[name]))
        for name, value in meant.items()
        if name in loaded and settings.values[name] not in (loaded[name], value)
    }
    if errors:
        raise SettingsChangedMeanwhileError(errors=errors, status=409)
    return meant


def changed_of(settings: RecordedSettings, actor: Account, left: Mapping[str, Any]) -> list[Change]:
    """List settings that others changed and this form left as shown."""
    return [
        change_of(settings, actor, name, value)
        for name, value in left.items()
        if settings.values[name] != value
    ]


def change_of(settings: RecordedSettings, actor: Account, name: str, shown: Any) -> Change:
    """Describe a setting's change since it was shown, from its newest event."""
    events = AuditEvent.objects.filter(
        project_id=settings.project_id, action=settings.action, details__has_key=name
    )
    if settings.subject:
        events = events.filter(subject=settings.subject)
    event = events.order_by("-at", "-pk").first()
    who = event.who if event else ""
    return Change(
        label=settings.labels[name],
        old=settings.in_words(name, shown),
        new=settings.in_words(name, settings.values[name]),
        who="you" if who == actor.email else who or "an operator",
    )


def _refusal(change: Change) -> str:
    return (
        f"In the meantime, {change.who} changed this from “{change.old}” to “{change.new}”. Save "
        "again to replace it with yours."
    )


def _in_words(name: str, value: Any) -> str:
    if name == "backup_time":
        return f"{value:%H:%M}"
    if name == "proof_policy":
        return str(MainDatabase.ProofPolicy(value).label)
    return str(value)
