"""One run per local day, in every zone of the world, through every clock change."""

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backups_portal.lib.timezones import zone_names, zone_of
from backups_portal.projects.due_times import (
    last_run,
    local_date,
    next_run,
    parse_time,
    parse_zone,
    plan_run,
    run_on,
)

ZONES = sorted(zone_names())
zones = st.sampled_from(ZONES)
times = st.times().map(lambda at: at.replace(second=0, microsecond=0))
# From ten years before this was written to ten years after.
moments = st.datetimes(datetime(2016, 1, 1), datetime(2036, 1, 1), timezones=st.just(UTC))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def dates_of(zone: str, first: date, last: date) -> list[date]:
    """Return the existing local dates, found hour by hour without the schedule's code."""
    moment = datetime.combine(first, time(), UTC) - timedelta(days=1)
    seen = set()
    while moment.date() <= last + timedelta(days=1):
        seen.add(moment.astimezone(zone_of(zone)).date())
        # No date is shorter than an hour.
        moment += timedelta(hours=1)
    return sorted(day for day in seen if first <= day <= last)


@pytest.mark.parametrize(
    ("zone", "at", "after", "expected"),
    [
        ("UTC", "03:00", "2026-11-23 02:59", "2026-11-23 03:00"),
        ("UTC", "03:00", "2026-11-23 03:00", "2026-11-24 03:00"),
        # Spring forward: 02:00 becomes 03:00, 02:30 does not exist and runs at 03:00.
        ("Europe/Berlin", "02:30", "2026-03-28 12:00", "2026-03-29 01:00"),
        ("Europe/Berlin", "02:30", "2026-03-29 01:00", "2026-03-30 00:30"),
        # Fall back: 02:30 comes twice and runs at the first.
        ("Europe/Berlin", "02:30", "2026-10-24 12:00", "2026-10-25 00:30"),
        ("Europe/Berlin", "02:30", "2026-10-25 00:30", "2026-10-26 01:30"),
        # Daylight saving of half an hour.
        ("Australia/Lord_Howe", "02:15", "2026-10-03 00:00", "2026-10-03 15:30"),
        # Midnight itself is skipped.
        ("Africa/Cairo", "00:00", "2026-04-23 12:00", "2026-04-23 22:00"),
        # A whole day that never existed: the run of 29 December is followed by that of the 31st.
        ("Pacific/Apia", "03:00", "2011-12-29 13:00", "2011-12-30 13:00"),
    ],
)
def test_next_run(zone: str, at: str, after: str, expected: str) -> None:
    assert next_run(utc(after), time.fromisoformat(at), zone) == utc(expected)


def test_a_date_that_does_not_exist_has_no_run() -> None:
    assert run_on(date(2011, 12, 30), time(3), "Pacific/Apia") is None


@given(zone=zones, at=times, start=moments)
@settings(max_examples=25, deadline=None)
def test_exactly_one_run_for_each_local_date(zone: str, at: time, start: datetime) -> None:
    runs, moment = [], start
    for _ in range(400):
        moment = next_run(moment, at, zone)
        runs.append((last_run(moment, at, zone).local_date, moment))
    days = [day for day, _ in runs]
    assert all(earlier < later for (_, earlier), (_, later) in pairwise(runs))
    assert days == dates_of(zone, days[0], days[-1])


@given(zone=zones, at=times, day=st.dates(date(2016, 1, 1), date(2036, 1, 1)))
@settings(max_examples=300, deadline=None)
def test_a_run_is_at_its_time_or_at_the_next_minute_that_exists(
    zone: str, at: time, day: date
) -> None:
    run = run_on(day, at, zone)
    if run is None:
        return
    wall = run.astimezone(zone_of(zone)).replace(tzinfo=None)
    wanted = datetime.combine(day, at)
    assert wall >= wanted
    assert wall.second == 0
    if wall > wanted:
        a_minute_before = (run - timedelta(minutes=1)).astimezone(zone_of(zone))
        assert a_minute_before.replace(tzinfo=None) < wanted


