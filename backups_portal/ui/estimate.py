"""How long work will still take, said only where enough is known to say it."""

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
