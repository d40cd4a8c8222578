"""The order in which tests run."""

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
# These mostly wait: for leases to expire, for workers, pages and servers. Those with the longest
# single tests come first, because the last tests are distributed to idle processes.
WAITING = ("demo", "benchmarks", "faults", "browser", "contract")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run waiting tests first, so that none waits alone at the end."""
    items.sort(key=_place)


def _place(item: pytest.Item) -> tuple[int, bool]:
    folder = item.path.relative_to(TESTS).parts[0]
    place = WAITING.index(folder) if folder in WAITING else len(WAITING)
    # Tests with the shared worker run together, since it ends at the first test without it.
    return place, "worker" not in getattr(item, "fixturenames", ())