@given(zone=zones, at=times, day=st.dates(date(2016, 1, 1), date(2036, 1, 1)))
@settings(max_examples=300, deadline=None)
def test_a_repeated_time_runs_the_first_time(zone: str, at: time, day: date) -> None:
    run = run_on(day, at, zone)
    if run is None:
        return
    wall = run.astimezone(zone_of(zone)).replace(tzinfo=None)
    for minutes in range(30, 26 * 60, 30):
        earlier = (run - timedelta(minutes=minutes)).astimezone(zone_of(zone))
        assert earlier.replace(tzinfo=None) != wall


@given(zone=zones, at=times, moment=moments)
@settings(max_examples=300, deadline=None)
def test_now_lies_between_the_last_run_and_the_next(zone: str, at: time, moment: datetime) -> None:
    last, following = last_run(moment, at, zone), next_run(moment, at, zone)
    assert last.at <= moment < following
    assert next_run(last.at, at, zone) == following
    assert following - last.at <= timedelta(hours=50)


def backups_of(
    zone: str, at: time, start: datetime, changes: list[tuple[timedelta, time]]
) -> list[datetime]:
    """Return the runs if the time of day is changed to others at these intervals."""
    now = next_run(start, at, zone)
    made, dates = [now], {last_run(now, at, zone).local_date}
    planned = next_run(now, at, zone)
    for later, new in changes:
        now += later
        while planned <= now:
            made.append(planned)
            dates.add(last_run(planned, at, zone).local_date)
            planned = next_run(planned, at, zone)
        at = new
        since = last_run(now, at, zone).local_date
        taken = {day for day in dates if day >= since}
        planned = plan_run(now, at, zone, taken=taken, newest=made[-1])
    return [*made, planned]


@given(
    zone=zones,
    at=times,
    start=moments,
    changes=st.lists(
        st.tuples(st.integers(1, 72 * 60).map(lambda count: timedelta(minutes=count)), times),
        max_size=6,
    ),
)
@settings(max_examples=300, deadline=None)
def test_no_changes_of_the_time_leave_more_than_two_days_between_backups(
    zone: str, at: time, start: datetime, changes: list[tuple[timedelta, time]]
) -> None:
    made = backups_of(zone, at, start, changes)
    gaps = [later - earlier for earlier, later in pairwise(made)]
    # Two local days, of which one may have 25 hours, or 26 in Antarctica.
    assert max(gaps) <= timedelta(hours=50)
    assert min(gaps) > timedelta()


SECOND, QUARTER, DAY = timedelta(seconds=1), timedelta(minutes=15), timedelta(days=1)
FIRST_DAY = datetime(2026, 1, 1, 12, tzinfo=UTC)
DAYS = [FIRST_DAY + number * DAY for number in range(3653)]
AWKWARD_TIMES = [
    time.fromisoformat(at)
    for at in ("00:00", "00:30", "01:00", "01:30", "02:00", "02:30", "03:00", "23:00", "23:45")
]


@cache
def changes(place: ZoneInfo) -> list[datetime]:
    """Return the instants, to the second, of a zone's clock changes from 2026 to 2035."""
    offsets = [day.astimezone(place).utcoffset() for day in DAYS]
    return [
        first_instant_of_another_offset(day, day + DAY, place)
        for day, (old, new) in zip(DAYS, pairwise(offsets), strict=False)
        if old != new
    ]


def first_instant_of_another_offset(before: datetime, after: datetime, place: ZoneInfo) -> datetime:
    old = before.astimezone(place).utcoffset()
    while after - before > SECOND:
        middle = before + (after - before) // SECOND // 2 * SECOND
        if middle.astimezone(place).utcoffset() == old:
            before = middle
        else:
            after = middle
    return after


