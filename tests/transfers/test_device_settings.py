"""Tags and parameters come back to devices that are there, and go again with an undo."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from backups_portal.transfers.errors import TransferError
from backups_portal.transfers.plan.selection import Choice, DeviceSettings
from restores.snapshot_loader import Target
from tests.transfers.engine import Transfer, add_device, rows_of, send_records

DEVICE, OTHER = "a" * 24, "b" * 24
ONLY = Choice(device_settings=DeviceSettings.ONLY)
Pairs = list[tuple[str, str]]
# A parameter's id says which one it is.
IDS = "abcdef0123456789"


def ids(count: int) -> list[str]:
    return [letter * 24 for letter in IDS[:count]]


def add(database: Target, tags: Pairs, parameters: Pairs, device: str = DEVICE) -> None:
    """A device with settings; parameters have ids in their order, and were read."""
    shown = json.dumps([{"key": key, "value": value} for key, value in tags])
    add_device(database, device, f"Truck {device[0]}", tags=shown)
    with psycopg.connect(database.dsn) as connection:
        for number, (key, value) in zip(ids(len(parameters)), parameters, strict=True):
            connection.execute(
                "INSERT INTO device_parameter VALUES (%s, %s, %s, %s, true)",
                [device[:12] + number[:12], device, key, value],
            )


def change(database: Target, statement: str, *values: Any) -> None:
    with psycopg.connect(database.dsn) as connection:
        connection.execute(statement.encode(), values)


def wait_for_waiter(database: Target) -> None:
    """Until a session waits for a lock."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    for _ in range(200):
        with psycopg.connect(database.dsn) as connection:
            row = connection.execute(f"{waiting} AND wait_event_type = 'Lock'".encode()).fetchone()
        if row and row[0]:
            return
        time.sleep(0.05)
    raise AssertionError("nobody waits")


def everything(database: Target, device: str = "") -> list[str]:
    """All that there is of devices and parameters, or of one device, to the last digit."""
    rows = "SELECT d::text FROM device d UNION ALL SELECT p::text FROM device_parameter p"
    with psycopg.connect(database.dsn) as connection:
        found = [str(row[0]) for row in connection.execute(f"{rows} ORDER BY 1".encode())]
    return [row for row in found if device in row]


def tags_of(database: Target, device: str = DEVICE) -> Pairs:
    with psycopg.connect(database.dsn) as connection:
        row = connection.execute("SELECT tags FROM device WHERE id = %s", [device]).fetchone()
    return [(tag["key"], tag["value"]) for tag in row[0]] if row else []


def parameters_of(database: Target, device: str = DEVICE) -> list[tuple[str, str, str, bool]]:
    with psycopg.connect(database.dsn) as connection:
        return connection.execute(
            "SELECT left(right(id, 12), 1), key, value, sent FROM device_parameter"
            " WHERE device_id = %s ORDER BY id",
            [device],
        ).fetchall()


def moved(source: Target, target: Target, choice: Choice = ONLY) -> Transfer:
    transfer = Transfer(source, target, choice)
    transfer.dry_run()
    transfer.run()
    return transfer


def changes(transfer: Transfer) -> list[tuple[str, str, list[str], list[str]]]:
    plan = transfer.dry_run()
    assert plan.settings
    return [
        (one["what"], one["key"], one["before"], one["after"])
        for line in plan.settings.lines
        for one in line["changes"]
    ]


