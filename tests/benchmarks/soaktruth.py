"""What the soak has written into a project, so that whatever is lost of it is found.

Records are written, corrected and deleted in groups, each time in one transaction. Who did not hear
whether it was committed, because PostgreSQL was killed, looks afterwards: a group is as it was
before, or as it should be, and anything between is a loss.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

# The clock of a snapshot's instant is read a moment after its rows are fixed.
SLACK_SECONDS = 2.0


class Contents(NamedTuple):
    """Of a group: its records, and the sum of their values, which are whole."""

    rows: int
    total: int


NOTHING = Contents(0, 0)


@dataclass
class Change:
    """A transaction that was begun then, known to be committed then, and how many rows it added."""

    begun: float
    ended: float
    rows: int


@dataclass
class Truth:
    """What one project must hold. Times are seconds since 1970, as PostgreSQL's clock has them."""

    groups: dict[str, Contents] = field(default_factory=dict)
    changes: list[Change] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, group: str, after: Contents, *, at: float) -> Change:
        """Say that a group is about to become like this."""
        change = Change(at, float("inf"), after.rows - self.contents(group).rows)
        with self._lock:
            self.changes.append(change)
        return change

    def end(self, change: Change, group: str, after: Contents, *, at: float) -> None:
        """Say that it has become so."""
        change.ended = at
        self.groups[group] = after
        if after == NOTHING:
            del self.groups[group]

    def take_back(self, change: Change) -> None:
        """Say that it has not."""
        with self._lock:
            self.changes.remove(change)

    def contents(self, group: str) -> Contents:
        """Of a group; of one that is not there: nothing."""
        return self.groups.get(group, NOTHING)

    def bounds(self, instant: float, until: float) -> tuple[int, int]:
        """How many rows a snapshot of an instant has, at least and at most.

        Args:
            until: When it was certainly past.
        """
        with self._lock:
            changes = list(self.changes)
        low = high = 0
        for change in changes:
            if change.ended < instant - SLACK_SECONDS:
                low, high = low + change.rows, high + change.rows
            elif change.begun < until:
                low, high = low + min(0, change.rows), high + max(0, change.rows)
        return low, high

    def differences(self, found: Mapping[str, Contents]) -> list[str]:
        """The groups that are not as they must be."""
        names = self.groups.keys() | found.keys()
        return sorted(name for name in names if self.contents(name) != found.get(name, NOTHING))
