"""Records arrive exactly as they were, whichever way they are moved."""

import psycopg
import pytest

from backups_portal.transfers.move import slice_copy
from restores.snapshot_loader import Target
from tests.projectdatabases import add_device, add_rows, contents, open_database
from tests.snapshots.engine.test_column_reader import VALUES, insert
from tests.transfers.engine import Transfer

# Too long for the column reader.
LONG = {"a long text": [(None, "x" * 5_000, "g", None, None)]}


@pytest.mark.parametrize("values", [*VALUES.values(), *LONG.values()], ids=[*VALUES, *LONG])
def test_any_value_arrives(
    source: Target, target: Target, values: list[tuple[object, ...]]
) -> None:
    with open_database(source) as connection:
        add_device(connection)
        add_rows(connection, 0, 3, series=2)
        insert(connection, values)
    transfer = Transfer(source, target)

    (line,) = transfer.run()

    assert (line.is_equal, line.stored) == (True, 3 + len(values))
    assert contents(target) == contents(source)
    assert transfer.dry_run().cost == 0


def test_more_rows_of_one_moment_than_columns_hold(
    source: Target, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slice_copy, "MAX_ROWS", 3)
    with open_database(source) as connection:
        add_device(connection)
        insert(connection, [(number, None, "g", None, None) for number in range(4)])
        add_rows(connection, 1, 3)

    (line,) = Transfer(source, target, batch_rows=2).run()

    assert (line.is_equal, line.stored) == (True, 7)
    assert contents(target) == contents(source)


def test_records_of_a_series_lie_together(source: Target, target: Target) -> None:
    with open_database(source) as connection:
        add_device(connection)
        for minute in range(3):
            for series in (3, 1, 2):
                add_rows(connection, minute, 1, series=series)
    Transfer(source, target).run()
    with psycopg.connect(target.dsn) as connection:
        found = connection.execute(
            """SELECT series.variable, time FROM variable JOIN series ON series.id = series_id
               ORDER BY variable.ctid"""
        ).fetchall()
    assert found == sorted(found)
    assert len(found) == 9
