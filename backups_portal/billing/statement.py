"""A project's charges as its owner reads them."""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal

from backups_portal.billing import prices
from backups_portal.billing.models import Charge


@dataclass(frozen=True)
class Line:
    """A charge and what it comes to."""

    charge: Charge
    amount: Decimal


@dataclass(frozen=True)
class Total:
    """A sum in one currency; `month` is the first day of the month, None for all of time."""

    currency: str
    amount: Decimal
    month: date | None = None


@dataclass(frozen=True)
class Statement:
    """Everything that a project has cost until a moment; `running` is what counts now."""

    lines: Sequence[Line]
    months: Sequence[Total]
    totals: Sequence[Total]
    this_month: Sequence[Total]
    projected: Sequence[Total]
    running: Charge | None = None


def parts_of(charge: Charge, now: datetime) -> list[tuple[date, Decimal]]:
    """What a charge comes to in each calendar month (UTC), by the month's first day."""
    if charge.kind == Charge.Kind.CREATION:
        first_day = charge.starts_at.astimezone(UTC).date().replace(day=1)
        return [(first_day, prices.cents(charge.unit_price))]
    return list(prices.by_month(charge.unit_price, charge.starts_at, charge.ends_at, now))


def _running(charges: Iterable[Charge]) -> Charge | None:
    """The one that counts; a constraint lets a project have one at most."""
    running = (c for c in charges if c.kind == Charge.Kind.RUNNING and c.ends_at is None)
    return next(running, None)


def _projected(running: Charge | None) -> list[Total]:
    if running is None:
        return []
    return [Total(running.currency, prices.projected_month(running.unit_price))]


def statement(project_id: uuid.UUID, now: datetime) -> Statement:
    """The statement of a project, newest lines and months first. One query."""
    charges = list(Charge.objects.filter(project_id=project_id))
    by_month: dict[tuple[date, str], Decimal] = defaultdict(Decimal)
    by_currency: dict[str, Decimal] = defaultdict(Decimal)
    lines = []
    for charge in charges:
        parts = parts_of(charge, now)
        lines.append(Line(charge, sum((part for _, part in parts), Decimal("0.00"))))
        for month, part in parts:
            by_month[month, charge.currency] += part
            by_currency[charge.currency] += part
    months = [
        Total(currency, total, month)
        for (month, currency), total in sorted(by_month.items(), reverse=True)
    ]
    first_day = now.astimezone(UTC).date().replace(day=1)
    running = _running(charges)
    return Statement(
        lines=lines,
        months=months,
        totals=[Total(currency, total) for currency, total in sorted(by_currency.items())],
        this_month=[total for total in months if total.month == first_day],
        projected=_projected(running),
        running=running,
    )
