"""Prices."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backups_portal.billing.prices import Quote, by_month
from backups_portal.lib.currencies import rounded

FEE = Decimal("0.068")
START = datetime(2026, 1, 15, tzinfo=UTC)


def amount(fee: Decimal, start: datetime, end: datetime | None, now: datetime) -> Decimal:
    """Compute an instance's cost over all its months."""
    return sum((part for _, part in by_month(fee, "USD", start, end, now)), Decimal("0.00"))


def test_quote_projects_730_hours() -> None:
    assert Quote(Decimal(25), FEE, "USD").projected_month == Decimal("49.64")


def test_running_costs_its_share_of_an_hour() -> None:
    assert amount(Decimal(1), START, None, START + timedelta(minutes=45)) == Decimal("0.75")


def test_ended_charge_stops_counting() -> None:
    end = START + timedelta(hours=10)
    assert amount(FEE, START, end, end + timedelta(days=400)) == Decimal("0.68")


def test_nothing_is_owed_before_the_start() -> None:
    assert amount(FEE, START, None, START - timedelta(hours=1)) == Decimal("0.00")


def test_months_begin_in_utc() -> None:
    start = datetime(2026, 12, 31, 23, tzinfo=UTC)
    months = list(by_month(Decimal(1), "USD", start, None, start + timedelta(hours=3)))
    assert months == [(date(2026, 12, 1), Decimal("1.00")), (date(2027, 1, 1), Decimal("2.00"))]


@pytest.mark.parametrize(
    ("currency", "expected"),
    [("USD", "0.50"), ("JPY", "1"), ("KWD", "0.500"), ("CLF", "0.5000"), ("XXX", "0.50")],
)
def test_amounts_have_the_digits_of_their_currency(currency: str, expected: str) -> None:
    later = START + timedelta(minutes=30)
    ((_, found),) = by_month(Decimal(1), currency, START, None, later)
    assert str(found) == expected
    assert Quote(Decimal(25), Decimal("0.0683"), currency).projected_month == rounded(
        Decimal("49.859"), currency
    )


@given(
    fee=st.decimals(0, 1000, places=4),
    hours=st.floats(0, 3 * 8760),
    start=st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),
)
def test_months_add_up_to_the_amount(fee: Decimal, hours: float, start: datetime) -> None:
    now = start + timedelta(hours=hours)
    months = list(by_month(fee, "USD", start, None, now))
    total = amount(fee, start, None, now)
    exact = fee * Decimal(str((now - start).total_seconds())) / 3600
    assert abs(total - exact) <= Decimal("0.005") * max(1, len(months))
    assert [month for month, _ in months] == sorted({month for month, _ in months})
