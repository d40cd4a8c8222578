"""Tags and parameters that nobody expects, and edits at the worst moment."""

import json
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from backups_portal.transfers.move import settings_copy, settings_undo
from backups_portal.transfers.plan.dry_run import Plan
from restores.snapshot_loader import Target
from tests.transfers.engine import Transfer, add_device
from tests.transfers.test_device_settings import (
    DEVICE,
    INTERVAL,
    ONLY,
    SITE,
    add,
    change,
    everything,
    moved,
    parameters_of,
    tags_of,
)

NEW = "INSERT INTO device_parameter VALUES (%s, %s, 'interval', '7')"


@pytest.mark.parametrize("odd", ["null", "{}", '"x"', '{"key": "a"}', '["a", "b"]', "[null, 1]"])
@pytest.mark.parametrize("is_source", [True, False])
def test_tags_that_are_no_tags(
    source: Target, target: Target, odd: str, *, is_source: bool
) -> None:
    """As a client with SQL may leave them."""
    add(source, [SITE], [INTERVAL])
    add(target, [("site", "South")], [])
    change(source if is_source else target, "UPDATE device SET tags = %s::jsonb", odd)
    before = everything(target)
    transfer = moved(source, target, replace(ONLY, tag="site"))
    assert [one[1:3] for one in parameters_of(target)] == [INTERVAL]
    assert transfer.settings().different == 0
    transfer.undo()
    assert everything(target) == before


@pytest.mark.parametrize("value", [{"mqtt": {"password": "hush"}}, ' [{"apiKey": "hush"}]'])
def test_values_that_name_a_secret_are_not_shown(
    source: Target, target: Target, value: object
) -> None:
    add_device(source, DEVICE, "T", tags=json.dumps([{"key": "link", "value": value}]))
    text = value if isinstance(value, str) else json.dumps(value)
    change(
        source, "INSERT INTO device_parameter VALUES (%s, %s, 'link', %s)", "f" * 24, DEVICE, text
    )
    add_device(target, DEVICE, "T")
    transfer = moved(source, target)
    for settings in (transfer.plan and transfer.plan.settings, transfer.settings()):
        assert settings
        assert settings.devices == 1
        assert "hush" not in str(settings)
        assert str(settings).count("not shown") == 2


def test_long_keys_and_values_are_cut_in_what_is_shown(source: Target, target: Target) -> None:
    """But not in what is compared and moved."""
    long = "x" * 100_000
    add(source, [(f"{long}1", long), (f"{long}2", long)], [("k", f"{long}1")])
    add(target, [(f"{long}1", long), (f"{long}2", "")], [("k", f"{long}2")])
    transfer = moved(source, target)
    assert transfer.plan
    assert len(str(transfer.plan.as_json())) < 2_000
    assert tags_of(target)[1] == (f"{long}2", long)
    assert parameters_of(target)[0][2] == f"{long}1"


def test_moves_are_undone_from_the_last_to_the_first(source: Target, target: Target) -> None:
    add(source, [SITE], [INTERVAL])
    add(target, [("site", "South")], [("interval", "5"), ("interval", "6")])
    states, transfers = [], []
    for value in ("60", "99", "7"):
        change(source, "UPDATE device_parameter SET value = %s", value)
        states.append(everything(target))
        transfers.append(moved(source, target))
    while transfers:
        assert transfers.pop().undo().kept == []
        assert everything(target) == states.pop()


def test_an_earlier_move_takes_nothing_away_from_a_later_one(
    source: Target, target: Target
) -> None:
    add(source, [SITE], [INTERVAL])
    add(target, [], [("interval", "5")])
    first = moved(source, target)
    between = everything(target)
    change(source, "UPDATE device_parameter SET value = '99'")
    last = moved(source, target)
    now = everything(target)
    assert [one["reason"] for one in first.undo().kept] == ["they were edited since"]
    assert everything(target) == now
    assert last.undo().kept == []
    assert everything(target) == between


def test_a_parameter_that_came_during_a_move_outlives_an_undo(
    source: Target, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client adds it after the move has noted what was there."""
    add(source, [], [INTERVAL])
    add(target, [], [("interval", "5")])
    write = settings_copy._add

    def adding(*args: Any) -> list[str]:
        change(target, NEW, "f" * 24, DEVICE)
        return write(*args)

    with monkeypatch.context() as patched:
        patched.setattr(settings_copy, "_add", adding)
        transfer = moved(source, target)
    there = everything(target)
    assert [one["reason"] for one in transfer.undo().kept] == ["they were edited since"]
    assert everything(target) == there
    assert [one[2] for one in parameters_of(target)] == ["60", "7"]


def test_a_parameter_that_comes_during_an_undo_stays(
    source: Target, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client adds it after the undo has found that nothing was edited."""
    add(source, [SITE], [INTERVAL])
    add(target, [], [("interval", "5")])
    transfer = moved(source, target)
    execute = psycopg.Connection.execute

    def adding(self: psycopg.Connection[Any], query: Any, *args: Any) -> psycopg.Cursor[Any]:
        if query is settings_undo.TAKE:
            change(target, NEW, "f" * 24, DEVICE)
        return execute(self, query, *args)

    monkeypatch.setattr(psycopg.Connection, "execute", adding)
    assert transfer.undo().device_settings == 1
    assert (tags_of(target), [one[2] for one in parameters_of(target)]) == ([], ["5", "7"])


def test_a_plan_of_an_older_version_brings_nothing_back(source: Target, target: Target) -> None:
    """Its dry run has shown no settings to the owner."""
    add(source, [SITE], [INTERVAL])
    add(target, [], [])
    before = everything(target)
    transfer = Transfer(source, target, ONLY)
    transfer.plan = Plan.from_json({**transfer.dry_run().as_json(), "settings": None})
    transfer.run()
    assert everything(target) == before
