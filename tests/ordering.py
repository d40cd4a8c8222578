"""In which order tests run."""

from pathlib import Path

import pytest

TESTS = Path(__file__).parent
# They wait more than they work: for leases that run out, for workers, pages and servers. Those with
# the longest single tests first: the last ones are shared out among processes that are done.
WAITING = ("demo", "benchmarks", "faults", "browser", "contract")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that wait begin, so that none is left to wait alone at the end."""
    items.sort(key=_place)


def _place(item: pytest.Item) -> tuple[int, bool]:
    folder = item.path.relative_to(TESTS).parts[0]
    place = WAITING.index(folder) if folder in WAITING else len(WAITING)
    # Those that share a worker are together: it lives until a test that does without.
    return place, "worker" not in getattr(item, "fixturenames", ())
