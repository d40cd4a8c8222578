"""Select data records, and write the SQL that finds them in order.

The order is total and the same for every request: by time, ties by number, which ascends with
insertion. Each series is read through its index from one end, and PostgreSQL merges them, so that
a page costs its own rows and not all rows of the device.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

# More series than this in one request are not merged but sorted: planning would take too long.
MERGED_SERIES = 48
OPERATORS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "eq": "=", "ne": "<>"}
NO_LIMIT = 2**62
# Types of series: all of them, those with values, and those with numbers.
TYPES = ("number", "string", "boolean", "none")
VALUED = ("number", "string", "boolean")
NUMERIC = ("number",)

Parameters = dict[str, object]

_as_json = json.JSONEncoder(ensure_ascii=False).encode


class Series(NamedTuple):
    """What a series' records share; `type`: number, string, boolean or none."""

    id: int
    variable: str
    type: str
    unit: str | None


class Position(NamedTuple):
    """A record's place in the order."""

    time: datetime
    number: int


class Window(NamedTuple):
    """Which records in order to return: at most `limit`, after `skip` others."""

    limit: int = NO_LIMIT
    skip: int = 0


@dataclass(frozen=True)
class Selection:
    """The conditions on records; those that are empty or None do not apply.

    Attributes:
        numbers: Numbers of records, from their ids.
        values: Text forms, so that `7` is the number 7.
        compared: A name of OPERATORS and the number that a value is compared with.
        located: Only records with a location.
        valued: Only records with a value: those of any type can lack it.
        after: Only records that come after this position in the requested order.
    """

    groups: tuple[str, ...] = ()
    numbers: tuple[int, ...] | None = None
    values: tuple[str, ...] = ()
    start: datetime | None = None
    end: datetime | None = None
    compared: tuple[str, float] | None = None
    located: bool = False
    valued: bool = False
    after: Position | None = None
    descending: bool = True

    def conditions(self) -> tuple[str, Parameters]:
        """Write the conditions on a row of `variable` whose series is `series`."""
        parts = [part for part in self._parts() if part]
        return "".join(f" AND {text}" for text, _ in parts), {
            name: value for _, values in parts for name, value in values.items()
        }

    def _parts(self) -> Sequence[tuple[str, Parameters] | None]:
        return (
            ("group_key = ANY(%(groups)s)", {"groups": list(self.groups)}) if self.groups else None,
            None
            if self.numbers is None
            else ("variable.id = ANY(%(ids)s)", {"ids": list(self.numbers)}),
            _has_value(self.values) if self.values else None,
            ("time >= %(start)s", {"start": self.start}) if self.start else None,
            ("time <= %(end)s", {"end": self.end}) if self.end else None,
            _compares(*self.compared) if self.compared else None,
            ("location IS NOT NULL", {}) if self.located else None,
            ("num_nonnulls(number_value, text_value) > 0", {}) if self.valued else None,
            self._is_after(self.after) if self.after else None,
        )

    def _is_after(self, position: Position) -> tuple[str, Parameters]:
        sign = "<" if self.descending else ">"
        # The index can use the first half only.
        return (
            f"time {sign}= %(at)s AND (time {sign} %(at)s OR variable.id {sign} %(at_number)s)",
            {"at": position.time, "at_number": position.number},
        )

    @property
    def order(self) -> str:
        """Return the order by time and number, as SQL."""
        return "time DESC, id DESC" if self.descending else "time, id"


def _has_value(values: Sequence[str]) -> tuple[str, Parameters]:
    return (
        """CASE series.type WHEN 'string' THEN text_value = ANY(%(texts)s)
                            WHEN 'number' THEN number_value = ANY(%(floats)s)
                            WHEN 'boolean' THEN number_value = ANY(%(flags)s) ELSE false END""",
        {
            "texts": list(values),
            "floats": [number for value in values if (number := _as_number(value)) is not None],
            "flags": [float(value == "true") for value in values if value in ("true", "false")],
        },
    )


def _as_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _compares(name: str, number: float) -> tuple[str, Parameters]:
    return (
        f"series.type = 'number' AND number_value {OPERATORS[name]} %(compared)s",
        {"compared": number},
    )


def find(
    series: Sequence[Series],
    selection: Selection,
    *,
    columns: str,
    window: Window,
    order: str = "",
    name: str = "s",
) -> tuple[str, Parameters]:
    """Write a query for records of these series, in order.

    Args:
        series: At least one.
        columns: Expressions over `variable` and over `series`, which has id, type and head.
        order: Names of columns to order by; by default, the selection's order.
        name: A prefix of its parameters, for when several queries are combined.
    """
    where, values = selection.conditions()
    read = _merged if len(series) <= MERGED_SERIES else _joined
    union, more = read(series, f"SELECT {columns} FROM variable", where, name)  # noqa: S608
    ordered = f"ORDER BY {order or selection.order} LIMIT {window.limit:d} OFFSET {window.skip:d}"
    return f"SELECT * FROM ({union}) AS found {ordered}", {**values, **more}  # noqa: S608


def _merged(series: Sequence[Series], select: str, where: str, name: str) -> tuple[str, Parameters]:
    """Query each series separately, for PostgreSQL to merge."""
    values: Parameters = {}
    branches = []
    for index, item in enumerate(series):
        own = f"{name}{index}"
        values |= {own: item.id, f"{own}t": item.type, f"{own}h": head_of(item)}
        branches.append(
            f"({select}, (SELECT %({own}t)s::text AS type, %({own}h)s::text AS head) AS series"
            f" WHERE series_id = %({own})s::integer{where})"
        )
    return " UNION ALL ".join(branches), values


def _joined(series: Sequence[Series], select: str, where: str, name: str) -> tuple[str, Parameters]:
    """Query all series together."""
    given = f"unnest(%({name})s::integer[], %({name}t)s::text[], %({name}h)s::text[])"
    return f"({select}, {given} AS series (id, type, head) WHERE series_id = series.id{where})", {
        name: [item.id for item in series],
        f"{name}t": [item.type for item in series],
        f"{name}h": [head_of(item) for item in series],
    }


def head_of(series: Series) -> str:
    """Write the part of the JSON that all records of a series share."""
    unit = "" if series.unit is None else f',"unit":{_as_json(series.unit)}'
    return f'","variable":{_as_json(series.variable)}{unit},"time":"'
