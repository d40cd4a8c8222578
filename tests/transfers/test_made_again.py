"""A device that appears, or is deleted and made again, while its records move."""

import psycopg
import pytest

from backups_portal.projectdb.devices import delete_device
from backups_portal.transfers.errors import TransferError
from backups_portal.transfers.move.batches import Outcome
from restores.snapshot_loader import Target
from tests.projectdatabases import DEVICE, add_rows, open_database
from tests.projectdatabases import add_device as add_device_with_series
from tests.transfers.engine import Transfer, add_device


def orphans(database: Target) -> int:
    """Count the records without a device."""
    with psycopg.connect(database.dsn) as connection:
        row = connection.execute(
            "SELECT count(*) FROM variable WHERE series_id NOT IN (SELECT id FROM series)"
        ).fetchone()
    return row[0] if row else 0


def name_in(database: Target) -> str:
    with psycopg.connect(database.dsn) as connection:
        row = connection.execute("SELECT name FROM device WHERE id = %s", [DEVICE]).fetchone()
    return row[0] if row else ""


def test_records_do_not_lose_their_device(source: Target, target: Target) -> None:
    with open_database(source) as connection:
        add_device_with_series(connection)
        for day in range(6):
            add_rows(connection, day, 2)
    calls = iter(range(100))

    def make_again(outcome: Outcome) -> None:
        if next(calls) == 3:
            with open_database(target) as connection:
                delete_device(connection, DEVICE)
            # Another transfer from the same backup does this.
            add_device(target, DEVICE, "Truck")

    # Near the limit batches run one by one, so that none holds the device in between.
    transfer = Transfer(source, target, batch_rows=2, limit=11)
    with pytest.raises(TransferError):
        transfer.run(make_again)
    assert orphans(target) == 0
    (line,) = transfer.run()
    assert orphans(target) == 0
    assert not line.is_equal, "what had been moved went with the device"
    assert line.stored == 12 - 6


def test_what_came_after_the_dry_run_is_left_as_it_is(source: Target, target: Target) -> None:
    with open_database(source) as connection:
        add_device_with_series(connection)
        add_rows(connection, 0, 2)
    transfer = Transfer(source, target)
    transfer.dry_run()
    add_device(target, DEVICE, "Edited by the owner")

    (line,) = transfer.run()

    assert (line.is_equal, line.stored) == (True, 2)
    assert name_in(target) == "Edited by the owner"
    undone = transfer.undo()
    assert (undone.removed, undone.kept) == (2, [])
    assert name_in(target) == "Edited by the owner"
