"""The verdicts of the benchmark of the projects' API."""

from tests.benchmarks import apigoals as names
from tests.benchmarks.goals import judge
from tests.benchmarks.samples import Samples


def judged(**medians: float) -> dict[str, tuple[float | None, bool | None, bool | None]]:
    samples = Samples()
    for name, value in medians.items():
        samples.add(getattr(names, name), value)
    return {
        line.goal.name: (line.value, line.reached_must, line.reached_aim)
        for line in judge(samples, names.API_GOALS)
    }


def test_sending_is_judged_by_rows_a_second() -> None:
    (verdict,) = judged(COPY=1.0, SEND=2.0).values()
    assert verdict == (0.5, True, False)


def test_the_last_value_is_judged_beside_a_query_and_an_empty_request() -> None:
    (verdict,) = judged(EMPTY=1.0, BARE_LAST=1.0, LAST=8.0).values()
    assert verdict == (4.0, False, None)


def test_one_more_query_for_more_devices_is_one_too_many() -> None:
    assert judged(FEW_QUERIES=3, MANY_QUERIES=3) == {
        "devices list: more queries for 10,000 devices": (0, True, None)
    }
    (verdict,) = judged(FEW_QUERIES=3, MANY_QUERIES=4).values()
    assert verdict == (1, False, None)
