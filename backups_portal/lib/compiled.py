"""Queries that Django puts together once, for pages that ask them on every visit.

Putting a wide query together takes as long as answering it, and gives the same text each time but
for its values; see .github/decisions/0014-queries-of-pages-are-compiled-once.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from functools import cached_property, wraps
from inspect import signature
from typing import (
    Any,
    Generic,
    ParamSpec,
    TypeVar,
    cast,
    get_args,
    get_origin,
    overload,
)
from uuid import UUID

from django.core.paginator import Page, Paginator
from django.db import DEFAULT_DB_ALIAS, connection
from django.db.backends.postgresql.base import ServerBindingCursor
from django.db.models import (
    BigIntegerField,
    DateField,
    DateTimeField,
    Expression,
    Field,
    QuerySet,
    TextField,
    UUIDField,
)
from django.db.models.expressions import RawSQL
from django.db.models.query import (
    FlatValuesListIterable,
    ModelIterable,
    ValuesListIterable,
    get_related_populators,
)
from psycopg.sql import Literal

Arguments = ParamSpec("Arguments")
Row = TypeVar("Row", covariant=True)

FIELDS: dict[type, type[Field[Any, Any]]] = {
    UUID: UUIDField,
    int: BigIntegerField,
    str: TextField,
    datetime: DateTimeField,
    date: DateField,
}


def compiled(
    build: Callable[Arguments, QuerySet[Any, Row]],
) -> Callable[Arguments, CompiledRows[Row]]:
    """Put the query of a function together at its first call; later only its values differ.

    The function may do nothing with its arguments but compare columns with them (`=`, `<`, `>`, a
    range, `in` a list of them): when it runs, each is a place for a value of the type in its
    annotation. What else it reads, such as the time, is read once and never again. Related objects
    come by `select_related`; what `prefetch_related` asks for is not fetched.
    """
    query = _Query(build)
    expected = signature(build)

    @wraps(build)
    def rows(*args: Arguments.args, **kwargs: Arguments.kwargs) -> CompiledRows[Row]:
        return CompiledRows(query, expected.bind(*args, **kwargs).arguments)

    return rows


# What a row of a page is told: how many rows the list has.
COUNTED = "rows_of_all_pages"
PLACEHOLDER = re.compile("%[%s]")
# Of a page's number; no list has a billion pages.
MOST_DIGITS = 9


class CompiledRows(Generic[Row]):
    """The rows of a compiled query for some values: read anew each time, in whole or in part."""

    def __init__(self, query: _Query[Row], values: dict[str, Any]) -> None:
        self._query, self._values = query, values

    def __iter__(self) -> Iterator[Row]:
        return iter(self._query.rows.fetch(self._values))

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        """One row, or those of a slice that ends and has no step; IndexError past the end."""
        if isinstance(index, int):
            return self[index : index + 1][0]
        start = index.start or 0
        length = index.stop - start
        return self._query.rows.fetch(self._values, start, length) if length > 0 else []

    def first(self) -> Row | None:
        """The first row, if there is one."""
        return next(iter(self[0:1]), None)

    def page(self, number: Any, size: int) -> Page[Row]:
        """A page of so many model instances; the nearest that exists where the number is wrong.

        One query brings the rows and how many there are: asking twice takes a page a millisecond.
        """
        paginator: Paginator[Row] = Paginator(cast("Any", self), size)
        asked = str(number or 1)
        place = int(asked) if asked.isdecimal() and len(asked) <= MOST_DIGITS else 0
        if place < 1:
            return paginator.get_page(number)
        rows: list[Any] = self._query.counted.fetch(self._values, (place - 1) * size, size)
        if place > 1 and not rows:
            return paginator.get_page(number)
        vars(paginator)["count"] = vars(rows[0])[COUNTED] if rows else 0
        return Page(cast("Any", rows), place, paginator)

    def count(self) -> int:
        """How many rows there are; asked of the database."""
        ((number,),) = _ask(*self._query.number.bound(self._values))
        return int(number)


class _Query(Generic[Row]):
    """What a function asks for, and how many rows that is."""

    def __init__(self, build: Callable[..., QuerySet[Any, Row]]) -> None:
        self._build = build

    @cached_property
    def rows(self) -> _Statement[Row]:
        return _Statement(self._queryset)

    @cached_property
    def number(self) -> _Statement[Any]:
        # Without what a count needs no join for.
        statement: _Statement[Any] = _Statement(
            self._queryset.order_by().select_related(None).values_list("pk")
        )
        # Of Django's own text, whose values are parameters.
        statement.sql = f"SELECT COUNT(*) FROM ({statement.sql}) AS counted"  # noqa: S608
        return statement

    @cached_property
    def counted(self) -> _Statement[Row]:
        """The rows, each of which knows how many there are."""
        number = RawSQL(self.number.sql, tuple(self.number.places))  # noqa: S611 - as above
        return _Statement(self._queryset.annotate(**{COUNTED: number}))

    @property
    def _queryset(self) -> QuerySet[Any, Row]:
        parameters = signature(self._build, eval_str=True).parameters.values()
        return self._build(**{one.name: _Place(one.name, one.annotation) for one in parameters})


class _Place(Expression):
    """Where a value goes, or a list of values."""

    def __init__(self, name: str, kind: Any) -> None:
        self.is_list = get_origin(kind) is list
        (of,) = get_args(kind) if self.is_list else (kind,)
        super().__init__(output_field=FIELDS[of]())
        self.name = name

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, Any]:
        # Django takes it for a parameter and hands it back where the value belongs.
        if not self.is_list:
            return "%s", [self]
        return f"(SELECT unnest(%s::{self.output_field.db_type(connection)}[]))", [self]


class _Statement(Generic[Row]):
    """A query as text, and what makes objects of its rows."""

    def __init__(self, queryset: QuerySet[Any, Row]) -> None:
        compiler: Any = queryset.query.get_compiler(DEFAULT_DB_ALIAS)
        self.sql, self.places = _with_constants(*compiler.as_sql())
        kind = cast("Any", queryset)._iterable_class
        if kind not in READERS:
            raise TypeError(f"a query that is compiled cannot be read by {kind.__name__}")
        self._reader = READERS[kind](compiler)

    def fetch(self, values: dict[str, Any], start: int = 0, length: int | None = None) -> list[Row]:
        sql, parameters = self.bound(values)
        if length is not None:
            sql = f"{sql} LIMIT {length:d}"
        if start:
            sql, parameters = f"{sql} OFFSET %s", (*parameters, start)
        return [self._reader.read(row) for row in _ask(sql, parameters)]

    def bound(self, values: dict[str, Any]) -> tuple[str, tuple[Any, ...]]:
        """The text and its parameters, with values in their places."""
        return self.sql, tuple(values[place.name] for place in self.places)


class _Tuples:
    """What `values_list` asks for; some values as fields read them."""

    def __init__(self, compiler: Any) -> None:
        expressions = [one[0] for one in compiler.select[: compiler.col_count]]
        self._converters = tuple(compiler.get_converters(expressions).items())

    def read(self, row: tuple[Any, ...]) -> Any:
        if not self._converters:
            return row
        values = list(row)
        for place, (converters, expression) in self._converters:
            for convert in converters:
                values[place] = convert(values[place], expression, connection)
        return tuple(values)


class _FlatValues(_Tuples):
    """What `values_list(flat=True)` asks for."""

    def read(self, row: tuple[Any, ...]) -> Any:
        return super().read(row)[0]


class _Instances(_Tuples):
    """Model instances, as Django makes them, which works out for each query anew which column goes
    where: as long as it takes to make one.
    """

    def __init__(self, compiler: Any) -> None:
        super().__init__(compiler)
        model, columns = compiler.klass_info, compiler.klass_info["select_fields"]
        self._model = model["model"]
        self._own = slice(columns[0], columns[-1] + 1)
        self._names = frozenset(one[0].target.attname for one in compiler.select[self._own])
        # The stubs are of a later Django.
        populators: Any = get_related_populators
        self._related = populators(model, compiler.select, DEFAULT_DB_ALIAS)
        self._annotations = tuple(compiler.annotation_col_map.items())

    def read(self, row: tuple[Any, ...]) -> Any:
        values = super().read(row)
        made = self._model.from_db(DEFAULT_DB_ALIAS, self._names, values[self._own])
        for populator in self._related:
            populator.populate(values, made)
        for name, place in self._annotations:
            setattr(made, name, values[place])
        return made


READERS: dict[type, type[_Tuples]] = {
    ModelIterable: _Instances,
    ValuesListIterable: _Tuples,
    FlatValuesListIterable: _FlatValues,
}


def _with_constants(sql: str, parameters: Sequence[Any]) -> tuple[str, list[_Place]]:
    """The text with what is the same at each call put into it, and the places of what is not.

    PostgreSQL plans without values: of a constant that it cannot see it does not know whether an
    index of some rows alone has what is asked for.
    """
    places: list[_Place] = []
    remaining = iter(parameters)

    def text_of(found: re.Match[str]) -> str:
        if found[0] == "%%":
            return found[0]
        one = next(remaining)
        if isinstance(one, _Place):
            places.append(one)
            return found[0]
        return Literal(one).as_string().replace("%", "%%")

    return PLACEHOLDER.sub(text_of, sql), places


def _ask(sql: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Rows of a query that PostgreSQL plans once per connection; settings say that it may."""
    with connection.cursor() as cursor:
        # Django's own puts values into the text, so that each would be a query of its own.
        binding: Any = ServerBindingCursor
        cursor.cursor = binding(connection.connection)
        cursor.execute(sql, parameters)
        return cursor.fetchall()
