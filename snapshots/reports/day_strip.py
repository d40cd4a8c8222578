"""The retained days of a project at a glance, one cell per day."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import groupby, takewhile
from typing import NamedTuple

from backups_portal.ui import moments

# Up to this many days form one strip; more are shown by month, as in a calendar.
MAX_STRIP_DAYS = 31
MAX_DAYS = 365
DAY = timedelta(days=1)
# The most days of each kind that are named below the drawing.
MAX_NAMED = 10

PROVEN, STORED, COMING, REMOVED = "proven", "stored", "coming", "removed"
# The project was shut down, or its time zone skipped the date.
NOT_DUE = "not-due"
FAILED, MISSED = "failed", "missed"
# In the order of the legend.
KINDS = {
    PROVEN: "proven",
    STORED: "stored",
    COMING: "on its way",
    REMOVED: "removed",
    NOT_DUE: "not due",
    FAILED: "failed",
    MISSED: "missed",
}
BAD = (FAILED, MISSED)


class Cell(NamedTuple):
    """A day and what happened to its backup."""

    day: date
    kind: str

    @property
    def name(self) -> str:
        """Return the day, as 23 Nov."""
        return moments.day(self.day)

    @property
    def label(self) -> str:
        """Describe what happened to the day's backup."""
        return f"{self.name}: {KINDS[self.kind]}"


class Month(NamedTuple):
    """The days of a month, and the weekday of the first one (Monday is 0)."""

    name: str
    weekday: int
    cells: Sequence[Cell]


class Named(NamedTuple):
    """Days that need attention, newest first, as many as fit into a line.

    Attributes:
        more: The number of days left out.
    """

    kind: str
    cells: Sequence[Cell]
    more: int


@dataclass(frozen=True)
class Strip:
    """All days, oldest first."""

    cells: Sequence[Cell]

    @property
    def first(self) -> date:
        """Return the oldest day."""
        return self.cells[0].day

    @property
    def last(self) -> date:
        """Return the newest day."""
        return self.cells[-1].day

    @property
    def is_calendar(self) -> bool:
        """Tell whether there are too many days for one strip."""
        return len(self.cells) > MAX_STRIP_DAYS

    @property
    def months(self) -> list[Month]:
        """Return the days by month."""
        by_month = groupby(self.cells, lambda cell: f"{cell.day:%b %Y}")
        months = [(name, list(cells)) for name, cells in by_month]
        return [Month(name, cells[0].day.weekday(), cells) for name, cells in months]

    @property
    def counts(self) -> list[tuple[str, str, int]]:
        """Count the days of each kind: kind, label, number."""
        found = Counter(cell.kind for cell in self.cells)
        return [(kind, label, found[kind]) for kind, label in KINDS.items() if found[kind]]

    @property
    def summary(self) -> str:
        """Describe the strip in words."""
        parts = ", ".join(f"{count} {label}" for _, label, count in self.counts)
        days = len(self.cells)
        return f"Backups of the last {days} day{'s' if days > 1 else ''}: {parts}"

    @property
    def bad(self) -> list[Cell]:
        """Return the days that failed or were missed."""
        return [cell for cell in self.cells if cell.kind in BAD]

    @property
    def named(self) -> list[Named]:
        """Name the failed and missed days, for those who cannot see a drawing."""
        found = []
        for kind in BAD:
            cells = [cell for cell in reversed(self.bad) if cell.kind == kind]
            if cells:
                found.append(Named(kind, cells[:MAX_NAMED], len(cells[MAX_NAMED:])))
        return found

    @property
    def unprotected(self) -> list[Cell]:
        """Return bad days since the newest good one; none if one is coming."""
        due = (cell for cell in reversed(self.cells) if cell.kind != NOT_DUE)
        return list(takewhile(lambda cell: cell.kind in BAD, due))


def make_strip(kinds: Mapping[date, str], *, first: date, last: date) -> Strip | None:
    """Line up the days from first to last; a day without an entry was missed.

    Returns:
        None if there are no days.
    """
    first = max(first, last - (MAX_DAYS - 1) * DAY)
    if first > last:
        return None
    days = (first + number * DAY for number in range((last - first).days + 1))
    return Strip([Cell(day, kinds.get(day, MISSED)) for day in days])
