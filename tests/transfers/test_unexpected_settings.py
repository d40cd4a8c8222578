"""Tags and parameters that nobody expects, and edits at the worst moment."""

import json
from dataclasses import replace

import pytest

from restores.snapshot_loader import Target
from tests.transfers.engine import add_device
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
