"""Rows that an owner has lost: what a restore is meant to bring back."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Self


@dataclass(frozen=True)
class SoughtRows:
    """The rows of a device that were looked for in a backup, and are in it.

    Attributes:
        name: Of the device, as the backup knows it.
        day: In UTC; None means all days.
    """

    device: str
    name: str
    day: date | None = None

    @property
    def since(self) -> datetime | None:
        """Return when the day begins; None for all days."""
        return datetime.combine(self.day, datetime.min.time(), UTC) if self.day else None

    @property
    def until(self) -> datetime | None:
        """Return when the day has ended; None for all days, and the last that Python has."""
        if self.since is None or self.day == date.max:
            return None
        return self.since + timedelta(days=1)

    def in_query(self) -> dict[str, str]:
        """Return what the address of a confirmation carries."""
        return {"device": self.device, **({"day": self.day.isoformat()} if self.day else {})}

    def in_transfer(self) -> dict[str, str]:
        """Return what the address of the page “Move data” carries."""
        period = {"start": self.since, "end": self.until}
        moments = {name: moment.isoformat() for name, moment in period.items() if moment}
        return {"device": self.device, **moments}

    def as_json(self) -> dict[str, object]:
        """Return plain values, for the row of the restore."""
        return {**self.in_query(), "name": self.name}

    @classmethod
    def from_json(cls, values: dict[str, str]) -> Self:
        """Read what `as_json` gave."""
        day = values.get("day")
        return cls(values["device"], values["name"], date.fromisoformat(day) if day else None)
