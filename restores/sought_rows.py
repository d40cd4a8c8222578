"""The lost rows that a restore is meant to bring back."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Self


@dataclass(frozen=True)
class SoughtRows:
    """A device's lost rows, which were looked for and found in a backup.

    Attributes:
        name: The device's name in the backup.
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
        """Return when the day ends; None for all days and for `date.max`."""
        if self.since is None or self.day == date.max:
            return None
        return self.since + timedelta(days=1)

    def in_query(self) -> dict[str, str]:
        """Return the query parameters of the confirmation page."""
        return {"device": self.device, **({"day": self.day.isoformat()} if self.day else {})}

    def in_transfer(self) -> dict[str, str]:
        """Return the query parameters of the page “Move data”."""
        period = {"start": self.since, "end": self.until}
        moments = {name: moment.isoformat() for name, moment in period.items() if moment}
        return {"device": self.device, **moments}

    def as_json(self) -> dict[str, object]:
        """Return JSON values, which the restore's row stores."""
        return {**self.in_query(), "name": self.name}

    @classmethod
    def from_json(cls, values: dict[str, str]) -> Self:
        """Parse what `as_json` returned."""
        day = values.get("day")
        return cls(values["device"], values["name"], date.fromisoformat(day) if day else None)
