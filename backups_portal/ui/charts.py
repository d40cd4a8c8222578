"""Charts drawn by the server: the position of each value, in percent, and its label.

The drawing scales without its text, so labels keep the page's text size at any width.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import pairwise
from math import ceil, floor, log

from backups_portal.lib.currencies import digits_of
from backups_portal.ui import formats, moments
from backups_portal.ui.viewer_time_zone import viewers_zone

# More points could not be told apart on a screen.
MAX_POINTS = 120
# A scale has at most this many steps, of 1, 2 or 5 times a power of ten.
MAX_STEPS = 4
STEPS = (1, 2, 5, 10)
# The share of its place that a bar fills.
BAR_SHARE = 0.56
# The least height of a bar, in percent: every amount above zero must be visible.
MIN_BAR = 2.0
# With fewer bars, leave room on the right for those to come.
MIN_PLACES = 6
# Units that are not currencies.
COUNTED = ("bytes", "rows")

Amount = int | Decimal


@dataclass(frozen=True)
class Value:
    """A chart value and the x-range that shows its tooltip.

    Attributes:
        label: The text of the tooltip.
        x: Its centre, in percent of the width.
        y: Its top, in percent of the height.
        left: The start of the x-range, in percent of the width.
        width: The width of the x-range, in percent.
        mark: The text below it; empty if the chart has an axis.
    """

    label: str
    x: float
    y: float
    left: float
    width: float
    mark: str = ""


@dataclass(frozen=True)
class Chart:
    """Values over time, between the lowest and the highest line of a scale.

    Attributes:
        scale: Amounts at equally spaced lines, the highest first.
        axis: Days at equal distances, the earliest first; empty if values have marks.
        summary: The chart in words.
        last: The newest amount.
        line: Points of a line through the values, in SVG's syntax; empty for bars.
        other_line: Points of a second line, in another colour; empty if unused.
        is_from_zero: Whether the area below the line is filled.
    """

    values: Sequence[Value]
    scale: Sequence[str]
    axis: Sequence[str]
    summary: str
    last: str
    line: str = ""
    bar: float = 0
    other_line: str = ""
    is_from_zero: bool = True

    @property
    def area(self) -> str:
        """Return the line closed by the bottom corners."""
        return f"0,100 {self.line} 100,100"


def trend(
    amounts: Sequence[tuple[datetime, int]], *, unit: str, zone: str | None = None
) -> Chart | None:
    """Draw a line through amounts.

    Args:
        amounts: Times and the amounts then, oldest first.
        unit: "bytes" or "rows".
        zone: The time zone of days while the viewer's is unknown.

    Returns:
        None for fewer than two distinct times, or if every amount is zero.
    """
    if len(amounts) < 2 or amounts[0][0] == amounts[-1][0]:
        return None
    highest = max(amount for _, amount in amounts)
    if highest <= 0:
        return None
    begin, end = amounts[0][0], amounts[-1][0]
    top, scale = scale_to(highest, unit)
    shown = _thinned(amounts)
    places = [100 * ((at - begin) / (end - begin)) for at, _ in shown]
    heights = [100 * (1 - amount / top) for _, amount in shown]
    labels = [f"{_day(at, zone)}: {written(amount, unit)}" for at, amount in shown]
    first, last = (written(amounts[place][1], unit) for place in (0, -1))
    return Chart(
        values=side_by_side(labels, places, heights),
        scale=scale,
        axis=[_day(at, zone) for at in (begin, begin + (end - begin) / 2, end)],
        summary=f"from {first} to {last}, at most {written(highest, unit)}",
        last=last,
        line=" ".join(f"{x:.2f},{y:.2f}" for x, y in zip(places, heights, strict=True)),
    )


def bars(amounts: Sequence[tuple[date, Decimal]], *, unit: str) -> Chart | None:
    """Draw a bar for the amount of each month.

    Args:
        amounts: First days of months, oldest first.
        unit: A currency.

    Returns:
        None if every amount is zero.
    """
    highest = max((amount for _, amount in amounts), default=Decimal(0))
    if highest <= 0:
        return None
    top, scale = scale_to(highest, unit)
    place = 100 / max(len(amounts), MIN_PLACES)
    texts = [(f"{month:%B %Y}", written(amount, unit)) for month, amount in amounts]
    values = [
        Value(
            label=f"{name}: {text}",
            x=round((number + 0.5) * place, 2),
            y=round(100 - max(100 * float(amount) / top, MIN_BAR if amount else 0), 2),
            left=round(number * place, 2),
            width=round(place, 2),
            mark=f"{month:%b}",
        )
        for number, ((name, text), (month, amount)) in enumerate(zip(texts, amounts, strict=True))
    ]
    return Chart(
        values=values,
        scale=scale,
        axis=[],
        summary=", ".join(f"{name} {text}" for name, text in texts),
        last=texts[-1][1],
        bar=round(place * BAR_SHARE, 2),
    )


def scale_to(highest: Amount, unit: str) -> tuple[float, list[str]]:
    """Return a round amount of at least `highest`, and its scale down to zero."""
    whole, write = _whole(float(highest), unit)
    # Rows and cents are not divided; sizes have one decimal place.
    least = 10.0 ** -digits_of(unit) if unit not in COUNTED else 0.1 if whole > 1 else 1.0
    step = max(round_step(float(highest) / whole), least)
    count = max(ceil(float(highest) / whole / step - 1e-9), 1)
    lines = [write(step * number) for number in range(count, 0, -1)]
    return step * count * whole, [*lines, "0"]


def written(amount: Amount, unit: str) -> str:
    """Write an amount in bytes, in rows, or in a currency."""
    writers: dict[str, Callable[[int], str]] = {
        "bytes": formats.data_size,
        "rows": lambda rows: f"{rows:,}",
    }
    if writer := writers.get(unit):
        return writer(int(amount))
    return formats.money(Decimal(amount), unit)


def _whole(highest: float, unit: str) -> tuple[float, Callable[[float], str]]:
    """Return a scale's unit as a factor, and a function to write amounts."""
    if unit == "rows":
        return 1, lambda amount: f"{amount:,.0f}"
    power = int(log(highest, formats.KIBI) + 1e-9) if unit == "bytes" else 0
    if power == 0:
        # A scale's amounts are round, so `_short` drops their zero decimals.
        return 1, lambda amount: _short(written(Decimal(str(amount)), unit))
    power = min(power, len(formats.SIZE_UNITS))
    name = formats.SIZE_UNITS[power - 1]
    return formats.KIBI**power, lambda amount: f"{amount:,.4g}{formats.NO_BREAK}{name}"


