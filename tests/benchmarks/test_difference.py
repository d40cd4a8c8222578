"""The benchmark of comparing measures what it says, at a small size."""

from tests.benchmarks.difference import measure


def test_each_case_differs_as_it_says() -> None:
    result = measure(rows=10_000, devices=50, days=20)
    assert result["the newest day"]["days"] == 1
    assert result["the newest day"]["devices"] == 50
    assert result["every hundredth cell"]["days"] == 10
    assert result["everything"]["days"] == 20
