"""Rows that the dry run has compared are not compared again while neither database changes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
import pytest

from backups_portal.transfers.plan.dry_run import Plan
from restores.snapshot_loader import Target
from tests.projectdatabases import DEVICE, add_device, add_rows, contents, open_database
from tests.transfers.engine import Transfer


@pytest.fixture
def again(source: Target, target: Target) -> Transfer:
    """A second transfer of what the first one has moved, after its dry run."""
    with open_database(source) as connection:
        add_device(connection)
        for day in range(3):
            add_rows(connection, day, 4)
    Transfer(source, target).run()
    second = Transfer(source, target, batch_rows=4)
    assert second.dry_run().cost == 0
    return second


@contextmanager
def hidden_records(*databases: Target) -> Iterator[None]:
    """Make reading records fail in these databases."""
    for database in databases:
        with open_database(database) as connection:
            connection.execute("ALTER TABLE variable RENAME TO hidden")
    yield
    for database in databases:
        with open_database(database) as connection:
            connection.execute("ALTER TABLE hidden RENAME TO variable")


def test_the_plan_keeps_what_is_settled(again: Transfer) -> None:
    assert again.plan is not None
    assert again.plan.settled.numbers == tuple(range(len(again.plan.slices)))
    assert Plan.from_json(again.plan.as_json()) == again.plan
    # A plan of the previous version.
    older = {name: value for name, value in again.plan.as_json().items() if name != "settled"}
    assert Plan.from_json(older).settled.numbers == ()


def test_nothing_is_read_again(again: Transfer) -> None:
    with hidden_records(again.source):
        (line,) = again.run()
    assert (line.is_equal, line.chosen, line.fates["present"], line.stored) == (True, 12, 12, 0)
    assert line.source_digest == line.target_digest != "0"
    assert again.undo().removed == 0


def change_source(again: Transfer) -> None:
    with open_database(again.source) as connection:
        add_rows(connection, 5, 1)


def change_target(again: Transfer) -> None:
    with open_database(again.target) as connection:
        connection.execute("DELETE FROM variable WHERE number_value = 0")


def change_before_a_backup(again: Transfer) -> None:
    """A backup has removed the mark of this change, as if it preceded the dry run."""
    change_source(again)
    with open_database(again.source) as connection:
        connection.execute("DELETE FROM change_mark")
        connection.execute("UPDATE instance SET marks_since = gen_random_uuid()")


@pytest.mark.parametrize("change", [change_source, change_target, change_before_a_backup])
def test_a_change_is_seen(again: Transfer, change: Callable[[Transfer], None]) -> None:
    change(again)
    (line,) = again.run()
    assert line.is_equal
    assert line.stored >= 1
    assert contents(again.target) == contents(again.source)


def test_what_is_new_is_moved_beside_it(again: Transfer) -> None:
    change_source(again)
    plan = again.dry_run()
    assert 0 < len(plan.settled.numbers) < len(plan.slices)

    (line,) = again.run()

    assert (line.is_equal, line.fates["present"], line.fates["add"]) == (True, 12, 1)
    with psycopg.connect(again.target.dsn) as connection:
        entered = connection.execute(
            "SELECT count(*) FROM transfer_batch WHERE transfer_id = %s", [again.id]
        ).fetchone()
    assert entered == (len(plan.slices),)
    assert (again.undo().removed, DEVICE in str(contents(again.target))) == (1, True)
