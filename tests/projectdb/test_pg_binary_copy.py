"""Rows of every shape arrive unchanged, whether many are alike or all differ."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from backups_portal.projectdb import pg_binary_copy
from backups_portal.projectdb.pg_binary_copy import COPY_TABLE, MANY, encode_table
from tests.projectdatabases import Target, add_device, main_database, open_database

pytestmark = pytest.mark.usefixtures("project_server")

SCHEMA = pa.schema(
    [
        ("series_id", pa.int32()),
        ("time", pa.timestamp("us", "UTC")),
        ("created_at", pa.timestamp("us", "UTC")),
        ("number_value", pa.float64()),
        ("text_value", pa.string()),
        ("group_key", pa.string()),
        ("longitude", pa.float64()),
        ("latitude", pa.float64()),
        ("metadata", pa.string()),
        ("id", pa.int64()),
    ]
)
MOMENT = datetime(2026, 3, 1, tzinfo=UTC)


def row(number: int, **values: Any) -> dict[str, Any]:
    plain = {
        "series_id": 1 + number % 3,
        "time": MOMENT + timedelta(milliseconds=number),
        "created_at": MOMENT + timedelta(microseconds=number),
        "group_key": f"{number:024x}",
        "id": number + 1,
    }
    return {**plain, **values}


def any_row(number: int, chance: random.Random) -> dict[str, Any]:
    values = chance.choice(
        [
            {"number_value": chance.choice([0.0, -1.5, 1e308, float(number)])},
            {"text_value": "ok" * chance.randrange(4)},
            {"text_value": chance.choice(["tür offen", "☃", "\n\t\\N", "x" * number])},
            {"number_value": 1.0, "longitude": -46.6, "latitude": chance.random()},
            {"metadata": '{"b": null,  "a": [1, "é"]}', "group_key": "g" * chance.randrange(1, 9)},
            {},
        ]
    )
    return row(number, **values)


def arrived(target: Target) -> list[tuple[Any, ...]]:
    with open_database(target) as connection:
        return connection.execute(
            """SELECT series_id, time, created_at, number_value, text_value, group_key,
                      location[0], location[1], metadata::text, id FROM variable ORDER BY id"""
        ).fetchall()


def copy(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    table = pa.Table.from_pylist(rows, SCHEMA)
    with main_database() as target:
        with open_database(target) as connection, connection.cursor() as cursor:
            add_device(connection)
            with cursor.copy(COPY_TABLE) as stream:
                for part in encode_table(table):
                    stream.write(part)
        return arrived(target)


@pytest.mark.parametrize("seed", [1, 2])
def test_rows_of_many_shapes(seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311
    rows = [any_row(number, chance) for number in range(600)]
    assert copy(rows) == [tuple(item.get(name) for name in SCHEMA.names) for item in rows]


@pytest.mark.parametrize("block_rows", [MANY // 3, MANY, 2 * MANY - 1, 2 * MANY])
def test_rows_alike_in_several_blocks(monkeypatch: pytest.MonkeyPatch, block_rows: int) -> None:
    monkeypatch.setattr(pg_binary_copy, "BLOCK_ROWS", block_rows)
    rows = [row(number, number_value=number / 8) for number in range(2 * MANY)]
    assert copy(rows) == [tuple(item.get(name) for name in SCHEMA.names) for item in rows]


def test_many_rows_alike_and_a_few_that_are_not() -> None:
    rows = [row(number, number_value=number / 8) for number in range(3 * MANY)]
    rows[5] = row(5, text_value="")
    rows[-1] = row(len(rows) - 1, text_value="a" * 6_144, metadata="[]")
    assert copy(rows) == [tuple(item.get(name) for name in SCHEMA.names) for item in rows]


@pytest.mark.parametrize("name", ["group_key", "text_value", "metadata"])
def test_texts_whose_lengths_are_equal_on_average(name: str) -> None:
    lengths = [1, 2, 3] if name != "metadata" else [3, 4, 5]
    values = [
        f'"{number % 7}"'.ljust(length)[:length] for number in range(MANY) for length in lengths
    ]
    rows = [row(number, **{name: value}) for number, value in enumerate(values)]
    if name == "metadata":
        assert {len(value) for value in values} == {*lengths}
    assert copy(rows) == [tuple(item.get(name) for name in SCHEMA.names) for item in rows]


def test_long_rows_alike() -> None:
    rows = [row(number, text_value=f"{number:06}" * 1_000) for number in range(2 * MANY)]
    assert copy(rows) == [tuple(item.get(name) for name in SCHEMA.names) for item in rows]


def test_one_row() -> None:
    assert copy([row(0)]) == [tuple(row(0).get(name) for name in SCHEMA.names)]
