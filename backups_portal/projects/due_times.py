"""When a daily snapshot is due: local time of day in, instants in UTC out.

Local dates and clock changes follow the IANA time zone database. A time that a change skips runs
at the next minute that exists; a time that it repeats runs at its first occurrence; a local date
that does not exist at all (Samoa, 30 December 2011) has no run. A zone that is no longer known
counts as UTC (lib/timezones.py).
"""

import re
from collections.abc import Collection
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

from backups_portal.lib.timezones import is_zone, zone_of

DAY = timedelta(days=1)
# From the beginning of a day to the end of the next: the longest gap that one change can leave.
MAX_GAP = 2 * DAY
SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)
NOT_BY_HAND = (
    "Backups are created automatically on a daily schedule. They cannot be created by hand."
)
TIME_OF_DAY = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)", re.ASCII)


class Run(NamedTuple):
    """One run of a daily schedule."""

    local_date: date
    at: datetime


def parse_time(text: str) -> time:
    """Parse "HH:MM", on a clock of 24 hours.

    Raises:
        ValueError: with a sentence fit for a page.
    """
    found = TIME_OF_DAY.fullmatch(text.strip())
    if not text.strip():
        raise ValueError("Enter a time of day as HH:MM, from 00:00 to 23:59.")
    if found is None:
        raise ValueError(f"“{text}” is not a time of day. Write it as HH:MM, from 00:00 to 23:59.")
    return time(int(found[1]), int(found[2]))


def parse_zone(name: str) -> str:
    """Check the name of an IANA time zone.

    Raises:
        ValueError: with a sentence fit for a page.
    """
    name = name.strip()
    if not name:
        raise ValueError("Enter a time zone, such as Europe/Berlin or UTC.")
    if not is_zone(name):
        raise ValueError(f"“{name}” is not a time zone. Choose one such as Europe/Berlin or UTC.")
    return name


def local_date(moment: datetime, zone: str) -> date:
    """Return the date on the calendar of `zone` at an instant."""
    return moment.astimezone(zone_of(zone)).date()


def run_on(day: date, at: time, zone: str) -> datetime | None:
    """Return a local date's run (UTC); None if that date does not exist."""
    place = zone_of(zone)
    wanted = datetime.combine(day, at)
    # fold=0 is the first occurrence of a repeated time, and the offset before a skipped one.
    moment = wanted.replace(tzinfo=place, fold=0).astimezone(UTC)
    if _wall(moment, place) == wanted:
        return moment
    if _after_gap(datetime.combine(day, time()), place)[1].date() != day:
        return None
    return _after_gap(wanted, place)[0]


def next_run(after: datetime, at: time, zone: str) -> datetime:
    """Return the first run (UTC) later than `after`."""
    # Start with the day before: a gap over midnight moves a day's run into the next day.
    day = local_date(after, zone) - DAY
    while True:
        moment = run_on(day, at, zone)
        if moment is not None and moment > after:
            return moment
        day += DAY


def runs_from(first: datetime, at: time, zone: str, *, count: int) -> list[datetime]:
    """Return a planned run (UTC) and those after it, `count` in all."""
    runs = [first]
    while len(runs) < count:
        runs.append(next_run(runs[-1], at, zone))
    return runs


def last_run(until: datetime, at: time, zone: str) -> Run:
    """Return the latest run not after `until`, with its local date."""
    # Start with the day after: if clocks are set back over midnight, that date has begun already.
    day = local_date(until, zone) + DAY
    while True:
        moment = run_on(day, at, zone)
        if moment is not None and moment <= until:
            return Run(day, moment)
        day -= DAY


def plan_run(
    now: datetime,
    at: time,
    zone: str,
    *,
    taken: Collection[date],
    newest: datetime,
    is_overdue: bool = False,
) -> datetime:
    """Return the next run (UTC) after a change of the schedule.

    An overdue run is kept, and returned as a past moment. Nor can repeated changes skip a local
    date: a run that would come more than `MAX_GAP` after the newest backup is due now, for the
    local date whose time has just passed.

    Args:
        taken: Local dates with a backup, stored or under way, from that of the last run on.
        newest: When the last good backup was taken.
        is_overdue: Whether a run of the old schedule is due.
    """
    run = last_run(now, at, zone)
    moment = run.at if is_overdue else next_run(now, at, zone)
    while last_run(moment, at, zone).local_date in taken:
        moment = next_run(moment, at, zone)
    if moment > now and moment - newest > MAX_GAP and not taken:
        return now
    return moment


def _wall(moment: datetime, place: ZoneInfo) -> datetime:
    """Return the wall-clock time at an instant."""
    return moment.astimezone(place).replace(tzinfo=None, fold=0)


def _after_gap(wanted: datetime, place: ZoneInfo) -> tuple[datetime, datetime]:
    """Return the first whole minute not earlier than a skipped wall time.

    The offset after the gap gives an instant before the change, the one before it an instant
    after (PEP 495); a binary search between them finds the change.
    """
    before = wanted.replace(tzinfo=place, fold=1).astimezone(UTC)
    after = wanted.replace(tzinfo=place, fold=0).astimezone(UTC)
    while after - before > SECOND:
        middle = before + (after - before) // SECOND // 2 * SECOND
        if _wall(middle, place) >= wanted:
            after = middle
        else:
            before = middle
    # Historical changes did not always fall on a whole minute.
    seconds = _wall(after, place).second
    moment = after if not seconds else after + MINUTE - timedelta(seconds=seconds)
    return moment, _wall(moment, place)
