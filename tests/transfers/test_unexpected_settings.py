"""Tags and parameters that nobody expects, and edits at the worst moment."""

from dataclasses import replace

import pytest

from restores.snapshot_loader import Target
from tests.transfers.test_device_settings import (
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
