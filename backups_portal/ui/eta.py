"""The pace of work and how long the rest of it takes, if enough is known to tell."""

from dataclasses import dataclass
from datetime import timedelta

# Before this, connections and caches set the rate, not the work.
MIN_ELAPSED = timedelta(seconds=3)
MIN_SHARE = 0.02


def remaining(done: int, total: int | None, elapsed: timedelta | None) -> timedelta | None:
    """Estimate the time that the rest takes at the rate so far.

    Args:
        elapsed: Since this work began; for work in steps, since the step began.

    Returns:
        None if the total or the beginning is not known, if too little is done to tell, or if
        nothing is left.
    """
    if not total or elapsed is None or elapsed < MIN_ELAPSED:
        return None
    if not MIN_SHARE * total <= done < total:
        return None
    return elapsed * ((total - done) / done)


@dataclass(frozen=True)
class Pace:
    """How fast work goes.

    Attributes:
        per_second: Rows per second over all the time so far; None if that cannot be told.
        left: What the rest takes; None if that cannot be told.
    """

    per_second: int | None = None
    left: timedelta | None = None


def pace(done: int, total: int | None, elapsed: timedelta | None) -> Pace:
    """Estimate the rate so far and the time left at it.

    Args:
        done: Rows that were done in this time, without those done before it.
        elapsed: As for `remaining`.
    """
    return Pace(per_second(done, elapsed), remaining(done, total, elapsed))


def per_second(done: int, elapsed: timedelta | None) -> int | None:
    """Count rows per second, at least one; None before there is a rate."""
    if not done or elapsed is None or elapsed < MIN_ELAPSED:
        return None
    return max(1, round(done / elapsed.total_seconds()))
