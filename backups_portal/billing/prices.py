"""Price calculations, without settings, database or clock."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from backups_portal.lib.currencies import rounded

# The hours of an average month (365 * 24 / 12), as cloud price lists count them.
HOURS_PER_MONTH = 730
SECONDS_PER_HOUR = 3600


def projected_month(fee_per_hour: Decimal, currency: str) -> Decimal:
    """Return the cost of running an instance for an average month."""
    return rounded(fee_per_hour * HOURS_PER_MONTH, currency)


@dataclass(frozen=True)
class Quote:
    """The price of a new project, which an owner accepts."""

    creation_fee: Decimal
    running_fee_per_hour: Decimal
    currency: str

    @property
    def terms(self) -> str:
        """Return the prices as text; a form submits it to reveal a change."""
        fees = (self.creation_fee, self.running_fee_per_hour)
        return " ".join([*(f"{fee.normalize():f}" for fee in fees), self.currency])

    @property
    def projected_month(self) -> Decimal:
        """Return the cost of running an instance for an average month."""
        return projected_month(self.running_fee_per_hour, self.currency)


def _next_month(moment: datetime) -> datetime:
    years, month = divmod(moment.month, 12)
    return datetime(moment.year + years, month + 1, 1, tzinfo=UTC)


def by_month(
    unit_price: Decimal,
    currency: str,
    starts_at: datetime,
    ends_at: datetime | None,
    now: datetime,
) -> Iterator[tuple[date, Decimal]]:
    """Split a running cost into calendar months (UTC), up to now.

    Args:
        unit_price: per hour; part of an hour is charged by the second.

    Yields:
        The first day of a month, and its amount, rounded.
    """
    end = min(ends_at or now, now).astimezone(UTC)
    start = starts_at.astimezone(UTC)
    while start < end:
        stop = min(_next_month(start), end)
        yield start.date().replace(day=1), running_cost(unit_price, currency, stop - start)
        start = stop


def running_cost(unit_price: Decimal, currency: str, length: timedelta) -> Decimal:
    """Return the cost of running for some time, rounded.

    Args:
        unit_price: per hour; part of an hour is charged by the second.
    """
    seconds = Decimal(str(length.total_seconds()))
    return rounded(unit_price * seconds / SECONDS_PER_HOUR, currency)
