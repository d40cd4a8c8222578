"""In which order tests run."""

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
# They wait more than they work: for leases that run out, for workers, pages and servers. The
# longest first.
WAITING = ("faults", "browser", "contract", "demo", "benchmarks")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that wait begin, so that none is left to wait alone at the end."""
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    folder = item.path.relative_to(TESTS).parts[0]
    return WAITING.index(folder) if folder in WAITING else len(WAITING)
