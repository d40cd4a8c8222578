"""Find backups much smaller than earlier ones, which have deleted data."""

from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

# The number of newest good backups before it that it is compared with.
COMPARED = 7
PART = 3


class Size(NamedTuple):
    """The size of a snapshot: rows, and their bytes before encoding."""

    rows: int
    logical_bytes: int


def smallness(size: Size, earlier: Sequence[Size]) -> str:
    """Explain why a snapshot is unusually small; "" if it is not.

    It is if it is empty and earlier ones are not, or if it has less than a third of their median,
    in rows or in bytes. A few bad days among them do not move a median.
    """
    if not earlier:
        return ""
    rows = median(one.rows for one in earlier)
    size_before = median(one.logical_bytes for one in earlier)
    if rows and not size.rows:
        return f"It has no rows; those before it have {_number(rows)}, by their median."
    if size.rows * PART < rows:
        return (
            f"It has {size.rows:,} {'row' if size.rows == 1 else 'rows'}; those before it have "
            f"{_number(rows)}, by their median."
        )
    if size.logical_bytes * PART < size_before:
        share = size.logical_bytes / size_before
        return f"Its rows are {share:.0%} as large as those of the backups before it."
    return ""


def _number(value: float) -> str:
    return f"{round(value):,}"