def _short(amount: str) -> str:
    return re.sub(rf"\.0+{formats.NO_BREAK}", formats.NO_BREAK, amount)


def round_step(highest: float) -> float:
    """Return the distance between the lines of a scale."""
    raw = highest / MAX_STEPS
    power = 10.0 ** floor(log(raw, 10) + 1e-9)
    return next(factor * power for factor in STEPS if factor * power >= raw - 1e-9 * power)


def side_by_side(
    labels: Sequence[str], places: Sequence[float], heights: Sequence[float]
) -> list[Value]:
    """Give each value the x-range that is nearer to it than to its neighbours."""
    if not labels:
        return []
    edges = [0.0, *((a + b) / 2 for a, b in pairwise(places)), 100.0]
    return [
        Value(label, round(x, 2), round(y, 2), round(left, 2), round(right - left, 2))
        for label, x, y, (left, right) in zip(labels, places, heights, pairwise(edges), strict=True)
    ]


def _thinned(amounts: Sequence[tuple[datetime, int]]) -> list[tuple[datetime, int]]:
    """Thin amounts out to MAX_POINTS, keeping the first and the last."""
    if len(amounts) <= MAX_POINTS:
        return list(amounts)
    step = (len(amounts) - 1) / (MAX_POINTS - 1)
    return [amounts[round(place * step)] for place in range(MAX_POINTS)]


def _day(at: datetime, zone: str | None) -> str:
    return moments.day(formats.local(at, viewers_zone() or zone))
