"""Summarise a device's variables: how many records, from when to when."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from snapshots.engine.device_records import Span
from snapshots.engine.pg_timestamps import EPOCH
from snapshots.engine.series_search import VALUE_TYPES, Series


@dataclass(frozen=True)
class VariableLine:
    """A variable, with the types and units of all of its records."""

    name: str
    types: list[str]
    units: list[str]
    rows: int
    first: datetime | None
    last: datetime | None

    @property
    def type_names(self) -> list[str]:
        """Return its types in users' words."""
        return [VALUE_TYPES[kind] for kind in self.types]

    @property
    def is_numeric(self) -> bool:
        """Tell whether it can be drawn as a chart."""
        return "number" in self.types


def variable_lines(series: Iterable[Series], spans: Iterable[Span]) -> list[VariableLine]:
    """Add up each variable's series by name, even without records."""
    known = {span.series.number: span for span in spans}
    by_name: dict[str, list[Series]] = {}
    for one in series:
        by_name.setdefault(one.variable, []).append(one)
    return [_line(name, of_name, known) for name, of_name in sorted(by_name.items())]


def _line(name: str, series: list[Series], known: dict[int, Span]) -> VariableLine:
    spans = [known[one.number] for one in series if one.number in known]
    return VariableLine(
        name=name,
        types=list(dict.fromkeys(one.type for one in series)),
        units=list(dict.fromkeys(one.unit for one in series if one.unit)),
        rows=sum(span.rows for span in spans),
        first=moment_of(min((span.first for span in spans), default=None)),
        last=moment_of(max((span.last for span in spans), default=None)),
    )


def moment_of(time: int | None) -> datetime | None:
    """Return the moment that is this many microseconds after 1970."""
    return None if time is None else EPOCH + timedelta(microseconds=time)
