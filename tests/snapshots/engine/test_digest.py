"""The digest depends on what rows hold and on nothing else."""

import datetime as dt

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from snapshots.engine.digest import Digest, table_digest

COLUMNS = ("number", "text", "flag", "moment", "blob")
row = st.tuples(
    st.one_of(st.none(), st.floats(allow_nan=False)),
    st.one_of(st.none(), st.text(max_size=40)),
    st.one_of(st.none(), st.booleans()),
    st.one_of(st.none(), st.datetimes(dt.datetime(1970, 1, 1), timezones=st.just(dt.UTC))),
    st.one_of(st.none(), st.binary(max_size=20)),
)
rows = st.lists(row, max_size=12)
SCHEMA = pa.schema(
    [
        ("number", pa.float64()),
        ("text", pa.string()),
        ("flag", pa.bool_()),
        ("moment", pa.timestamp("us", "UTC")),
        ("blob", pa.binary()),
    ]
)


def table(values: list[tuple[object, ...]]) -> pa.Table:
    return pa.Table.from_pylist([dict(zip(COLUMNS, row, strict=True)) for row in values], SCHEMA)


def digest(values: list[tuple[object, ...]]) -> Digest:
    return table_digest(table(values), COLUMNS)


@given(rows, st.randoms())
def test_order_does_not_matter(values: list[tuple[object, ...]], random: object) -> None:
    shuffled = list(values)
    random.shuffle(shuffled)
    assert digest(shuffled) == digest(values)


@given(rows, rows)
def test_digests_of_parts_add_up(
    some: list[tuple[object, ...]], more: list[tuple[object, ...]]
) -> None:
    assert digest(some) + digest(more) == digest(some + more)


@given(rows, row)
def test_one_more_row_is_another_digest(
    values: list[tuple[object, ...]], extra: tuple[object, ...]
) -> None:
    assert digest([*values, extra]) != digest(values)


def test_how_rows_are_stored_does_not_matter() -> None:
    values = [(float(n), f"row {n}", n % 2 == 0, None, b"x" * n) for n in range(50)]
    whole = table(values)
    pieces = pa.concat_tables([whole.slice(0, 7), whole.slice(7, 30), whole.slice(37)])
    assert table_digest(pieces, COLUMNS) == table_digest(whole, COLUMNS)
    assert table_digest(whole.slice(5, 3), COLUMNS) == digest(values[5:8])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((1.0, None, None, None, None), (None, None, True, None, None)),
        ((None, "ab", None, None, None), (None, None, None, None, b"ab")),
        ((None, "", None, None, None), (None, None, None, None, None)),
        ((None, "a\0", None, None, None), (None, "a", None, None, None)),
        ((None, "12345678", None, None, None), (None, "12345678\0", None, None, None)),
        ((0.0, None, None, None, None), (-0.0, None, None, None, None)),
    ],
)
def test_values_that_look_alike_differ(one: tuple[object, ...], other: tuple[object, ...]) -> None:
    assert digest([one]) != digest([other])


def test_swapping_values_between_rows_is_seen() -> None:
    assert digest([(1.0, "a", None, None, None), (2.0, "b", None, None, None)]) != digest(
        [(1.0, "b", None, None, None), (2.0, "a", None, None, None)]
    )


@given(rows)
def test_text_form_is_read_back(values: list[tuple[object, ...]]) -> None:
    assert Digest.parse(str(digest(values))) == digest(values)