def key_of(zone: str) -> tuple[object, ...]:
    """Return a key that zones with the same clocks for ten years share."""
    place = zone_of(zone)
    moments = changes(place)
    offsets = [moment.astimezone(place).utcoffset() for moment in (FIRST_DAY, *moments)]
    return (*moments, *offsets)


def walk_through(change: datetime, place: ZoneInfo) -> list[tuple[datetime, datetime]]:
    """Return the quarter hours around a change, as instants and as wall clock times."""
    start = (change - 2 * DAY).replace(minute=0, second=0)
    moments = [start + number * QUARTER for number in range(4 * 24 * 4)]
    return [(moment, moment.astimezone(place).replace(tzinfo=None, fold=0)) for moment in moments]


def first_times(walk: list[tuple[datetime, datetime]], at: time) -> dict[date, datetime]:
    """Return, for the walk's complete local dates, the first instant not before `at`."""
    days = sorted({wall.date() for _, wall in walk})[1:-1]
    return {
        day: next(moment for moment, wall in walk if wall >= datetime.combine(day, at))
        for day in days
    }


def test_one_run_a_day_not_later_than_its_minute_through_every_change_of_ten_years() -> None:
    one_of_each = {key_of(zone): zone for zone in ZONES}
    assert len(one_of_each) > 60
    seen = 0
    for zone in one_of_each.values():
        place = zone_of(zone)
        for change in (FIRST_DAY, *changes(place)):
            # Otherwise quarter-hour steps would miss it.
            assert change.second == 0
            assert change.minute % 15 == 0
            seen += 1
            # The expectation comes from the walk, independently of the schedule.
            walk = walk_through(change, place)
            for at in AWKWARD_TIMES:
                expected = first_times(walk, at)
                runs = list(expected.values())
                assert [run_on(day, at, zone) for day in expected] == runs, (zone, change, at)
                assert [next_run(run, at, zone) for run in runs[:-1]] == runs[1:], (zone, change)
                days = [last_run(run, at, zone).local_date for run in runs]
                assert days == list(expected), (zone, change, at)
    assert seen > 500


def test_only_clocks_that_are_the_same_stand_for_each_other() -> None:
    for one, other in (("America/Havana", "America/New_York"), ("Asia/Beirut", "Europe/Athens")):
        assert key_of(one) != key_of(other)
    assert key_of("Asia/Calcutta") == key_of("Asia/Kolkata")


def test_the_local_date_is_that_of_the_zone() -> None:
    moment = utc("2026-11-23 23:30")
    assert local_date(moment, "Pacific/Kiritimati") == date(2026, 11, 24)
    assert local_date(moment, "Pacific/Pago_Pago") == date(2026, 11, 23)


@pytest.mark.parametrize(("text", "expected"), [("03:00", time(3)), (" 9:05 ", time(9, 5))])
def test_a_time_of_day_is_read(text: str, expected: time) -> None:
    assert parse_time(text) == expected


@pytest.mark.parametrize("text", ["25:00", "24:00", "12:60", "noon", "3", "03:00:30", "\u0663:00"])
def test_what_is_no_time_of_day_is_refused_in_a_sentence(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not a time of day\. Write it as HH:MM"):
        parse_time(text)


@pytest.mark.parametrize("name", ["Mars/Base", "../etc/passwd", "/etc/localtime", "CEST+1"])
def test_what_is_no_time_zone_is_refused_in_a_sentence(name: str) -> None:
    with pytest.raises(ValueError, match="is not a time zone"):
        parse_zone(name)


@pytest.mark.parametrize("read", [parse_time, parse_zone])
def test_nothing_is_told_what_to_enter(read: Callable[[str], object]) -> None:
    with pytest.raises(ValueError, match=r"^Enter a time"):
        read(" ")


def test_an_unknown_zone_is_utc_and_never_reaches_the_disk() -> None:
    for name in ("Mars/Base", "../etc/passwd", "/etc/localtime"):
        after = utc("2026-11-23 00:00")
        assert next_run(after, time(3), name) == next_run(after, time(3), "UTC")
