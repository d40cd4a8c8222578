"""Small drawings of how an amount went over time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

# Units of the drawing, which is stretched to the width of its place.
WIDTH, HEIGHT = 600, 100
# More than a screen tells apart.
MOST_POINTS = 120


@dataclass(frozen=True)
class Trend:
    """A line over time, from zero at the bottom to the highest amount at the top.

    Attributes:
        line: Points of the line, as SVG has them.
        area: The same with the corners below it.
    """

    line: str
    area: str
    first_at: datetime
    last_at: datetime
    first: int
    last: int
    highest: int
    width: int = WIDTH
    height: int = HEIGHT


def trend(amounts: Sequence[tuple[datetime, int]]) -> Trend | None:
    """The line through some amounts; None where there are not two moments, or nothing but zeros.

    Args:
        amounts: Moments and what was measured then, oldest first.
    """
    if len(amounts) < 2 or amounts[0][0] == amounts[-1][0]:
        return None
    highest = max(amount for _, amount in amounts)
    if highest <= 0:
        return None
    begin, end = amounts[0][0], amounts[-1][0]
    points = [
        f"{WIDTH * ((at - begin) / (end - begin)):.1f},{HEIGHT * (1 - amount / highest):.1f}"
        for at, amount in _thinned(amounts)
    ]
    line = " ".join(points)
    return Trend(
        line=line,
        area=f"0,{HEIGHT} {line} {WIDTH},{HEIGHT}",
        first_at=begin,
        last_at=end,
        first=amounts[0][1],
        last=amounts[-1][1],
        highest=highest,
    )


def _thinned(amounts: Sequence[tuple[datetime, int]]) -> list[tuple[datetime, int]]:
    """Few enough of them, with the first and the last."""
    if len(amounts) <= MOST_POINTS:
        return list(amounts)
    step = (len(amounts) - 1) / (MOST_POINTS - 1)
    return [amounts[round(place * step)] for place in range(MOST_POINTS)]
