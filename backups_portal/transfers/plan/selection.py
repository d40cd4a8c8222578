"""The choice of what a transfer moves, and how, in plain values."""

from dataclasses import asdict, dataclass, fields
from datetime import datetime
from enum import StrEnum

from pydantic import TypeAdapter, ValidationError

from backups_portal.lib.json_types import JsonObject
from backups_portal.lib.refusals import RefusedError


class Rule(StrEnum):
    """What to do with a record whose device, variable, time and group are in the target already."""

    SKIP = "skip"
    ADD = "add"
    REPLACE = "replace"


class Unmatched(StrEnum):
    """What to do with a device that the target does not have."""

    CREATE = "create"
    SKIP = "skip"


class DeviceSettings(StrEnum):
    """What to do with tags and parameters of a device that the target has already."""

    KEEP = "keep"
    BRING_BACK = "bring_back"
    ONLY = "only"


# Kinds of resources besides devices, in the order in which they are moved.
KINDS = (
    "network",
    "connector",
    "dashboard",
    "action",
    "analysis",
    "access_rule",
    "dictionary",
    "run_user",
    "secret",
    "entity",
)


class ChoiceError(RefusedError):
    """The choice is contradictory or empty."""


@dataclass(frozen=True)
class Choice:
    """What to move.

    Attributes:
        devices: Their ids in the source; None means all, () none.
        variables: Their names; None means all.
        since: From this time on.
        until: Before this time.
        kinds: Of resources besides devices.
        tag: The key of the tag by which devices are matched, beside the serial number.
        device_settings: Whether tags and parameters come back, with the records or without.
    """

    devices: tuple[str, ...] | None = None
    variables: tuple[str, ...] | None = None
    since: datetime | None = None
    until: datetime | None = None
    kinds: tuple[str, ...] = ()
    rule: Rule = Rule.SKIP
    unmatched: Unmatched = Unmatched.CREATE
    tag: str = ""
    device_settings: DeviceSettings = DeviceSettings.KEEP

    def __post_init__(self) -> None:
        if self.since and self.until and self.since >= self.until:
            raise ChoiceError("The period ends before it begins.", field="until")
        if unknown := sorted(set(self.kinds) - set(KINDS)):
            raise ChoiceError(f"There is no kind of resource called {', '.join(unknown)}.")
        if self.devices == () and not self.kinds:
            raise ChoiceError("Choose devices, or another kind of resource.")

    @property
    def moves_records(self) -> bool:
        """Tell whether records move, and not settings alone."""
        return self.device_settings is not DeviceSettings.ONLY

    @property
    def brings_settings(self) -> bool:
        """Tell whether devices that are there get their tags and parameters back."""
        return self.device_settings is not DeviceSettings.KEEP

    def as_json(self) -> JsonObject:
        """Return plain values, for the row of the transfer."""
        moments = {"since": _text(self.since), "until": _text(self.until)}
        return {**asdict(self), **moments}

    @classmethod
    def from_json(cls, values: JsonObject) -> "Choice":
        """Read what `as_json` returned."""
        return _STORED.validate_python(values)

    @classmethod
    def is_known(cls, values: JsonObject) -> bool:
        """Tell whether this version knows everything in a stored choice.

        `from_json` ignores what a newer version added, which only pages may do.
        """
        try:
            cls.from_json(values)
        except (ValidationError, ChoiceError):
            return False
        return values.keys() <= {field.name for field in fields(cls)}


def _text(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment else None


_STORED = TypeAdapter(Choice)
