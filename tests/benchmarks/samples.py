"""Figures of several rounds, by name."""

from collections.abc import Callable
from dataclasses import dataclass, field
from statistics import median
from typing import Any

# What tells somebody who waits what is being measured.
Say = Callable[[str], None]


@dataclass
class Samples:
    """What was measured.

    Attributes:
        values: Of every round, by name; a name ends in its unit.
        profiles: Parts of a run with clocks, by the run's name.
        skipped: Why something was not measured, by name.
    """

    values: dict[str, list[float]] = field(default_factory=dict)
    profiles: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        """One round's value."""
        self.values.setdefault(name, []).append(value)

    def median(self, name: str) -> float | None:
        """The middle value, or None where it was not measured."""
        values = self.values.get(name)
        return median(values) if values else None

    def best(self, *names: str) -> float | None:
        """The smallest median of those that were measured."""
        found = [value for name in names if (value := self.median(name)) is not None]
        return min(found, default=None)

    def ratio(self, above: str, below: str) -> float | None:
        """One median by another."""
        return divide(self.median(above), self.median(below))


def divide(above: float | None, below: float | None) -> float | None:
    """A quotient of what is known."""
    return above / below if above is not None and below else None
