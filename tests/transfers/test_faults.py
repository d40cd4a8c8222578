"""Changes and faults in the target while a transfer runs, and their effect on it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import psycopg
import pytest

from backups_portal.projectdb.devices import delete_device
from backups_portal.transfers.errors import TransferError
from backups_portal.transfers.move.batches import Outcome
from backups_portal.transfers.move.database_pair import FULL_DISK, in_words
from backups_portal.transfers.move.transfer_undo import undo
from backups_portal.transfers.move.undo_progress import Undone
from backups_portal.transfers.plan.selection import Choice, Rule
from restores.snapshot_loader import Target
from tests.transfers.engine import Transfer, add_device, ids_of, rows_of, send_records

DEVICE, OTHER = "a" * 24, "b" * 24


def readings(count: int, **values: Any) -> list[dict[str, Any]]:
    """Return one reading per day."""
    return [
        {
            "variable": "t",
            "value": number,
            "group": f"g{number}",
            "time": datetime(2026, 3, 1 + number, tzinfo=UTC),
            **values,
        }
        for number in range(count)
    ]


@pytest.fixture
def transfer(source: Target, target: Target) -> Transfer:
    """A transfer of ten readings in five batches into an existing, empty device."""
    for database in (source, target):
        add_device(database, DEVICE, "Truck")
    send_records(source, DEVICE, *readings(10))
    made = Transfer(source, target, batch_rows=2)
    assert len(made.dry_run().slices) == 5
    return made


def at_batch(numbers: int | tuple[int, ...], act: Callable[[], None]) -> Callable[[Outcome], None]:
    """Return a callback that acts before some of the batches."""
    calls = iter(range(100))
    wanted = numbers if isinstance(numbers, range) else (numbers,)

    def on_batch(outcome: Outcome) -> None:
        if next(calls) in wanted:
            act()

    return on_batch


def test_others_write_into_the_target_meanwhile(transfer: Transfer) -> None:
    theirs = [*readings(3, value=99)[2:], *readings(10)[8:9], *readings(2, variable="h")]

    lines = transfer.run(at_batch(1, lambda: send_records(transfer.target, DEVICE, *theirs)))

    (line,) = lines
    assert line.is_equal
    # One reading had arrived with another value, and one unchanged: neither is duplicated.
    assert (line.fates["add"], line.fates["conflict"], line.fates["present"]) == (8, 1, 1)
    assert len(rows_of(transfer.target)) == 8 + len(theirs)
    assert transfer.undo().removed == 8
    assert len(rows_of(transfer.target)) == len(theirs)


def test_a_writer_at_work_holds_nobody_up(transfer: Transfer) -> None:
    with psycopg.connect(transfer.target.dsn) as writer:
        writer.execute("SELECT FROM device FOR KEY SHARE")
        writer.execute(
            """INSERT INTO series (device_id, variable, type, unit)
               VALUES (%s, 'h', 'number', NULL)""",
            [DEVICE],
        )
        assert transfer.run()[0].stored == 10


def test_a_device_that_is_deleted_meanwhile(source: Target, target: Target) -> None:
    """It is deleted between two batches, long before the last one."""
    for database in (source, target):
        add_device(database, DEVICE, "Truck")
    send_records(source, DEVICE, *readings(30))
    transfer = Transfer(source, target, batch_rows=1)

    def delete() -> None:
        with psycopg.connect(target.dsn) as connection:
            delete_device(connection, DEVICE)

    deleter = threading.Thread(target=delete)

    def begin_or_end() -> None:
        if deleter.ident is None:
            deleter.start()
        deleter.join(0.05)

    with pytest.raises(TransferError, match="A device of the target was deleted"):
        transfer.run(at_batch(range(2, 29), begin_or_end))
    deleter.join()
    assert rows_of(target) == []
    undone = transfer.undo()
    assert undone.removed == 0
    assert 1 <= undone.left < 30


@contextmanager
def full_disk(target: Target) -> Iterator[None]:
    """Make the server report a full disk in the third batch."""
    with psycopg.connect(target.dsn) as connection:
        connection.execute(
            """CREATE FUNCTION no_room() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                   IF NEW.number_value >= 4 THEN
                       RAISE EXCEPTION 'could not extend file: No space left on device'
                       USING ERRCODE = 'disk_full';
                   END IF;
                   RETURN NEW;
               END $$;
               CREATE TRIGGER no_room BEFORE INSERT ON variable
               FOR EACH ROW EXECUTE FUNCTION no_room()"""
        )
    try:
        yield
    finally:
        with psycopg.connect(target.dsn) as connection:
            connection.execute("DROP FUNCTION no_room CASCADE")


def test_a_full_disk_keeps_whole_batches_and_goes_on_when_there_is_room(
    transfer: Transfer,
) -> None:
    with (
        full_disk(transfer.target),
        pytest.raises(TransferError, match=FULL_DISK.split(".")[0]),
        in_words(),
    ):
        transfer.run()
    # The second batch may run in parallel with the third.
    assert len(rows_of(transfer.target)) in (2, 4)
    (line,) = transfer.run()
    assert line.is_equal
    assert rows_of(transfer.target) == rows_of(transfer.source)


class KilledError(Exception):
    """The worker was killed."""


def test_an_undo_that_is_killed_goes_on(transfer: Transfer) -> None:
    before = readings(1, variable="h")
    send_records(transfer.target, DEVICE, *before)
    kept = rows_of(transfer.target)
    transfer.run()

    def kill() -> None:
        raise KilledError

    with psycopg.connect(transfer.target.dsn, autocommit=True) as target:
        with pytest.raises(KilledError):
            undo(target, transfer.id, Undone(), kill)
        assert len(rows_of(transfer.target)) == 9
        with pytest.raises(TransferError, match="was undone"):
            transfer.run()
    assert transfer.undo().removed == 8
    assert rows_of(transfer.target) == kept


def test_a_replaced_resource_comes_back_unless_it_was_edited_since(
    source: Target, target: Target
) -> None:
    for database, label in ((source, "old"), (target, "new")):
        for dashboard in (DEVICE, OTHER):
            _execute(
                database, "INSERT INTO dashboard (id, label) VALUES (%s, %s)", dashboard, label
            )
    transfer = Transfer(source, target, Choice(devices=(), kinds=("dashboard",), rule=Rule.REPLACE))
    transfer.run()
    assert _labels(target) == ["old", "old"]
    _execute(target, "UPDATE dashboard SET label = 'mine' WHERE id = %s", OTHER)

    undone = transfer.undo()

    assert _labels(target) == ["new", "mine"]
    assert [item["reason"] for item in undone.kept] == ["it was edited since"]


def _execute(database: Target, statement: str, *values: Any) -> None:
    with psycopg.connect(database.dsn) as connection:
        connection.execute(statement.encode(), values)


def _labels(database: Target) -> list[str]:
    with psycopg.connect(database.dsn) as connection:
        rows = connection.execute("SELECT label FROM dashboard ORDER BY id")
        return [label for (label,) in rows]


def test_records_get_new_ids(transfer: Transfer) -> None:
    transfer.run()
    assert len(ids_of(transfer.target)) == 10
    assert not ids_of(transfer.target) & ids_of(transfer.source)
