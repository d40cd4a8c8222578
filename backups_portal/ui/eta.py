"""The rate of work and the time left, if enough is known to estimate them."""

from dataclasses import dataclass
from datetime import timedelta

# Earlier, connections and caches determine the rate, not the work.
MIN_ELAPSED = timedelta(seconds=3)
MIN_SHARE = 0.02


def remaining(done: int, total: int | None, elapsed: timedelta | None) -> timedelta | None:
    """Estimate the time left at the rate so far.

    Args:
        elapsed: Since the work began; for work in steps, since the step began.

    Returns:
        None if the total or the start is unknown, if too little is done to tell, or if nothing is
        left.
    """
    if not total or elapsed is None or elapsed < MIN_ELAPSED:
        return None
    if not MIN_SHARE * total <= done < total:
        return None
    return elapsed * ((total - done) / done)


@dataclass(frozen=True)
class Pace:
    """The rate of work and the time left.

    Attributes:
        per_second: The average rows per second so far; None if unknown.
        left: The time left; None if unknown.
    """

    per_second: int | None = None
    left: timedelta | None = None


def pace(done: int, total: int | None, elapsed: timedelta | None) -> Pace:
    """Estimate the rate so far and the time left at it.

    Args:
        done: Rows done within `elapsed`, without earlier ones.
        elapsed: As for `remaining`.
    """
    return Pace(per_second(done, elapsed), remaining(done, total, elapsed))


def per_second(done: int, elapsed: timedelta | None) -> int | None:
    """Return rows per second, at least one; None before there is a rate."""
    if not done or elapsed is None or elapsed < MIN_ELAPSED:
        return None
    return max(1, round(done / elapsed.total_seconds()))
