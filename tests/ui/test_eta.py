"""An estimate appears only if enough is known."""

from datetime import timedelta

import pytest

from backups_portal.ui.eta import pace, remaining

SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("done", "total", "seconds", "left"),
    [
        (50, 100, 10, 10),
        (10, 100, 10, 90),
        (99, 100, 99, 1),
        (2, 100, 3, 147),
    ],
)
def test_the_rest_takes_as_long_as_the_rate_so_far_says(
    done: int, total: int, seconds: int, left: int
) -> None:
    assert remaining(done, total, seconds * SECOND) == left * SECOND


@pytest.mark.parametrize(
    ("done", "total", "elapsed"),
    [
        (50, None, 10 * SECOND),
        (50, 0, 10 * SECOND),
        (50, 100, None),
        (50, 100, 2.9 * SECOND),
        (1, 100, 10 * SECOND),
        (0, 100, 10 * SECOND),
        (100, 100, 10 * SECOND),
        (120, 100, 10 * SECOND),
    ],
)
def test_none_before_enough_is_known_and_none_at_the_end(
    done: int, total: int | None, elapsed: timedelta | None
) -> None:
    assert remaining(done, total, elapsed) is None


@pytest.mark.parametrize(
    ("done", "elapsed", "rate"),
    [
        (5000, 10 * SECOND, 500),
        (1, 100 * SECOND, 1),
        (0, 10 * SECOND, None),
        (50, 2.9 * SECOND, None),
        (50, None, None),
    ],
)
def test_rate_is_told_once_there_is_one(
    done: int, elapsed: timedelta | None, rate: int | None
) -> None:
    assert pace(done, None, elapsed).per_second == rate
    assert pace(done, None, elapsed).left is None
