"""The progress of an undo, and the guard of each of its steps."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from typing import Self

from backups_portal.lib.json_types import JsonObject

# Names what one transaction undoes: a batch by its number, a resource by kind and id, or settings
# of devices by their kind and the first device's id.
Step = tuple[str, ...]
StepGuard = Callable[[Step], AbstractContextManager[object]]


@dataclass
class Undone:
    """The progress of an undo.

    Attributes:
        removed: Records taken back.
        restored: Replaced records put back.
        left: Records of the transfer that were changed or deleted since, and stay so.
        resources: Resources taken back.
        kept: Resources that stay, with the reason.
        device_settings: Devices whose tags and parameters were put back.
    """

    removed: int = 0
    restored: int = 0
    left: int = 0
    resources: int = 0
    kept: list[dict[str, str]] = field(default_factory=list)
    device_settings: int = 0

    def as_json(self) -> dict[str, object]:
        """Return plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, values: JsonObject | None) -> Self:
        """Read the plain values that an interrupted attempt stored."""
        return cls(**(values or {}))
