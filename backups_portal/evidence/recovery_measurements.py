"""Measured recovery: how long it takes, and how much would have been lost.

This module knows no objectives; callers compare them with these figures.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from statistics import median

from backups_portal.projects.shutdown_periods import ShutdownPeriod


class Measured(StrEnum):
    """The kind of run that measured a recovery time."""

    PROOF = "proof"
    RESTORE = "restore"


@dataclass(frozen=True)
class Measurement:
    """One recovery time.

    Attributes:
        day: The day of the backup.
        at: When it was measured.
    """

    by: Measured
    day: date
    at: datetime
    seconds: float

    @property
    def length(self) -> timedelta:
        """Return how long it took."""
        return timedelta(seconds=self.seconds)


@dataclass(frozen=True)
class RecoveryTime:
    """How long restores and proofs took."""

    measurements: Sequence[Measurement]

    @property
    def median(self) -> timedelta | None:
        """Return the median time; None if nothing was measured."""
        found = [one.seconds for one in self.measurements]
        return timedelta(seconds=median(found)) if found else None

    @property
    def worst(self) -> Measurement | None:
        """Return the slowest one."""
        return max(self.measurements, key=lambda one: one.seconds, default=None)

    def count(self, by: str) -> int:
        """Count the measurements by proofs, or by restores."""
        return sum(one.by == by for one in self.measurements)


@dataclass(frozen=True)
class Gap:
    """The time between two good backups; its writes could have been lost.

    Attributes:
        is_open: Whether there is no newer good backup yet.
        stopped: How much of it the project was shut down, so that nothing was written.
    """

    begins_at: datetime
    ends_at: datetime
    is_open: bool = False
    stopped: timedelta = timedelta()

    @property
    def length(self) -> timedelta:
        """Return how long it lasted while the project ran."""
        return self.ends_at - self.begins_at - self.stopped


@dataclass(frozen=True)
class RecoveryPoint:
    """How old the newest good backup became before the next one was taken."""

    gaps: Sequence[Gap]

    @property
    def median(self) -> timedelta | None:
        """Return the median gap; None without a good backup."""
        found = [gap.length.total_seconds() for gap in self.gaps]
        return timedelta(seconds=median(found)) if found else None

    @property
    def worst(self) -> Gap | None:
        """Return the longest gap."""
        return max(self.gaps, key=lambda gap: gap.length, default=None)


def recovery_point(
    taken: Iterable[datetime],
    *,
    before: datetime | None,
    until: datetime,
    stopped: Sequence[ShutdownPeriod] = (),
) -> RecoveryPoint:
    """Compute the gaps between good backups.

    Args:
        taken: When the good backups of the period were taken.
        before: When the newest one before the period was taken.
        until: The end of the period, or now: the last gap counts up to there.
        stopped: The shut-downs of the project.
    """
    moments = sorted([*([before] if before else []), *taken])
    pauses = [(start, end or until) for start, end in stopped]
    gaps = [
        Gap(first, following, stopped=_overlap(first, following, pauses))
        for first, following in pairwise(moments)
    ]
    if moments and moments[-1] < until:
        paused = _overlap(moments[-1], until, pauses)
        gaps.append(Gap(moments[-1], until, is_open=True, stopped=paused))
    return RecoveryPoint(gaps)


def _overlap(
    begin: datetime, end: datetime, pauses: Sequence[tuple[datetime, datetime]]
) -> timedelta:
    """Add up the part of a time within pauses, which must not overlap."""
    parts = (min(end, stop) - max(begin, start) for start, stop in pauses)
    return sum((part for part in parts if part > timedelta()), timedelta())
