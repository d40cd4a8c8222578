"""The documentation's Python script works exactly as printed."""

import sys
from pathlib import Path

from tests.contract.conftest import Endpoint
from tests.contract.examples import assert_moves, printed


def test_the_printed_script_moves_a_device(
    endpoints: tuple[Endpoint, Endpoint], tmp_path: Path
) -> None:
    assert_moves([sys.executable, "-c", printed("python")], endpoints, tmp_path)
