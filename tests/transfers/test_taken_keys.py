"""A unique value such as a slug that is taken stops neither a move nor its undoing."""

import pytest

from backups_portal.transfers.plan.selection import Choice, Rule
from restores.snapshot_loader import Target
from tests.projectdatabases import open_database
from tests.transfers.engine import Transfer

ONE, OTHER, THIRD = "1" * 24, "2" * 24, "3" * 24
# By kind: the statement that creates one.
MAKE = {
    "dictionary": "INSERT INTO dictionary (id, name, slug) VALUES (%s, 'D', %s)",
    "secret": """INSERT INTO secret (id, key, sealed_value, value_length)
        VALUES (%s, %s, 'sealed', 6)""",
    "run_user": """INSERT INTO run_user (id, name, email, password_hash)
        VALUES (%s, 'U', %s, 'hash')""",
}
KEY = {"dictionary": "slug", "secret": "key", "run_user": "email"}


def add(database: Target, kind: str, keys: dict[str, str]) -> None:
    with open_database(database) as connection:
        for resource, key in keys.items():
            connection.execute(MAKE[kind].encode(), [resource, key])


def keys_of(database: Target, kind: str) -> dict[object, object]:
    with open_database(database) as connection:
        rows = connection.execute(f"SELECT id, {KEY[kind]} FROM {kind}".encode())
        return dict(rows)


def moved(transfer: Transfer, kind: str) -> dict[str, str]:
    """Return each resource's fate after a successful move and undo."""
    before = keys_of(transfer.target, kind)
    plan = transfer.dry_run()
    transfer.run()
    there = keys_of(transfer.target, kind)
    assert there.items() >= before.items() or transfer.choice.rule is Rule.REPLACE
    transfer.undo()
    assert keys_of(transfer.target, kind) == before
    return {item.source: item.fate for item in plan.placements}


@pytest.mark.parametrize("rule", Rule)
@pytest.mark.parametrize("kind", MAKE)
def test_a_key_that_another_one_has_by_now_is_a_conflict(
    source: Target, target: Target, kind: str, rule: Rule
) -> None:
    add(source, kind, {ONE: "a", OTHER: "b"})
    add(target, kind, {OTHER: "a", THIRD: "b"})
    fates = moved(Transfer(source, target, Choice(kinds=(kind,), rule=rule)), kind)
    assert fates == {ONE: "conflict", OTHER: "conflict"}


@pytest.mark.parametrize("rule", Rule)
@pytest.mark.parametrize("kind", MAKE)
def test_case_matters_where_the_database_says_so(
    source: Target, target: Target, kind: str, rule: Rule
) -> None:
    add(source, kind, {ONE: "KEY"})
    add(target, kind, {OTHER: "key"})
    (fate,) = moved(Transfer(source, target, Choice(kinds=(kind,), rule=rule)), kind).values()
    same = "replaced" if rule is Rule.REPLACE else "conflict"
    assert fate == (same if kind == "run_user" else "created")


@pytest.mark.parametrize("rule", Rule)
@pytest.mark.parametrize("kind", MAKE)
def test_a_key_that_is_taken_after_the_dry_run_stops_no_move(
    source: Target, target: Target, kind: str, rule: Rule
) -> None:
    add(source, kind, {ONE: "a", OTHER: "b"})
    transfer = Transfer(source, target, Choice(kinds=(kind,), rule=rule))
    transfer.dry_run()
    add(target, kind, {THIRD: "a"})
    transfer.run()
    assert keys_of(target, kind) == {THIRD: "a", OTHER: "b"}
    assert transfer.undo().kept == []
    assert keys_of(target, kind) == {THIRD: "a"}


@pytest.mark.parametrize("kind", MAKE)
def test_a_key_that_is_taken_meanwhile_stops_no_undoing(
    source: Target, target: Target, kind: str
) -> None:
    add(source, kind, {ONE: "a", OTHER: "b"})
    add(target, kind, {ONE: "old"})
    transfer = Transfer(source, target, Choice(kinds=(kind,), rule=Rule.REPLACE))
    transfer.run()
    assert keys_of(target, kind) == {ONE: "a", OTHER: "b"}
    add(target, kind, {THIRD: "old"})
    undone = transfer.undo()
    assert undone.resources == 1
    assert undone.kept == [{"kind": kind, "id": ONE, "reason": "another one has its key by now"}]
    assert keys_of(target, kind) == {ONE: "a", THIRD: "old"}
