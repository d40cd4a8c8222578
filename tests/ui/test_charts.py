"""Charts have round scales, each value in its place, and a text alternative."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backups_portal.ui.charts import MAX_POINTS, MAX_STEPS, Chart, bars, scale_to, trend, written

KIB = 1024
BEGIN = datetime(2024, 11, 1, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def drawn(*amounts: int) -> Chart:
    chart = trend(
        [(BEGIN + place * DAY, amount) for place, amount in enumerate(amounts)], unit="rows"
    )
    assert chart is not None
    return chart


@pytest.mark.parametrize(
    ("highest", "unit", "scale"),
    [
        (1, "rows", ["1", "0"]),
        (7, "rows", ["8", "6", "4", "2", "0"]),
        (12_270, "rows", ["15,000", "10,000", "5,000", "0"]),
        (3, "bytes", ["3 bytes", "2 bytes", "1 byte", "0"]),
        (1024, "bytes", ["1 KiB", "0.5 KiB", "0"]),
        (300 * KIB, "bytes", ["300 KiB", "200 KiB", "100 KiB", "0"]),
        (KIB**2 - 1, "bytes", ["1,500 KiB", "1,000 KiB", "500 KiB", "0"]),
        (17 * KIB**2 // 10, "bytes", ["2 MiB", "1.5 MiB", "1 MiB", "0.5 MiB", "0"]),
        (Decimal("48.96"), "USD", ["60 USD", "40 USD", "20 USD", "0"]),
        (Decimal("0.01"), "USD", ["0.01 USD", "0"]),
    ],
)
def test_a_scale_is_round(highest: int | Decimal, unit: str, scale: list[str]) -> None:
    assert [plain(amount) for amount in scale_to(highest, unit)[1]] == scale


@given(st.integers(1, 10**15), st.sampled_from(["rows", "bytes", "USD"]))
def test_nothing_leaves_its_scale(highest: int, unit: str) -> None:
    top, scale = scale_to(highest, unit)
    assert top >= highest * (1 - 1e-9)
    assert len(set(scale)) == len(scale)
    assert 2 <= len(scale) <= MAX_STEPS + 1


def test_a_line_goes_from_its_first_day_to_its_last() -> None:
    chart = drawn(1000, 2000, 4000)
    assert chart.line == "0.00,75.00 50.00,50.00 100.00,0.00"
    assert chart.area == f"0,100 {chart.line} 100,100"
    assert chart.axis == ["1 Nov 2024", "2 Nov 2024", "3 Nov 2024"]
    assert chart.summary == "from 1,000 to 4,000, at most 4,000"
    assert [value.label for value in chart.values] == [
        "1 Nov 2024: 1,000",
        "2 Nov 2024: 2,000",
        "3 Nov 2024: 4,000",
    ]


def test_whoever_points_anywhere_finds_the_nearest_value() -> None:
    values = drawn(*range(1, 6)).values
    assert values[0].left == 0
    for value, following in pairwise(values):
        assert following.left == pytest.approx(value.left + value.width)
    assert values[-1].left + values[-1].width == pytest.approx(100)


def test_a_long_line_keeps_its_ends() -> None:
    chart = drawn(*range(1, 1000))
    assert len(chart.values) == MAX_POINTS
    assert chart.values[-1].label.endswith(": 999")


@pytest.mark.parametrize(
    "amounts", [[], [(BEGIN, 5)], [(BEGIN, 5)] * 2, [(BEGIN, 0), (BEGIN + DAY, 0)]]
)
def test_there_is_no_line_without_two_moments_and_an_amount(
    amounts: list[tuple[datetime, int]],
) -> None:
    assert trend(amounts, unit="bytes") is None


def test_every_amount_has_a_bar_to_be_seen() -> None:
    chart = bars(
        [(date(2024, 1, 1), Decimal(1000)), (date(2024, 2, 1), Decimal("0.01"))], unit="USD"
    )
    assert chart is not None
    assert [value.mark for value in chart.values] == ["Jan", "Feb"]
    assert [value.y for value in chart.values] == [0, 98]
    # A young project's chart leaves room for the months to come.
    assert chart.values[-1].left + chart.values[-1].width < 50
    assert bars([(date(2024, 1, 1), Decimal(0))], unit="USD") is None


def test_an_amount_is_written_in_its_unit() -> None:
    assert plain(written(2048, "bytes")) == "2.0 KiB"
    assert written(2048, "rows") == "2,048"
    assert plain(written(Decimal("2.5"), "EUR")) == "2.50 EUR"
