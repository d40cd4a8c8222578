"""The period of evidence: whole days in the project's time zone."""

import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

from backups_portal.lib.refusals import RefusedError
from backups_portal.projects.due_times import run_on
from backups_portal.ui import formats

DAY = timedelta(days=1)
# Two years, one of which may be a leap year.
MAX_DAYS = 731
QUARTER = re.compile(r"(\d{4})-Q([1-4])", re.ASCII)
# Quarters that the page offers; older ones can be chosen by their days.
QUARTERS_OFFERED = 8


class PeriodRefusedError(RefusedError):
    """No evidence for these days; the field is "from", "to" or "quarter"."""


class OutsideError(PeriodRefusedError):
    """The days are valid, but lie outside the life of the project."""


@dataclass(frozen=True)
class Period:
    """Whole days in a time zone, from the first to the last, both included."""

    first: date
    last: date
    zone: str

    @property
    def begins_at(self) -> datetime:
        """Return the instant at which its first day begins (UTC)."""
        return midnight(self.first, self.zone)

    @property
    def ends_at(self) -> datetime:
        """Return the instant at which the day after its last one begins (UTC)."""
        return midnight(self.last + DAY, self.zone)

    @property
    def name(self) -> str:
        """Name the period in titles: "Q4 2026", or its first and last day."""
        if (self.first, self.last) == quarter_days(*quarter_of(self.first)):
            year, number = quarter_of(self.first)
            return f"Q{number} {year}"
        if self.first == self.last:
            return formats.day(self.first)
        return f"{formats.day(self.first)} to {formats.day(self.last)}"

    @property
    def file_name(self) -> str:
        """Name the period in file names: "2026-Q4", or its first and last day."""
        if self.name.startswith("Q"):
            return "{}-Q{}".format(*quarter_of(self.first))
        return f"{self.first.isoformat()}-to-{self.last.isoformat()}"

    def days(self, until: date) -> Iterator[date]:
        """Yield its days, the oldest first, up to `until` at most."""
        last = min(self.last, until)
        for number in range((last - self.first).days + 1):
            yield self.first + number * DAY


def check_period(first: date, last: date, *, zone: str, today: date, founded: date) -> Period:
    """Return the period of these days.

    Args:
        today: The current day in the zone.
        founded: The day on which the project was created, in the zone.

    Raises:
        PeriodRefusedError: the days are in the wrong order, or too many.
        OutsideError: the period has not begun, or ended before the project existed.
    """
    if last < first:
        raise PeriodRefusedError("The last day is before the first day.", field="to")
    if (last - first).days >= MAX_DAYS:
        raise PeriodRefusedError(f"Choose two years at most ({MAX_DAYS} days).", field="to")
    if first > today:
        raise OutsideError(
            f"This period has not begun: it is {formats.day(today)} in the project's time zone.",
            field="from",
        )
    if last < founded:
        raise OutsideError(
            f"This project was created on {formats.day(founded)}, after this period had ended.",
            field="from",
        )
    return Period(first, last, zone)


def parse_quarter(text: str) -> tuple[date, date]:
    """Parse a quarter such as "2026-Q4"; return its first and last day.

    Raises:
        PeriodRefusedError: the text is not a quarter.
    """
    found = QUARTER.fullmatch(text)
    if found is None or int(found[1]) < date.min.year:
        raise PeriodRefusedError("Write a quarter as 2026-Q4.", field="quarter")
    return quarter_days(int(found[1]), int(found[2]))


def quarter_of(day: date) -> tuple[int, int]:
    """Return the year and the number (1 to 4) of a day's quarter."""
    return day.year, (day.month + 2) // 3


def quarter_days(year: int, number: int) -> tuple[date, date]:
    """Return the first and the last day of a quarter."""
    last_month = number * 3
    return date(year, last_month - 2, 1), date(year, last_month, monthrange(year, last_month)[1])


def quarters(today: date, founded: date) -> list[tuple[str, str]]:
    """List values and labels of a project's newest quarters, newest first."""
    found: list[tuple[str, str]] = []
    year, number = quarter_of(today)
    while len(found) < QUARTERS_OFFERED and quarter_days(year, number)[1] >= founded:
        found.append((f"{year}-Q{number}", f"Q{number} {year}"))
        year, number = (year, number - 1) if number > 1 else (year - 1, 4)
    return found


def midnight(day: date, zone: str) -> datetime:
    """Return when a day begins in a zone (UTC), even if clocks skip midnight.

    A date that the zone skips begins with the next one.
    """
    while (moment := run_on(day, time(), zone)) is None:
        day += DAY
    return moment.astimezone(UTC)
