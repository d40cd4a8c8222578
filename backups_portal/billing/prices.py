"""Compute prices, without settings, database or clock."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal

CENT = Decimal("0.01")
# The hours of an average month (365 * 24 / 12), as cloud price lists count them.
HOURS_PER_MONTH = 730
SECONDS_PER_HOUR = 3600


def cents(amount: Decimal) -> Decimal:
    """Round an amount to cents, halves up."""
    return amount.quantize(CENT, ROUND_HALF_UP)


def projected_month(fee_per_hour: Decimal) -> Decimal:
    """Return what an instance costs that runs for an average month."""
    return cents(fee_per_hour * HOURS_PER_MONTH)


@dataclass(frozen=True)
class Quote:
    """The price of a new project, as an owner accepts it."""

    creation_fee: Decimal
    running_fee_per_hour: Decimal
    currency: str

    @property
    def projected_month(self) -> Decimal:
        """Return what an instance costs that runs for an average month."""
        return projected_month(self.running_fee_per_hour)


def _next_month(moment: datetime) -> datetime:
    years, month = divmod(moment.month, 12)
    return datetime(moment.year + years, month + 1, 1, tzinfo=UTC)


def by_month(
    unit_price: Decimal, starts_at: datetime, ends_at: datetime | None, now: datetime
) -> Iterator[tuple[date, Decimal]]:
    """Split a running cost into calendar months (UTC), up to now.

    Args:
        unit_price: for one hour; a part of an hour costs its share, by the second.

    Yields:
        The first day of a month, and its amount in cents.
    """
    end = min(ends_at or now, now).astimezone(UTC)
    start = starts_at.astimezone(UTC)
    while start < end:
        stop = min(_next_month(start), end)
        yield start.date().replace(day=1), running_cost(unit_price, stop - start)
        start = stop


def running_cost(unit_price: Decimal, length: timedelta) -> Decimal:
    """Return what a time of running costs, in cents.

    Args:
        unit_price: for one hour; a part of an hour costs its share, by the second.
    """
    seconds = Decimal(str(length.total_seconds()))
    return cents(unit_price * seconds / SECONDS_PER_HOUR)
