"""Statements of projects' charges for their owners."""

import uuid
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from backups_portal.billing import prices
from backups_portal.billing.models import Charge
from backups_portal.lib.currencies import rounded


@dataclass(frozen=True)
class Line:
    """A charge and its amount."""

    charge: Charge
    amount: Decimal


@dataclass(frozen=True)
class Total:
    """A sum in one currency; `month` is the month's first day, or None for all time."""

    currency: str
    amount: Decimal
    month: date | None = None


@dataclass(frozen=True)
class Statement:
    """All charges of projects until a moment.

    Attributes:
        running: A current running charge; a single project has at most one.
    """

    lines: Sequence[Line]
    months: Sequence[Total]
    totals: Sequence[Total]
    this_month: Sequence[Total]
    projected: Sequence[Total]
    running: Charge | None = None


def parts_of(charge: Charge, now: datetime) -> list[tuple[date, Decimal]]:
    """Split a charge into calendar months (UTC), given by their first days."""
    if charge.kind == Charge.Kind.CREATION:
        first_day = charge.starts_at.astimezone(UTC).date().replace(day=1)
        return [(first_day, rounded(charge.unit_price, charge.currency))]
    price, currency = charge.unit_price, charge.currency
    return list(prices.by_month(price, currency, charge.starts_at, charge.ends_at, now))


def _projected(running: Iterable[Charge]) -> list[Total]:
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for charge in running:
        sums[charge.currency] += prices.projected_month(charge.unit_price, charge.currency)
    return [Total(currency, amount) for currency, amount in sorted(sums.items())]


def statement(project_id: uuid.UUID, now: datetime) -> Statement:
    """Return a project's statement, newest lines and months first."""
    return joint_statement([project_id], now)


def joint_statement(project_ids: Iterable[uuid.UUID], now: datetime) -> Statement:
    """Return one statement for several projects, in one query."""
    charges = list(Charge.objects.filter(project_id__in=list(project_ids)))
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
    # A constraint allows one per project.
    running = [c for c in charges if c.kind == Charge.Kind.RUNNING and c.ends_at is None]
    return Statement(
        lines=lines,
        months=months,
        totals=[Total(currency, total) for currency, total in sorted(by_currency.items())],
        this_month=[total for total in months if total.month == first_day],
        projected=_projected(running),
        running=running[0] if running else None,
    )


def this_month_by_project(lines: Iterable[Line], now: datetime) -> dict[uuid.UUID, list[Total]]:
    """Add up this calendar month (UTC) for each project of a statement."""
    first_day = now.astimezone(UTC).date().replace(day=1)
    sums: dict[tuple[uuid.UUID, str], Decimal] = defaultdict(Decimal)
    for charge in (line.charge for line in lines):
        for month, part in parts_of(charge, now):
            if month == first_day:
                sums[charge.project_id, charge.currency] += part
    found: dict[uuid.UUID, list[Total]] = defaultdict(list)
    for (project, currency), amount in sorted(sums.items()):
        found[project].append(Total(currency, amount, first_day))
    return found


def cost_between(project_id: uuid.UUID, since: datetime, until: datetime) -> list[Total]:
    """Return a project's cost between two times, by currency, in one query."""
    sums: dict[str, Decimal] = defaultdict(Decimal)
    for charge in Charge.objects.filter(project_id=project_id, starts_at__lt=until):
        if charge.kind == Charge.Kind.RUNNING:
            length = min(charge.ends_at or until, until) - max(charge.starts_at, since)
            if length > timedelta():
                cost = prices.running_cost(charge.unit_price, charge.currency, length)
                sums[charge.currency] += cost
        elif charge.starts_at >= since:
            sums[charge.currency] += rounded(charge.unit_price, charge.currency)
    return [Total(currency, amount) for currency, amount in sorted(sums.items())]
