"""A chart of any numbers has round lines around them, and each value in its place."""

from datetime import UTC, datetime, timedelta

import pytest

from backups_portal.ui.charts import MAX_POINTS
from backups_portal.ui.measurement_chart import Measured, amount, measurements

BEGIN = datetime(2024, 11, 1, tzinfo=UTC)
END = BEGIN + timedelta(hours=10)


def hourly(*values: float) -> Measured:
    return [(BEGIN + timedelta(hours=hour), value) for hour, value in enumerate(values)]


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ((-3, 4.5), ["6", "4", "2", "0", "-2", "-4"]),
        ((20.1, 20.4), ["20.4", "20.3", "20.2", "20.1"]),
        ((7,), ["12", "10", "8", "6", "4", "2"]),
        ((0, 0), ["1.0", "0.5", "0.0", "-0.5", "-1.0"]),
        (
            (1e9, 3e9),
            ["3,000,000,000", "2,500,000,000", "2,000,000,000", "1,500,000,000", "1,000,000,000"],
        ),
    ],
)
def test_a_scale_is_round_and_holds_all(values: tuple[float, ...], scale: list[str]) -> None:
    drawn = measurements(hourly(*values), since=BEGIN, until=END)
    assert drawn is not None
    assert list(drawn.scale) == scale


def test_both_lines_share_scale_and_period() -> None:
    drawn = measurements(hourly(0, 10), since=BEGIN, until=END, others=[(END, 20)], unit="C")
    assert drawn is not None
    assert drawn.line == "0.00,100.00 10.00,50.00"
    assert drawn.other_line == "100.00,0.00"
    assert drawn.summary == "from 0\N{NO-BREAK SPACE}C to 10\N{NO-BREAK SPACE}C"
    assert drawn.axis == ["1 Nov 2024, 00:00", "1 Nov 2024, 05:00", "1 Nov 2024, 10:00"]
    assert not drawn.is_from_zero


def test_whoever_points_at_a_column_is_told_its_extremes() -> None:
    minutes = [(BEGIN + timedelta(seconds=step), float(step % 5)) for step in range(36_000)]
    drawn = measurements(minutes, since=BEGIN, until=END)
    assert drawn is not None
    assert len(drawn.values) == MAX_POINTS
    assert drawn.values[1].label == "1 Nov 2024, 00:05: 0 to 4"
    assert drawn.values[-1].left + drawn.values[-1].width == pytest.approx(100)


def test_nothing_is_no_chart() -> None:
    assert measurements([], since=BEGIN, until=END) is None
    alone = measurements([], since=BEGIN, until=END, others=hourly(1, 2))
    assert alone is not None
    assert (alone.line, list(alone.values)) == ("", [])


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.1 + 0.2, "0.3"), (1234567.8, "1,234,568"), (-20, "-20"), (1e-7, "1e-07"), (1e20, "1e+20")],
)
def test_an_amount(value: float, text: str) -> None:
    assert amount(value) == text
