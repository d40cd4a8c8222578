"""Moves that are undone in any order leave the target as it was before all of them."""

import itertools
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from backups_portal.projectdb.provisioning import ensure_ledger
from backups_portal.transfers.plan.selection import Choice, Rule
from restores.snapshot_loader import Target
from tests.projectdatabases import DEVICE, open_database
from tests.transfers.engine import Transfer, add_device, send_records

REPLACE = Choice(rule=Rule.REPLACE)


def readings(values: dict[int, float]) -> list[dict[str, Any]]:
    """Return one reading per day."""
    return [
        {"variable": "t", "group": "g", "value": value, "time": datetime(2026, 3, day, tzinfo=UTC)}
        for day, value in values.items()
    ]


def records(database: Target) -> list[tuple[Any, ...]]:
    with psycopg.connect(database.dsn) as connection:
        return connection.execute("SELECT * FROM variable ORDER BY id").fetchall()


def edit(database: Target, value: float, old: float) -> None:
    with open_database(database) as connection:
        connection.execute(
            "UPDATE variable SET number_value = %s WHERE number_value = %s", [value, old]
        )


@pytest.fixture
def first(source: Target, target: Target) -> Transfer:
    """A move that replaces two readings, and adds two."""
    for database, values in (
        (source, {1: 1, 2: 2, 3: 3, 4: 4}),
        (target, {1: 91, 2: 92, 8: 98}),
    ):
        add_device(database, DEVICE, "Truck")
        send_records(database, DEVICE, *readings(values))
    return Transfer(source, target, REPLACE, batch_rows=2)


def later(first: Transfer) -> Transfer:
    """Another move, after all of the source has changed."""
    with open_database(first.source) as connection:
        connection.execute("UPDATE variable SET number_value = number_value + 10")
    return Transfer(first.source, first.target, REPLACE, batch_rows=3)


def test_both(first: Transfer) -> None:
    before = records(first.target)
    first.run()
    between = records(first.target)
    second = later(first)
    second.run()
    assert len(records(first.target)) == len(before) + 2
    assert second.undo().restored == 4
    assert records(first.target) == between
    undone = first.undo()
    assert (undone.removed, undone.restored, undone.left) == (4, 2, 0)
    assert records(first.target) == before


def test_the_first_one_first(first: Transfer) -> None:
    before = records(first.target)
    first.run()
    second = later(first)
    second.run()
    between = records(first.target)
    undone = first.undo()
    assert (undone.removed, undone.restored, undone.left) == (4, 0, 0)
    assert records(first.target) == between
    undone = second.undo()
    assert (undone.removed, undone.restored, undone.left) == (4, 2, 0)
    assert records(first.target) == before


@pytest.mark.parametrize("turn", [*itertools.permutations(range(3))], ids=str)
def test_in_any_turn(first: Transfer, turn: tuple[int, ...]) -> None:
    before = records(first.target)
    first.run()
    transfers = [first]
    for _ in range(2):
        transfers.append(later(first))
        transfers[-1].run()
    for number in turn:
        assert transfers[number].undo().left == 0
    assert records(first.target) == before


def test_three(first: Transfer) -> None:
    before = records(first.target)
    first.run()
    for _ in range(2):
        second = later(first)
        second.run()
        third = later(second)
        third.run()
        for transfer in (third, second):
            assert transfer.undo().left == 0
    assert first.undo().left == 0
    assert records(first.target) == before


def test_what_somebody_has_edited_stays(first: Transfer) -> None:
    first.run()
    edit(first.target, 77, 2)
    second = later(first)
    second.run()
    assert second.undo().restored == 4
    undone = first.undo()
    assert (undone.removed, undone.restored, undone.left) == (3, 1, 1)
    assert sorted(row[4] for row in records(first.target)) == [77, 91, 98]


def test_a_paused_move_goes_on_after_another_one_was_undone(first: Transfer) -> None:
    first.run()
    second = later(first)
    second.run()
    second.undo()
    (line,) = first.run()
    assert (line.stored, line.is_equal) == (4, True)


def test_a_ledger_of_an_older_version_is_brought_up_to_date(first: Transfer) -> None:
    with open_database(first.target) as connection:
        connection.execute("DROP TABLE transfer_returned")
        connection.execute("ALTER TABLE transfer_replaced DROP COLUMN xid")
        for _ in range(2):
            ensure_ledger(connection)
    before = records(first.target)
    first.run()
    assert first.undo().left == 0
    assert records(first.target) == before
