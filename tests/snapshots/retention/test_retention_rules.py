"""Retention never removes too much, and always removes what has expired."""

from datetime import UTC, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshots.retention.retention_rules import (
    HELD,
    IN_USE,
    NEWEST,
    OLD,
    OLD_FAILURE,
    YOUNG,
    Kept,
    decide,
)

NOW = datetime(2028, 3, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)

periods = st.integers(1, 365).map(lambda days: timedelta(days=days))
# Two leap days, every clock change, and clocks that were ahead.
instants = st.datetimes(datetime(2023, 12, 1), datetime(2028, 3, 5), timezones=st.just(UTC))
kept = st.builds(
    Kept,
    id=st.uuids(),
    taken_at=instants,
    good=st.booleans(),
    held=st.booleans(),
    in_use=st.booleans(),
)
projects = st.lists(kept, max_size=30, unique_by=lambda snapshot: snapshot.id)


def snapshot(days_old: float, *, number: int = 1, **fields: bool) -> Kept:
    return Kept(UUID(int=number), NOW - days_old * DAY, **fields)


def reasons(snapshots: list[Kept], days: int = 7) -> list[tuple[bool, str]]:
    return [(v.goes, v.reason) for v in decide(snapshots, days * DAY, NOW)]


def gone(snapshots: list[Kept], period: timedelta) -> set[UUID]:
    return {verdict.id for verdict in decide(snapshots, period, NOW) if verdict.goes}


@pytest.mark.parametrize(
    ("old", "verdict"),
    [
        (snapshot(6.9), (False, YOUNG)),
        (snapshot(7), (True, OLD)),
        (snapshot(8, held=True), (False, HELD)),
        (snapshot(8, in_use=True), (False, IN_USE)),
        (snapshot(8, good=False), (True, OLD_FAILURE)),
        (snapshot(1, good=False), (False, YOUNG)),
    ],
)
def test_beside_a_newer_good_one(old: Kept, verdict: tuple[bool, str]) -> None:
    assert reasons([old, snapshot(0, number=2)]) == [verdict, (False, YOUNG)]


def test_the_newest_good_one_stays_when_all_that_followed_failed() -> None:
    snapshots = [snapshot(30), snapshot(29, number=2), snapshot(1, number=3, good=False)]
    assert reasons(snapshots) == [(True, OLD), (False, NEWEST), (False, YOUNG)]


@pytest.mark.parametrize(
    ("zone", "taken_at", "days", "until"),
    [
        # Clocks go forward in the night, so the local day has 23 hours.
        ("Europe/Berlin", "2027-03-27 03:00", 1, "2027-03-28 04:00"),
        ("Europe/Berlin", "2027-03-21 12:00", 7, "2027-03-28 13:00"),
        # Clocks go back, so the local day has 25 hours.
        ("Europe/Berlin", "2027-10-30 12:00", 1, "2027-10-31 11:00"),
        ("Australia/Lord_Howe", "2027-04-03 12:00", 1, "2027-04-04 11:30"),
        # The leap day counts as any other.
        ("UTC", "2028-02-28 03:00", 1, "2028-02-29 03:00"),
        ("UTC", "2028-02-29 03:00", 1, "2028-03-01 03:00"),
        ("UTC", "2028-02-29 03:00", 365, "2029-02-28 03:00"),
        ("UTC", "2027-03-01 03:00", 365, "2028-02-29 03:00"),
        ("UTC", "2027-02-27 03:00", 2, "2027-03-01 03:00"),
    ],
)
def test_a_day_is_24_hours_on_whatever_clock_it_is_read(
    zone: str, taken_at: str, days: int, until: str
) -> None:
    def local(text: str) -> datetime:
        return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))

    def goes(now: datetime) -> bool:
        newer = Kept(UUID(int=2), now)
        return decide([Kept(UUID(int=1), local(taken_at)), newer], days * DAY, now)[0].goes

    end = local(until).astimezone(UTC)
    for clock in (UTC, ZoneInfo(zone)):
        assert goes(end.astimezone(clock))
        assert not goes((end - timedelta(seconds=1)).astimezone(clock))


def test_no_snapshots_no_verdicts() -> None:
    assert decide([], DAY, NOW) == []


@given(projects, periods)
def test_each_snapshot_gets_one_verdict_in_order(snapshots: list[Kept], period: timedelta) -> None:
    verdicts = decide(snapshots, period, NOW)
    assert [verdict.id for verdict in verdicts] == [snapshot.id for snapshot in snapshots]
    assert all(verdict.reason for verdict in verdicts)


@given(projects, periods)
def test_while_there_is_a_good_one_a_good_one_stays(
    snapshots: list[Kept], period: timedelta
) -> None:
    good = {snapshot.id for snapshot in snapshots if snapshot.good}
    assert not good or good - gone(snapshots, period)


@given(projects, periods)
def test_what_goes_is_old_and_neither_held_nor_in_use(
    snapshots: list[Kept], period: timedelta
) -> None:
    removed = gone(snapshots, period)
    for item in snapshots:
        if item.id in removed:
            assert NOW - item.taken_at >= period
            assert not item.held
            assert not item.in_use


@given(projects, periods)
def test_what_is_old_goes_unless_it_is_protected(snapshots: list[Kept], period: timedelta) -> None:
    free = [item for item in snapshots if not item.held and not item.in_use]
    old = {item.id for item in free if NOW - item.taken_at >= period}
    assert len(old - gone(snapshots, period)) <= 1


@given(projects, periods, periods)
def test_a_longer_period_never_removes_more(
    snapshots: list[Kept], one: timedelta, other: timedelta
) -> None:
    assert gone(snapshots, max(one, other)) <= gone(snapshots, min(one, other))


@given(projects, periods)
def test_a_second_round_removes_nothing_more(snapshots: list[Kept], period: timedelta) -> None:
    removed = gone(snapshots, period)
    assert not gone([item for item in snapshots if item.id not in removed], period)


@given(projects, periods)
def test_the_order_of_the_list_does_not_matter(snapshots: list[Kept], period: timedelta) -> None:
    assert gone(snapshots, period) == gone(snapshots[::-1], period)
