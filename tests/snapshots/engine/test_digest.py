"""The digest depends on the rows' content and on nothing else."""

import datetime as dt

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from snapshots.engine import digest as digest_module
from snapshots.engine.digest import LANE, Digest, column_words, mix, table_digest

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


def test_rows_in_several_blocks_have_the_digest_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    # A column without a value, one with few, and one with most.
    values: list[tuple[object, ...]] = [
        (None, "few" if number % 5 == 0 else None, number % 7 != 0 or None, None, bytes([number]))
        for number in range(50)
    ]
    once = digest(values)
    monkeypatch.setattr(digest_module, "BLOCK_ROWS", 16)
    assert digest(values) == once == sum((digest([value]) for value in values), Digest())


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


def hashed(value: bytes) -> int:
    """Compute a text's hash by its definition, one word after the other."""
    state = len(value)
    for start in range(0, len(value), 8):
        word = int.from_bytes(value[start : start + 8], "little")
        state = ((state ^ word) + int(digest_module.GAMMA)) % LANE
        state = (state ^ (state >> 30)) * int(digest_module.MIX_1) % LANE
        state = (state ^ (state >> 27)) * int(digest_module.MIX_2) % LANE
        state ^= state >> 31
    return state


def words(values: list[bytes | None], kind: pa.DataType) -> list[int]:
    return [int(word) for word in column_words(pa.chunked_array([pa.array(values, kind)]))]


lengths = st.integers(0, 40) | st.sampled_from([63, 64, 65, 500])
texts = lengths.flatmap(lambda length: st.binary(min_size=min(length, 9), max_size=9).map(
    lambda seed: (seed * (length // max(len(seed), 1) + 1))[:length]
))  # fmt: skip


@settings(max_examples=50, deadline=None)
@example([b"x" * 65_541, b"", b"y" * 65_536], pa.binary())
@example([b"x" * number for number in range(30)], pa.large_binary())
@example([bytes(range(256))[::-1] * 40 + b"y" * number for number in range(9)], pa.binary())
@given(
    st.lists(texts, max_size=12) | st.lists(st.binary(max_size=30), min_size=12, max_size=60),
    st.sampled_from([pa.binary(), pa.large_binary()]),
)
def test_each_text_has_the_hash_of_its_definition(values: list[bytes], kind: pa.DataType) -> None:
    """Stored manifests contain these digests, so a changed hash would break every backup."""
    assert words([*values], kind) == [hashed(value) for value in values]


def test_texts_of_many_lengths_are_hashed_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashing one length after the other would take a hundred times as long."""
    values: list[bytes | None] = [b"x" * (5_000 + 8 * number) for number in range(100)]
    mixed = []
    monkeypatch.setattr(digest_module, "mix", lambda words: mixed.append(len(words)) or mix(words))
    words(values, pa.binary())
    assert len(mixed) <= 5_800 / 8 + 1
    assert sum(mixed) <= sum(len(value) for value in values if value) / 8 + len(values)
