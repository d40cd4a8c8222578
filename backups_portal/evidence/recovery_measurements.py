"""What was measured of recovery: how long it takes, and how much would have been lost.

Goals that a project sets itself are not known here: what compares them with these figures stands
above this module.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from itertools import pairwise
from statistics import median

from backups_portal.projects.shutdown_periods import ShutdownPeriod


class Measured(StrEnum):
    """What a recovery time was measured by."""

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
    """How long restores and proofs took until the data was there."""

    measurements: Sequence[Measurement]

    @property
    def median(self) -> timedelta | None:
        """Return the usual time; None if nothing was measured."""
        found = [one.seconds for one in self.measurements]
        return timedelta(seconds=median(found)) if found else None

    @property
    def worst(self) -> Measurement | None:
        """Return the slowest one."""
        return max(self.measurements, key=lambda one: one.seconds, default=None)

    def count(self, by: str) -> int:
        """Count what was measured by proofs, or by restores."""
        return sum(one.by == by for one in self.measurements)


@dataclass(frozen=True)
class Gap:
    """A time between one good backup and the next: what was written in it could have been lost.

    Attributes:
        is_open: It is not over: there is no newer good backup.
        stopped: For how long of it the project was shut down, and nothing was written.
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
        """Return the usual gap; None without a good backup."""
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
    """Line up the gaps between good backups.

    Args:
        taken: When the good backups of the period were taken.
        before: When the newest one before the period was taken.
        until: The end of the period, or now: the last gap counts up to there.
        stopped: From when until when the project was shut down; None if it still is.
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
    """Add up how much of a time lies within pauses, which do not overlap."""
    parts = (min(end, stop) - max(begin, start) for start, stop in pauses)
    return sum((part for part in parts if part > timedelta()), timedelta())
