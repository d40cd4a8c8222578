"""Resources arrive, and return by an undo, with exactly the values that SQL has stored."""

from typing import Any

import psycopg
import pytest

from backups_portal.transfers.plan.selection import Choice, Rule
from restores.snapshot_loader import Target
from tests.projectdatabases import DEVICE
from tests.transfers.engine import Transfer, add_device

BOARD, OTHER, PART = "b" * 24, "c" * 24, "a" * 24
DEEP = "[" * 3000 + "]" * 3000
ODD = (
    *(DEEP, f'{{"a": {DEEP}, "own": "{PART} of {BOARD}"}}', "7" * 5000, "1e400"),
    *('{"a": 1.00000000000000000000001, "b": 12345678901234567890.5}', '"5"', "5.0"),
    '{"\\"": "\\\\", "é": "\\ud83d\\ude00", "n": [0.30000000000000004, -0.0]}',
)
SHOWN = "SELECT label, tags::text, settings::text FROM dashboard ORDER BY label"
PARTS = "SELECT settings::text FROM widget"


def asked(database: Target, *queries: str) -> list[list[tuple[Any, ...]]]:
    with psycopg.connect(database.dsn) as connection:
        return [connection.execute(query.encode()).fetchall() for query in queries]


def add_board(database: Target, board: str, settings: str) -> None:
    with psycopg.connect(database.dsn) as connection:
        connection.execute(
            "INSERT INTO dashboard (id, label, settings, tags) VALUES (%s, '5', %s, %s)",
            [board, settings, settings],
        )


@pytest.mark.parametrize("odd", ODD, ids=range(len(ODD)))
def test_odd_settings_arrive_and_come_back(source: Target, target: Target, odd: str) -> None:
    add_device(source, DEVICE, "Truck")
    add_board(source, BOARD, odd)
    add_board(target, OTHER, f'{{"kept": 1.50, "deep": {DEEP}}}')
    with psycopg.connect(source.dsn) as connection:
        connection.execute(
            "INSERT INTO widget (id, dashboard_id, settings) VALUES (%s, %s, %s)",
            [PART, BOARD, odd],
        )
    before = asked(target, SHOWN, PARTS)
    transfer = Transfer(source, target, Choice(kinds=("dashboard",), rule=Rule.REPLACE))
    transfer.run()
    there = asked(source, SHOWN, PARTS)
    # The dashboard is matched by name, so that its part has another id.
    [[(part,)]] = asked(target, "SELECT id::text FROM widget")
    assert part != PART
    moved = [
        [tuple(cell.replace(PART, part).replace(BOARD, OTHER) for cell in row) for row in rows]
        for rows in there
    ]
    assert asked(target, SHOWN, PARTS) == moved
    undone = transfer.undo()
    assert (undone.resources, undone.kept) == (2, [])
    assert asked(target, SHOWN, PARTS) == before
