"""A chart of a variable's values over a period, with an optional second line."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from math import ceil, floor

from backups_portal.ui import formats, moments
from backups_portal.ui.charts import MAX_POINTS, Chart, round_step, side_by_side
from backups_portal.ui.viewer_time_zone import viewers_zone

# Up to this period, the axis shows times as well as days.
SHORT = timedelta(days=3)

Measured = Sequence[tuple[datetime, float]]


def measurements(
    points: Measured,
    *,
    since: datetime,
    until: datetime,
    unit: str = "",
    zone: str | None = None,
    others: Measured = (),
) -> Chart | None:
    """Draw a line through measured values, and a second one through others.

    Args:
        points: In order of time; the line gets all of them.
        since, until: The period that the width covers.
        unit: Written after each value.
        zone: The time zone of labels while the viewer's is unknown.
        others: Like `points`; both lines share a scale.

    Returns:
        None if there is nothing to draw.
    """
    if not points and not others:
        return None
    values = [value for _, value in (*points, *others)]
    bottom, step, count = _scale(min(values), max(values))
    height = step * count

    def x(at: datetime) -> float:
        return 100 * ((at - since) / (until - since))

    def y(value: float) -> float:
        return 100 * (1 - (value - bottom) / height)

    def line(measured: Measured) -> str:
        return " ".join(f"{x(at):.2f},{y(value):.2f}" for at, value in measured)

    described = [value for _, value in points] or values
    lowest, highest = (amount(one, unit) for one in (min(described), max(described)))
    digits = _digits(step)
    columns = _columns(points, since, until)
    return Chart(
        values=side_by_side(
            [_column_label(part, unit, zone) for part in columns],
            [x(part[0][0]) for part in columns],
            [y(max(value for _, value in part)) for part in columns],
        ),
        scale=[f"{bottom + step * place:,.{digits}f}" for place in range(count, -1, -1)],
        axis=[
            _label(at, until - since, zone) for at in (since, since + (until - since) / 2, until)
        ],
        summary=f"from {lowest} to {highest}",
        last=amount(described[-1], unit),
        line=line(points),
        other_line=line(others),
        is_from_zero=False,
    )


def amount(value: float, unit: str = "") -> str:
    """Write a measured value with up to six significant digits."""
    text = f"{value:,.6g}" if abs(value) < 1e6 else f"{value:,.0f}"
    if abs(value) >= 1e15:
        text = f"{value:.6g}"
    return f"{text}{formats.NO_BREAK}{unit}" if unit else text


def _scale(lowest: float, highest: float) -> tuple[float, float, int]:
    """Return a scale's start, the distance of its lines and their number."""
    if highest <= lowest:
        # A constant line runs through the middle.
        margin = abs(lowest) / 2 or 1.0
        lowest, highest = lowest - margin, highest + margin
    step = round_step(highest - lowest)
    first = floor(lowest / step + 1e-9)
    count = max(ceil(highest / step - 1e-9) - first, 1)
    return first * step, step, count


def _digits(step: float) -> int:
    return next((digits for digits in range(9) if round(step, digits) == round(step, 9)), 9)


def _columns(points: Measured, since: datetime, until: datetime) -> list[Measured]:
    """Group the values that share a tooltip."""
    width = (until - since) / MAX_POINTS
    columns: dict[int, list[tuple[datetime, float]]] = {}
    for at, value in points:
        columns.setdefault(int((at - since) / width), []).append((at, value))
    return [columns[place] for place in sorted(columns)]


def _column_label(part: Measured, unit: str, zone: str | None) -> str:
    """Write a column's start, and its lowest and highest value."""
    local = formats.local(part[0][0], viewers_zone() or zone)
    lowest, highest = (amount(pick(value for _, value in part)) for pick in (min, max))
    values = highest if lowest == highest else f"{lowest} to {highest}"
    shown = f"{values}{formats.NO_BREAK}{unit}" if unit else values
    return f"{moments.day(local)}, {local:%H:%M}: {shown}"


def _label(at: datetime, length: timedelta, zone: str | None) -> str:
    local = formats.local(at, viewers_zone() or zone)
    return f"{moments.day(local)}, {local:%H:%M}" if length <= SHORT else moments.day(local)
