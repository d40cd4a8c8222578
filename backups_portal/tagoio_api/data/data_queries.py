"""Parse the query parameters of the data routes."""

import math
from dataclasses import dataclass

from backups_portal.projectdb.ids import variable_number
from backups_portal.projectdb.record_filter import NUMERIC, OPERATORS, TYPES, VALUED, Selection
from backups_portal.tagoio_api.envelope import ApiError
from backups_portal.tagoio_api.requests import query_strings
from backups_portal.tagoio_api.requests.time_expressions import parse_since

DEFAULT_QTY = 15
MAX_QTY = 10_000
MAX_SKIP = 10**12
ORDERS = {"descending": True, "desc": True, "ascending": False, "asc": False}
DEFAULT = "default"
# Queries for one record per variable; True picks the newest.
SINGLE = {
    **{f"last_{what}": True for what in ("item", "value", "location", "insert")},
    **{f"first_{what}": False for what in ("item", "value", "location", "insert")},
    "last": True,
    "first": False,
}
EXTREME = {"min": "number_value", "max": "number_value DESC"}
OF_VALUES = ("last_value", "first_value")
# Queries for figures instead of records, which ignore `qty`: the command line always sends it.
FIGURES = ("count", "avg", "sum", "aggregate")
QUERIES = frozenset({*SINGLE, *EXTREME, *FIGURES, DEFAULT, "conditional"})


@dataclass(frozen=True)
class DataQuery:
    """A client's query of a device's data.

    Attributes:
        query: One of QUERIES.
        variables: Exact names; empty for all variables.
        skip: None if it was not given, which differs from 0.
    """

    query: str
    variables: list[str]
    selection: Selection
    qty: int
    skip: int | None
    function: str
    interval: str

    @property
    def counts_each(self) -> bool:
        """Tell whether `qty` applies to each variable separately."""
        return len(self.variables) > 1 and self.skip is None

    @property
    def takes_one(self) -> bool:
        """Tell whether the query returns one record per variable."""
        return self.query in SINGLE or self.query in EXTREME

    @property
    def types(self) -> tuple[str, ...]:
        """Return the types of values that the query looks at."""
        if self.query in EXTREME:
            return NUMERIC
        return VALUED if self.query in OF_VALUES else TYPES

    @property
    def order(self) -> str:
        """Return the ORDER BY that puts the wanted record of each variable first."""
        if self.query in EXTREME:
            return f"{EXTREME[self.query]}, time DESC, id DESC"
        if self.query.endswith("_insert"):
            return "id DESC" if self.selection.descending else "id"
        return self.selection.order

    @property
    def limit(self) -> int:
        """Return how many records a page may have."""
        if self.skip is None or len(self.variables) < 2:
            return self.qty
        return min(MAX_QTY, self.qty * len(self.variables))


def parse_data_query(text: str, prefix: str) -> DataQuery:
    """Parse a query string.

    Args:
        prefix: The prefix of the project's variable ids.

    Raises:
        ApiError: a parameter cannot be read.
    """
    asked = query_strings.parse_query(text)
    query = query_strings.text(asked.get("query")) or DEFAULT
    if query not in QUERIES:
        raise ApiError(f"Invalid query: {query}")
    function = query_strings.text(asked.get("function")) or ""
    skip = query_strings.text(asked.get("skip"))
    start, end = (query_strings.text(asked.get(name)) for name in ("start_date", "end_date"))
    selection = Selection(
        groups=tuple(_names(asked, "groups", "group", "series", "serie")),
        numbers=_numbers(",".join(_names(asked, "ids", "id")), prefix),
        values=tuple(_values(asked)) if query != "conditional" else (),
        start=parse_since(start, "start_date") if start else None,
        end=parse_since(end, "end_date") if end else None,
        compared=_compared(asked, function) if query == "conditional" else None,
        located=query in ("last_location", "first_location"),
        valued=query in (*EXTREME, *OF_VALUES),
        descending=SINGLE.get(query, _descending(query_strings.text(asked.get("ordination")))),
    )
    return DataQuery(
        query=query,
        variables=list(dict.fromkeys(_names(asked, "variables", "variable"))),
        selection=selection,
        qty=0 if query in FIGURES else _qty(asked),
        skip=None if skip is None else query_strings.number(skip, "skip", default=0, most=MAX_SKIP),
        function=function,
        interval=query_strings.text(asked.get("interval")) or "",
    )


def _names(asked: query_strings.Parsed, *keys: str) -> list[str]:
    found = [name for key in keys for name in query_strings.names(asked.get(key))]
    if any("\0" in name for name in found):
        raise ApiError(f"{keys[0]} hold a NUL character")
    return found


def _values(asked: query_strings.Parsed) -> list[str]:
    # The Python SDK capitalises booleans.
    found = _names(asked, "values", "value")
    return [value.lower() if value in ("True", "False") else value for value in found]


def _qty(asked: query_strings.Parsed) -> int:
    return query_strings.number(asked.get("qty"), "qty", default=DEFAULT_QTY, most=MAX_QTY)


def _numbers(ids: str, prefix: str) -> tuple[int, ...] | None:
    if not ids:
        return None
    found = (variable_number(prefix, text) for text in ids.split(","))
    return tuple(number for number in found if number is not None and number < 2**63)


def _descending(word: str | None) -> bool:
    if word is None:
        return True
    if word not in ORDERS:
        raise ApiError("ordination must be ascending or descending")
    return ORDERS[word]


def _compared(asked: query_strings.Parsed, function: str) -> tuple[str, float]:
    if function not in OPERATORS:
        raise ApiError(f"function must be one of {', '.join(OPERATORS)}")
    try:
        number = float(query_strings.text(asked.get("value")) or "")
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ApiError("value must be a number")
    return function, number
