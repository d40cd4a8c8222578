"""Objectives that cannot be met are reported plainly."""

from datetime import UTC, datetime, time, timedelta

import pytest

from backups_portal.objectives.feasibility import longest_wait, point_warning, time_warning

NOW = datetime(2026, 11, 27, tzinfo=UTC)


@pytest.mark.parametrize(
    ("hours", "zone", "said"),
    [
        (12, "UTC", "“At most 12 hours” can't be met: backups are taken once a day"),
        (24, "UTC", "25 hours is the least that can be met."),
        (25, "UTC", ""),
        (24, "Europe/Berlin", "26 hours is the least that can be met."),
        (25, "Europe/Berlin", "when the clocks change, on 25 Oct 2026"),
        (26, "Europe/Berlin", ""),
        (1, "UTC", "“At most 1 hour” can't"),
    ],
)
def test_of_a_daily_schedule(hours: int, zone: str, said: str) -> None:
    warning = point_warning(hours, time(3), zone, NOW)
    assert said in warning
    assert bool(said) == bool(warning)


def test_clocks_that_change_by_half_an_hour() -> None:
    wait, _ = longest_wait(time(3), "Australia/Lord_Howe", 2026)
    assert wait == timedelta(hours=24, minutes=30)


@pytest.mark.parametrize(
    ("last", "are_proofs_on", "said"),
    [
        (None, True, ""),
        (None, False, "proofs are off"),
        (timedelta(minutes=30), False, ""),
        (timedelta(minutes=45), True, "the last measured restore took 45\N{NO-BREAK SPACE}min"),
    ],
)
def test_of_restores(last: timedelta | None, are_proofs_on: bool, said: str) -> None:
    warning = time_warning(30, last, are_proofs_on=are_proofs_on)
    assert said in warning
    assert bool(said) == bool(warning)
