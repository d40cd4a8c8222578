"""The charges of projects as a chart and as CSV."""

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from backups_portal.billing.models import Charge
from backups_portal.billing.statement import Total, parts_of
from backups_portal.ui.spreadsheets import csv_line

MONTHS = 12
HEADERS = ("month", "project", "charge", "reason", "unit_price", "amount", "currency")
# The drawing's units: each month has a place of this width, the highest bar this height.
PLACE, BAR, HEIGHT = 50, 28, 120
# A young project's first bars stand on a line that has room for the months to come.
LEAST_PLACES = 6


@dataclass(frozen=True)
class Bar:
    """A month in the chart: where its bar is drawn."""

    total: Total
    x: int
    y: int
    width: int
    height: int
    middle: int


@dataclass(frozen=True)
class Chart:
    """The last months, oldest first, in one currency."""

    bars: Sequence[Bar]
    width: int
    height: int = HEIGHT


def chart(months: Sequence[Total]) -> Chart | None:
    """The chart of the newest months; None where there is none, or amounts do not compare.

    Args:
        months: Newest first, as a statement has them.
    """
    shown = list(reversed(months[:MONTHS]))
    if len({total.currency for total in shown}) != 1:
        return None
    highest = max(total.amount for total in shown)
    if not highest:
        return None
    bars = []
    for place, total in enumerate(shown):
        # Whatever costs something is seen.
        height = max(round(HEIGHT * total.amount / highest), 2)
        x = place * PLACE + (PLACE - BAR) // 2
        bars.append(Bar(total, x, HEIGHT - height, BAR, height, place * PLACE + PLACE // 2))
    return Chart(bars, PLACE * max(len(bars), LEAST_PLACES))


def as_csv(project_ids: Iterable[uuid.UUID], now: datetime) -> str:
    """A line for each charge of some projects and calendar month (UTC) until now, oldest first."""
    charges = Charge.objects.filter(project_id__in=project_ids).order_by("starts_at", "kind")
    parts = [
        (f"{month:%Y-%m}", charge, amount)
        for charge in charges
        for month, amount in parts_of(charge, now)
    ]
    lines = [
        csv_line(
            (
                month,
                charge.project_name,
                charge.get_kind_display(),
                charge.reason,
                charge.unit_price,
                amount,
                charge.currency,
            )
        )
        for month, charge, amount in sorted(parts, key=lambda part: part[0])
    ]
    return "".join([csv_line(HEADERS), *lines])
