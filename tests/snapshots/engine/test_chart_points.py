"""A line of many values keeps its peaks, whether or not it was read in parts."""

import numpy as np
import pytest

from snapshots.engine.chart_points import Points, join, thin_out

SINCE, UNTIL, COLUMNS = 1_000, 101_000, 50


def shuffled(seed: int, count: int) -> Points:
    """Return values at random moments inside and around the period, unsorted."""
    random = np.random.default_rng(seed)
    return Points(random.integers(0, 110_000, count), random.standard_normal(count))


def thinned(points: Points) -> Points:
    return thin_out(points, since=SINCE, until=UNTIL, columns=COLUMNS)


def test_a_single_peak_stays() -> None:
    points = Points(np.arange(100_000), np.zeros(100_000))
    points.values[54_321] = 9.5
    points.values[54_399] = -3.0
    kept = thinned(points)
    assert len(kept.times) <= 4 * COLUMNS
    assert (54_321, 9.5) in list(zip(*kept, strict=True))
    assert (54_399, -3.0) in list(zip(*kept, strict=True))


@pytest.mark.parametrize("seed", range(5))
def test_each_column_keeps_its_extremes_and_its_ends(seed: int) -> None:
    points = shuffled(seed, 5_000)
    kept = thinned(points)
    inside = (points.times >= SINCE) & (points.times < UNTIL)
    width = (UNTIL - SINCE) / COLUMNS
    assert (np.diff(kept.times) >= 0).all()
    for column in range(COLUMNS):
        of_all = inside & ((points.times - SINCE) // width == column)
        of_kept = (kept.times - SINCE) // width == column
        assert kept.values[of_kept].max() == points.values[of_all].max()
        assert kept.values[of_kept].min() == points.values[of_all].min()
        assert kept.times[of_kept][0] == points.times[of_all].min()
        assert kept.times[of_kept][-1] == points.times[of_all].max()


@pytest.mark.parametrize("seed", range(5))
def test_parts_give_what_the_whole_gives(seed: int) -> None:
    points = shuffled(seed, 3_000)
    points = Points(np.unique(points.times), points.values[: len(np.unique(points.times))])
    parts = [Points(points.times[at::7], points.values[at::7]) for at in range(7)]
    joined = thinned(join([thinned(part) for part in parts]))
    for found, whole in zip(joined, thinned(points), strict=True):
        assert found.tolist() == whole.tolist()


def test_what_is_no_number_goes() -> None:
    kept = thinned(Points(np.array([2_000, 3_000, 4_000]), np.array([np.nan, np.inf, 1.0])))
    assert kept.times.tolist() == [4_000]
    assert thinned(join([])).times.tolist() == []
