"""Reading whole columns and reading row by row give the same for all values."""

from typing import Any

import psycopg
import pytest

from backups_portal.projectdb.catalogue import VARIABLE, digest_columns
from snapshots.engine import instant_reader as source_module
from snapshots.engine.column_reader import Columns, IrregularError, read_arrays
from snapshots.engine.instant_reader import open_reader
from snapshots.engine.segment_plan import ChunkRange
from snapshots.engine.source_database import export_instant
from tests.projectdatabases import START, Backups, Connection, add_rows, contents

# number, text, group, location, metadata
ORDINARY = [(1.5, None, "g", None, None), (None, "open", "g", None, None)]
VALUES: dict[str, list[tuple[Any, ...]]] = {
    "nothing": [],
    "one": ORDINARY[:1],
    "one empty text": [(None, "", "", None, None)],
    "texts only": [(None, "a", "g", None, None), (None, "ü€𝄞", "g" * 24, None, None)],
    "no value": [(None, None, "g", None, None)] * 3,
    "places": [*ORDINARY, (0.0, None, "g", "(-46.6,23.25)", None)],
    "metadata": [*ORDINARY, (0.0, None, "g", None, '{"a": "\\u0001 x",  "b": [null]}')],
    "delimiter in a text": [*ORDINARY, (None, "a\x01b", "g", None, None)],
    "stand-in in a text": [*ORDINARY, (None, "\x02", "g", None, None)],
    "stand-in in a group": [*ORDINARY, (None, None, "\x01\x02", None, None)],
    "not a number": [*ORDINARY, (float("nan"), None, "g", None, None)],
    "infinite": [*ORDINARY, (float("-inf"), None, "g", "(Infinity,0)", None)],
    "place that is none": [*ORDINARY, (1.0, None, "g", "(NaN,0)", None)],
}
IRREGULAR = {
    "delimiter in a text",
    "stand-in in a text",
    "stand-in in a group",
    "not a number",
    "place that is none",
}


def insert(source: Connection, values: list[tuple[Any, ...]]) -> None:
    with source.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO variable (series_id, time, number_value, text_value, group_key, location,"
            " metadata) VALUES (1, now(), %s, %s, %s, %s, %s)",
            values,
        )


@pytest.mark.parametrize("kind", VALUES)
def test_both_ways_read_the_same(backups: Backups, source: Connection, kind: str) -> None:
    insert(source, VALUES[kind])
    whole = ChunkRange(None, None)
    with psycopg.connect(backups.source.dsn) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        instant = export_instant(connection)
        with open_reader(backups.source.dsn, instant) as reader:
            (arrays,) = reader.rows(VARIABLE, whole)
            rows = list(reader._variables_row_by_row(whole))
    expected = sorted(map(str, (row for part in rows for row in part.to_pylist())))
    names = [*digest_columns(VARIABLE), "id"]
    assert sorted(map(str, arrays.select(names).to_pylist())) == sorted(
        map(str, (row for part in rows for row in part.select(names).to_pylist()))
    )
    assert len(expected) == len(VALUES[kind])


@pytest.mark.parametrize("kind", VALUES)
def test_what_arrays_cannot_tell_is_noticed(
    backups: Backups, source: Connection, kind: str
) -> None:
    insert(source, VALUES[kind])
    with psycopg.connect(backups.source.dsn) as connection:
        where = source_module._within(ChunkRange(None, None))
        if kind in IRREGULAR:
            with pytest.raises(IrregularError):
                read_arrays(connection, where, Columns(wide=True, numbers=True))
        else:
            assert read_arrays(connection, where, Columns(wide=True, numbers=True)) is not None


@pytest.mark.parametrize("kind", VALUES)
def test_a_snapshot_holds_them(backups: Backups, source: Connection, kind: str) -> None:
    add_rows(source, 0, 3)
    insert(source, VALUES[kind])
    assert backups.contents_of(backups.take()) == contents(backups.source)


def test_a_dense_chunk_is_read_in_parts(
    backups: Backups, source: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More rows than fit into memory at once become several segments of one range."""
    monkeypatch.setattr(source_module, "MAX_SEGMENT_ROWS", 100)
    source.execute(
        "INSERT INTO variable (series_id, time, number_value, group_key)"
        " SELECT 1 + n %% 3, %s + n * interval '1 s', n, 'g' FROM generate_series(0, 449) AS n",
        [START],
    )
    first = backups.take()
    assert [segment.rows for segment in first.of("variable")] == [100, 100, 100, 100, 50]
    add_rows(source, 0, 1)
    second = backups.take()
    assert not second.is_full
    assert backups.contents_of(second) == contents(backups.source)