SITE, INTERVAL = ("site", "North"), ("interval", "60")
CASES = {
    "no change": ([SITE], [INTERVAL], [SITE], [INTERVAL], []),
    "nothing on either side": ([], [], [], [], []),
    "another order": ([SITE, ("a", "1")], [], [("a", "1"), SITE], [], []),
    "a tag was edited": (
        [SITE], [], [("new", "1"), ("site", "South")], [],
        [("tag", "site", ["South"], ["North"])],
    ),
    "a tag was removed": ([SITE], [], [], [], [("tag", "site", [], ["North"])]),
    "a tag was added": ([SITE], [], [SITE, ("new", "1")], [], []),
    "a parameter was edited": (
        [], [INTERVAL], [], [("interval", "5"), ("new", "1")],
        [("parameter", "interval", ["5"], ["60"])],
    ),
    "a parameter was removed": ([], [INTERVAL], [], [], [("parameter", "interval", [], ["60"])]),
    "a parameter was added": ([], [INTERVAL], [], [INTERVAL, ("new", "1")], []),
    "all are gone from the source": ([], [], [SITE], [INTERVAL], []),
    "a key twice": (
        [SITE, ("site", "East")], [INTERVAL, ("interval", "90")],
        [("site", "East")], [("interval", "61"), ("interval", "90"), ("interval", "91")],
        [
            ("tag", "site", ["East"], ["North", "East"]),
            ("parameter", "interval", ["61", "90", "91"], ["60", "90"]),
        ],
    ),
    "the same value twice": (
        [SITE, SITE], [INTERVAL, INTERVAL], [SITE], [INTERVAL],
        [
            ("tag", "site", ["North"], ["North", "North"]),
            ("parameter", "interval", ["60"], ["60", "60"]),
        ],
    ),
    "any text": (
        [("ключ '\"\\ 漢", "\x01\u202e😀")], [("", " \t\n")], [], [("", "")],
        [
            ("tag", "ключ '\"\\ 漢", [], ["\x01\u202e😀"]),
            ("parameter", "", [""], [" \t\n"]),
        ],
    ),
    "what opens something is not shown": (
        [("api_key", "x")], [("wifi_password", "old")], [], [("wifi_password", "new")],
        [
            ("tag", "api_key", [], ["not shown"]),
            ("parameter", "wifi_password", ["not shown"], ["not shown"]),
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_keys_of_the_source_come_back_and_an_undo_takes_them_away(
    source: Target, target: Target, case: str
) -> None:
    tags, parameters, other_tags, other_parameters, expected = CASES[case]
    add(source, tags, parameters)
    add(target, other_tags, other_parameters)
    before, left = everything(target), everything(source)
    assert changes(Transfer(source, target, ONLY)) == expected

    transfer = moved(source, target)
    known = {key for key, _ in tags}
    kept = [tag for tag in other_tags if tag[0] not in known]
    assert sorted(tags_of(target)) == sorted([*tags, *kept])
    known = {key for key, _ in parameters}
    kept = [one for one in other_parameters if one[0] not in known]
    assert sorted(one[1:3] for one in parameters_of(target)) == sorted([*parameters, *kept])
    assert transfer.settings().devices == bool(expected)
    assert transfer.settings().different == 0
    assert everything(source) == left

    # A second move finds nothing to do.
    again, then = moved(source, target), everything(target)
    assert (again.plan and again.plan.settings and again.plan.settings.devices) == 0
    assert again.settings().devices == 0
    assert everything(target) == then
    assert again.undo().device_settings == 0

    undone = transfer.undo()
    assert (undone.device_settings, undone.kept) == (bool(expected), [])
    assert everything(target) == before


def test_settings_stay_unless_they_are_asked_for(source: Target, target: Target) -> None:
    add(source, [SITE], [INTERVAL])
    add(target, [], [])
    before = everything(target)
    transfer = moved(source, target, Choice())
    assert transfer.plan
    assert transfer.plan.settings is None
    assert everything(target) == before


def test_only_keys_that_differ_are_written(source: Target, target: Target) -> None:
    """A device has to read again what changed, and nothing else; ids stay where they can."""
    add(source, [], [("interval", "60"), ("mode", "eco"), ("site", "North"), ("gone", "1")])
    add(target, [], [("interval", "5"), ("mode", "eco"), ("new", "1")])
    change(target, "UPDATE device SET updated_at = '2020-01-01'")
    moved(source, target)
    of_key = {one[1]: one for one in parameters_of(target)}
    # Another parameter has its id: it gets a new one.
    assert of_key.pop("site")[1:] == ("site", "North", False)
    assert sorted(of_key.values()) == [
        ("a", "interval", "60", False),
        ("b", "mode", "eco", True),
        ("c", "new", "1", True),
        ("d", "gone", "1", False),
    ]
    assert any("2020-01-01" in row for row in everything(target))


def test_the_same_parameter_of_a_key_gets_its_value_back(source: Target, target: Target) -> None:
    add(source, [], [("port", "1"), ("port", "2"), ("port", "3")])
    add(target, [], [("port", "8"), ("port", "2"), ("port", "9")])
    moved(source, target)
    assert [one[:3] for one in parameters_of(target)] == [
        *[("a", "port", "1"), ("b", "port", "2"), ("c", "port", "3")]
    ]
    add(source, [], [("mode", "eco"), ("site", "North")], OTHER)
    add(target, [], [("site", "East"), ("site", "West")], OTHER)
    moved(source, target)
    assert ("b", "site", "North", False) in parameters_of(target, OTHER)


def test_numbers_are_brought_back_to_the_last_digit(source: Target, target: Target) -> None:
    exact = '[{"key": "n", "value": 1.00}, {"key": "n", "value": 12345678901234567890.5}]'
    add_device(source, DEVICE, "Truck", tags=exact)
    add_device(target, DEVICE, "Truck", tags='[{"key": "n", "value": 1.0}, "odd", {"x": [1.50]}]')
    before = everything(target)
    transfer = moved(source, target)
    with psycopg.connect(target.dsn) as connection:
        row = connection.execute("SELECT tags::text FROM device").fetchone()
    assert row == (f'{exact[:-1]}, "odd", {{"x": [1.50]}}]',)
    transfer.undo()
    assert everything(target) == before


def test_ids_of_devices_are_renamed(source: Target, target: Target) -> None:
    """As they are in what a move creates."""
    add(source, [("gateway", DEVICE), (f"of {DEVICE}", "1")], [("peer", f"tago:{DEVICE}")])
    add_device(target, OTHER, "Truck a")
    assert changes(Transfer(source, target, ONLY))[0] == ("tag", "gateway", [], [OTHER])
    moved(source, target)
    assert tags_of(target, OTHER) == [("gateway", OTHER), (f"of {OTHER}", "1")]
    assert parameters_of(target, OTHER)[0][1:3] == ("peer", f"tago:{OTHER}")
    assert changes(Transfer(source, target, ONLY)) == []


def test_a_device_that_is_missing_is_created_with_its_settings(
    source: Target, target: Target
) -> None:
    add(source, [SITE], [INTERVAL])
    send_records(source, DEVICE, {"variable": "t", "value": 1})
    transfer = moved(source, target)
    assert (tags_of(target), parameters_of(target)) == ([SITE], [("a", *INTERVAL, True)])
    assert (transfer.settings().devices, rows_of(target)) == (0, [])
    undone = transfer.undo()
    assert (undone.resources, undone.device_settings, everything(target)) == (1, 0, [])


def test_records_move_beside_settings(source: Target, target: Target) -> None:
    add(source, [SITE], [])
    add(target, [], [])
    send_records(source, DEVICE, {"variable": "t", "value": 1})
    before = everything(target)
    transfer = moved(source, target, Choice(device_settings=DeviceSettings.BRING_BACK))
    assert (rows_of(target), tags_of(target)) == (rows_of(source), [SITE])
    undone = transfer.undo()
    assert (undone.removed, undone.device_settings, rows_of(target)) == (1, 1, [])
    assert everything(target) == before


OF_DEVICE, OF_INTERVAL = f"WHERE id = '{DEVICE}'", f"WHERE id = '{DEVICE[:12]}{'a' * 12}'"
EDITS = {
    "a tag was edited": f"UPDATE device SET tags = tags - 0 {OF_DEVICE}",
    "a tag was added": f"UPDATE device SET tags = tags || '[{{}}]' {OF_DEVICE}",
    "a parameter was edited": f"UPDATE device_parameter SET value = '7' {OF_INTERVAL}",
    "a parameter was renamed": f"UPDATE device_parameter SET key = 'x' {OF_INTERVAL}",
    "a parameter was deleted": f"DELETE FROM device_parameter {OF_INTERVAL}",
    "a parameter was added": (
        f"INSERT INTO device_parameter VALUES ('{'f' * 24}', '{DEVICE}', 'x', 'y')"
    ),
}


@pytest.mark.parametrize("edit", EDITS)
def test_settings_that_were_edited_since_stay(source: Target, target: Target, edit: str) -> None:
    for device in (DEVICE, OTHER):
        add(source, [SITE], [INTERVAL], device)
        add(target, [("site", "South")], [("interval", "5")], device)
    transfer = moved(source, target)
    change(target, EDITS[edit])
    edited = everything(target, DEVICE)
    undone = transfer.undo()
    assert (undone.device_settings, undone.kept) == (
        1,
        [
            {
                "kind": "device_settings",
                "id": DEVICE,
                "name": "Truck a",
                "reason": "they were edited since",
            }
        ],
    )
    assert everything(target, DEVICE) == edited
    assert tags_of(target, OTHER) == [("site", "South")]
    assert parameters_of(target, OTHER) == [("a", "interval", "5", True)]


def test_a_device_that_was_deleted_since_is_reported(source: Target, target: Target) -> None:
    add(source, [SITE], [])
    add(target, [], [])
    transfer = moved(source, target)
    change(target, "DELETE FROM device")
    assert transfer.undo().kept == [
        {"kind": "device_settings", "id": DEVICE, "name": "", "reason": "it was deleted since"}
    ]


def test_other_changes_of_a_device_are_no_edits(source: Target, target: Target) -> None:
    add(source, [SITE], [INTERVAL, ("mode", "eco")])
    add(target, [("site", "South")], [("interval", "5"), ("mode", "full")])
    transfer = moved(source, target)
    change(target, "UPDATE device SET name = 'Lorry', last_input = now(), updated_at = now()")
    # It has read the interval, which it has to read again then, but not the mode.
    change(target, "UPDATE device_parameter SET sent = true WHERE key = 'interval'")
    undone = transfer.undo()
    assert (undone.device_settings, undone.kept) == (1, [])
    assert tags_of(target) == [("site", "South")]
    assert parameters_of(target) == [("a", "interval", "5", False), ("b", "mode", "full", True)]
    assert any("Lorry" in row for row in everything(target))


def test_a_device_that_another_transfer_made_can_go_too(source: Target, target: Target) -> None:
    add(source, [SITE], [INTERVAL])
    made = moved(source, target)
    change(source, """UPDATE device SET tags = '[{"key": "site", "value": "East"}]'""")
    transfer = moved(source, target)
    assert tags_of(target) == [("site", "East")]
    transfer.undo()
    assert (made.undo().kept, everything(target)) == ([], [])


def test_a_device_that_is_gone_stops_the_move(source: Target, target: Target) -> None:
    add(source, [SITE], [])
    add(target, [], [])
    transfer = Transfer(source, target, ONLY)
    transfer.dry_run()
    with pytest.raises(TransferError, match="was deleted in the meantime"):
        transfer.run(lambda _: change(target, "DELETE FROM device"))


def test_an_edit_that_is_under_way_is_waited_for_and_not_lost(
    source: Target, target: Target
) -> None:
    add(source, [SITE], [INTERVAL])
    add(target, [], [("interval", "5")])
    transfer = Transfer(source, target, ONLY)
    transfer.dry_run()
    with psycopg.connect(target.dsn) as client, ThreadPoolExecutor(1) as threads:
        client.execute("UPDATE device_parameter SET value = '7'")
        move = threads.submit(transfer.run)
        wait_for_waiter(target)
        # New ones need not wait for the move.
        client.execute(
            "INSERT INTO device_parameter VALUES (%s, %s, 'new', '1')", ["f" * 24, DEVICE]
        )
        client.commit()
        move.result()
    assert [one[1:3] for one in parameters_of(target)] == [INTERVAL, ("new", "1")]
    transfer.undo()
    assert [one[1:3] for one in parameters_of(target)] == [("interval", "7"), ("new", "1")]
