"""Warnings about objectives that cannot be met, before they are saved."""

from datetime import datetime, time, timedelta
from functools import lru_cache

from backups_portal.projects.due_times import next_run
from backups_portal.ui import formats

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
RUNS = 366


def point_warning(hours: int, at: time, zone: str, now: datetime) -> str:
    """Explain why a daily schedule cannot meet a recovery point; "" if it can."""
    longest, day = longest_wait(at, zone, formats.local(now, zone).year)
    least = longest // HOUR + 1
    if hours * HOUR > longest:
        return ""
    if hours * HOUR <= DAY:
        return (
            f"“At most {formats.count(hours, 'hour')}” can't be met: backups are taken once a "
            "day, so just before each one, 24 hours of data are not backed up, and taking a "
            f"backup takes time as well. {least} hours is the least that can be met."
        )
    return (
        f"“At most {formats.count(hours, 'hour')}” can't be met all year: when the clocks change, "
        f"on {day}, {formats.duration(longest)} lie between two backups, and taking a backup takes "
        f"time as well. {least} hours is the least that can be met."
    )


def time_warning(minutes: int, last: timedelta | None, *, are_proofs_on: bool) -> str:
    """Explain why restores are not known to be quick enough; "" if they are.

    Args:
        last: How long the last measured restore took; None if there is none.
    """
    if last is None:
        if are_proofs_on:
            return ""
        return (
            "Nothing measures how long a restore takes: proofs are off, and no backup was restored "
            "yet. The objective is neither met nor missed until one is."
        )
    if last <= timedelta(minutes=minutes):
        return ""
    return (
        f"“Within {formats.count(minutes, 'minute')}” is missed at once: the last measured restore "
        f"took {formats.duration(last)}."
    )


@lru_cache(maxsize=1024)
def longest_wait(at: time, zone: str, year: int) -> tuple[timedelta, str]:
    """Return a year's longest time between two runs, and the second's day."""
    moment = next_run(datetime.fromisoformat(f"{year}-01-01T00:00Z"), at, zone)
    longest, day = timedelta(), moment
    for _ in range(RUNS):
        following = next_run(moment, at, zone)
        if following - moment > longest:
            longest, day = following - moment, following
        moment = following
    return longest, formats.day(formats.local(day, zone).date())
