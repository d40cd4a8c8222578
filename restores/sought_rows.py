"""The lost rows that a restore is meant to bring back."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Self

from backups_portal.ui import moments


@dataclass(frozen=True)
class SoughtRows:
    """A device's lost rows, which were looked for and found in a backup.

    Attributes:
        name: The device's name in the backup.
        day: In UTC; None means all days.
        last_day: The last day of a period that begins on `day`; None for a single day.
        variable: Its name; "" means all variables.
    """

    device: str
    name: str
    day: date | None = None
    last_day: date | None = None
    variable: str = ""

    @property
    def since(self) -> datetime | None:
        """Return when the first day begins; None for all days."""
        return datetime.combine(self.day, datetime.min.time(), UTC) if self.day else None

    @property
    def until(self) -> datetime | None:
        """Return when the last day ends; None for all days and for `date.max`."""
        last = self.last_day or self.day
        if last is None or last == date.max:
            return None
        return datetime.combine(last, datetime.min.time(), UTC) + timedelta(days=1)

    @property
    def period(self) -> str:
        """Name the days, with their time zone."""
        if self.day is None:
            return "All days"
        until = f" to {moments.day(self.last_day)}" if self.last_day else ""
        return f"{moments.day(self.day)}{until} (UTC)"

    def in_query(self) -> dict[str, str]:
        """Return the query parameters of the confirmation page."""
        days = {"day": self.day, "last_day": self.last_day}
        return {
            "device": self.device,
            **{name: day.isoformat() for name, day in days.items() if day},
            **({"variable": self.variable} if self.variable else {}),
        }

    def in_transfer(self) -> dict[str, str]:
        """Return the query parameters of the page “Move data”."""
        period = {"start": self.since, "end": self.until}
        moments = {name: moment.isoformat() for name, moment in period.items() if moment}
        variable = {"variable": self.variable} if self.variable else {}
        return {"device": self.device, **variable, **moments}

    def as_json(self) -> dict[str, object]:
        """Return JSON values, which the restore's row stores."""
        return {**self.in_query(), "name": self.name}

    @classmethod
    def from_json(cls, values: dict[str, str]) -> Self:
        """Parse what `as_json` returned."""
        days = (values.get(name) for name in ("day", "last_day"))
        day, last_day = (date.fromisoformat(text) if text else None for text in days)
        return cls(values["device"], values["name"], day, last_day, values.get("variable", ""))
