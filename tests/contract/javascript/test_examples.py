"""The documentation's JavaScript script works exactly as printed."""

from pathlib import Path

from tests.contract.conftest import Endpoint
from tests.contract.examples import assert_moves, printed
from tests.contract.javascript.node import HERE, require_node


def test_the_printed_script_moves_a_device(
    endpoints: tuple[Endpoint, Endpoint], tmp_path: Path
) -> None:
    require_node()
    (tmp_path / "node_modules").symlink_to(HERE / "node_modules")
    (tmp_path / "move.mjs").write_text(printed("js"))
    assert_moves(["node", "move.mjs"], endpoints, tmp_path)
