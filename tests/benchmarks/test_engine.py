"""The options and the verdicts of the benchmark of the engine."""

import pytest

from tests.benchmarks.engine import parse
from tests.benchmarks.goals import judge
from tests.benchmarks.harness import count
from tests.benchmarks.samples import Samples


@pytest.mark.parametrize(
    ("text", "rows"), [("200000", 200_000), ("200k", 200_000), ("5M", 5 * 10**6)]
)
def test_rows_may_be_abbreviated(text: str, rows: int) -> None:
    assert count(text) == rows


def test_an_unknown_measurement_is_refused() -> None:
    with pytest.raises(SystemExit):
        parse(["--only", "everything"])


def test_a_goal_is_judged_by_medians() -> None:
    samples = Samples()
    for engine, peer in ((1.0, 3.0), (9.0, 3.0), (1.0, 3.0)):
        samples.add("full snapshot s", engine)
        samples.add("pg_dump -Fc s", peer)
    (line,) = judge(samples)
    assert (line.value, line.reached_must, line.reached_aim) == (3.0, True, False)


def test_what_was_not_measured_is_not_judged() -> None:
    assert judge(Samples()) == []
