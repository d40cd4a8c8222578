"""How fast work goes and how long it will still take, where enough is known to say it."""

from dataclasses import dataclass
from datetime import timedelta

# Before this, the rate is that of connections and caches, not of the work.
LEAST_ELAPSED = timedelta(seconds=3)
LEAST_SHARE = 0.02


def remaining(done: int, total: int | None, elapsed: timedelta | None) -> timedelta | None:
    """The time that the rest takes at the rate so far.

    Args:
        elapsed: Since this very work began; of work in steps, since the step did.

    Returns:
        None where the total or the beginning is not known, where too little is done to tell, and
        where nothing is left.
    """
    if not total or elapsed is None or elapsed < LEAST_ELAPSED:
        return None
    if not LEAST_SHARE * total <= done < total:
        return None
    return elapsed * ((total - done) / done)


@dataclass(frozen=True)
class Pace:
    """How fast work goes.

    Attributes:
        per_second: Rows in a second, of all the time so far; None where that cannot be told.
        left: What the rest takes; None where that cannot be told.
    """

    per_second: int | None = None
    left: timedelta | None = None


def pace(done: int, total: int | None, elapsed: timedelta | None) -> Pace:
    """The rate so far and what is left at it.

    Args:
        done: Rows that were done in this time, and no others.
        elapsed: As for `remaining`.
    """
    return Pace(per_second(done, elapsed), remaining(done, total, elapsed))


def per_second(done: int, elapsed: timedelta | None) -> int | None:
    """Rows in a second, one at least; None before there is a rate."""
    if not done or elapsed is None or elapsed < LEAST_ELAPSED:
        return None
    return max(1, round(done / elapsed.total_seconds()))
