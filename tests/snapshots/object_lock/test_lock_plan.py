"""Until when a snapshot has to be locked."""

from datetime import UTC, datetime, timedelta

import pytest

from snapshots.object_lock.lock_plan import HELD_FOR, MAX_SLACK, plan_lock

NOW = datetime(2026, 11, 25, 3, tzinfo=UTC)
DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("days", "slack"), [(1, DAY / 7), (7, DAY), (28, 4 * DAY), (365, MAX_SLACK)]
)
def test_a_lock_lasts_until_the_snapshot_may_go_and_a_bit_longer(
    days: int, slack: timedelta
) -> None:
    plan = plan_lock(NOW, days * DAY, NOW)
    assert (plan.least, plan.until) == (NOW + days * DAY, NOW + days * DAY + slack)


def test_what_does_not_change_is_locked_again_every_other_day_where_a_week_is_kept() -> None:
    locked, again = NOW, 0
    for day in range(70):
        moment = NOW + day * DAY
        plan = plan_lock(moment, 7 * DAY, moment)
        if locked < plan.least:
            locked, again = plan.until, again + 1
    assert again == 35


def test_one_on_hold_stays_locked_for_weeks_whatever_its_age() -> None:
    plan = plan_lock(NOW - 400 * DAY, 7 * DAY, NOW, held=True)
    assert (plan.least, plan.until) == (NOW + HELD_FOR / 2, NOW + HELD_FOR)


def test_a_hold_shortens_nothing() -> None:
    assert plan_lock(NOW, 365 * DAY, NOW, held=True) == plan_lock(NOW, 365 * DAY, NOW)


def test_the_newest_stays_locked_where_none_follows() -> None:
    assert plan_lock(NOW, 7 * DAY, NOW, newest=True) == plan_lock(NOW, 7 * DAY, NOW)
    old = plan_lock(NOW - 30 * DAY, 7 * DAY, NOW, newest=True)
    assert (old.least, old.until) == (NOW + DAY, NOW + 8 * DAY)


def test_the_lock_of_an_old_one_is_over() -> None:
    assert plan_lock(NOW - 30 * DAY, 7 * DAY, NOW).until < NOW
