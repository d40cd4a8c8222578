"""Charges as a chart and as CSV."""

import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from operator import attrgetter

from backups_portal.billing.models import Charge
from backups_portal.billing.statement import Total, parts_of
from backups_portal.ui.charts import Chart, bars
from backups_portal.ui.csv_escaping import csv_line

MONTHS = 12
HEADERS = ("month", "project", "charge", "reason", "unit_price", "amount", "currency")


def months_chart(months: Sequence[Total]) -> Chart | None:
    """Draw the newest months; None without months or if currencies differ.

    Args:
        months: Newest first, as in a statement.
    """
    shown = list(reversed(months[:MONTHS]))
    currencies = {total.currency for total in shown}
    if len(currencies) != 1:
        return None
    return bars(
        [(total.month, total.amount) for total in shown if total.month], unit=currencies.pop()
    )


def as_csv(
    project_ids: Iterable[uuid.UUID],
    now: datetime,
    *,
    reason_of: Callable[[Charge], str] = attrgetter("reason"),
) -> str:
    """Write a line for each charge and calendar month (UTC), oldest first."""
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
                reason_of(charge),
                charge.unit_price,
                amount,
                charge.currency,
            )
        )
        for month, charge, amount in sorted(parts, key=lambda part: part[0])
    ]
    return "".join([csv_line(HEADERS), *lines])
