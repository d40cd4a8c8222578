"""The retained days of a project at a glance: one cell a day, with what became of its backup."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import NamedTuple

# A day's cell in units of the drawing, and the place that it takes.
CELL, PLACE = 10, 12
# So many days are one line; more of them are weeks side by side, as in a calendar.
ONE_LINE = 31
WEEK = 7
LONGEST = 365
DAY = timedelta(days=1)
# Days that are named below the drawing, of each kind.
MOST_NAMED = 10

PROVEN, STORED, COMING, REMOVED = "proven", "stored", "coming", "removed"
FAILED, MISSED = "failed", "missed"
# In the order in which the legend has them.
KINDS = {
    PROVEN: "proven",
    STORED: "stored",
    COMING: "on its way",
    REMOVED: "removed",
    FAILED: "failed",
    MISSED: "missed",
}


@dataclass(frozen=True)
class Cell:
    """A day, and where it is drawn."""

    day: date
    kind: str
    x: int
    y: int

    @property
    def name(self) -> str:
        """The day, as 23 Nov 2026."""
        return f"{self.day.day} {self.day:%b %Y}"

    @property
    def label(self) -> str:
        """What became of the day's backup."""
        return f"{self.name}: {KINDS[self.kind]}"


class Named(NamedTuple):
    """Days that need attention, in words, newest first: as many as a line has room for.

    Attributes:
        more: How many others there are.
    """

    kind: str
    cells: Sequence[Cell]
    more: int


@dataclass(frozen=True)
class Strip:
    """The days and how many of each kind there are.

    Attributes:
        good: One path with the cells of a kind that needs no attention, by kind.
        bad: Cells that were missed or failed.
    """

    first: date
    last: date
    width: int
    height: int
    good: Mapping[str, str]
    bad: Sequence[Cell]
    counts: Sequence[tuple[str, str, int]]
    size: int = CELL

    @property
    def scale(self) -> int:
        """How much larger than its units it is shown, where there is room for it."""
        return 1 if self.height > CELL else 2

    @property
    def summary(self) -> str:
        """The same in words."""
        parts = ", ".join(f"{count} {label}" for _, label, count in self.counts)
        days = (self.last - self.first).days + 1
        return f"Backups of the last {days} day{'s' if days > 1 else ''}: {parts}"

    @property
    def named(self) -> list[Named]:
        """The failed and the missed days, which a drawing tells only to who sees it and points."""
        found = []
        for kind in (FAILED, MISSED):
            cells = [cell for cell in reversed(self.bad) if cell.kind == kind]
            if cells:
                found.append(Named(kind, cells[:MOST_NAMED], len(cells[MOST_NAMED:])))
        return found


def draw_strip(kinds: Mapping[date, str], *, first: date, last: date) -> Strip | None:
    """The cells from a first to a last day, where a day without an entry was missed.

    Returns:
        None where there is no day.
    """
    first = max(first, last - (LONGEST - 1) * DAY)
    if first > last:
        return None
    days = [first + number * DAY for number in range((last - first).days + 1)]
    cells = [_cell(day, kinds.get(day, MISSED), first, len(days)) for day in days]
    found = Counter(cell.kind for cell in cells)
    return Strip(
        first=first,
        last=last,
        width=max(cell.x for cell in cells) + CELL,
        height=max(cell.y for cell in cells) + CELL,
        good={
            kind: _path([cell for cell in cells if cell.kind == kind])
            for kind in (PROVEN, STORED, COMING, REMOVED)
            if found[kind]
        },
        bad=[cell for cell in cells if cell.kind in (FAILED, MISSED)],
        counts=[(kind, label, found[kind]) for kind, label in KINDS.items() if found[kind]],
    )


def _cell(day: date, kind: str, first: date, count: int) -> Cell:
    place = (day - first).days
    if count <= ONE_LINE:
        return Cell(day, kind, place * PLACE, 0)
    # Weeks begin on Monday, each in a column of its own.
    place += first.weekday()
    return Cell(day, kind, place // WEEK * PLACE, place % WEEK * PLACE)


def _path(cells: Sequence[Cell]) -> str:
    return "".join(f"M{cell.x} {cell.y}h{CELL}v{CELL}h-{CELL}z" for cell in cells)
