"""In which order tests run, and how many at a time."""

import os
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
# They wait more than they work: for leases that run out, for workers, pages and servers.
WAITING = ("faults", "browser", "contract", "demo", "benchmarks")


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Three for two cores: while one waits, the others work."""
    cores = os.cpu_count() or 1
    return cores + cores // 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that wait begin, so that none is left to wait alone at the end."""
    items.sort(key=lambda item: item.path.relative_to(TESTS).parts[0] not in WAITING)
