"""Counts what the suite has tried, and says so in one line at its end.

A plugin: inputs are what hypothesis and schemathesis made up, accesses the cells of the
table of addresses, methods and actors that were asked for. Each process of the suite counts for
itself, and hands its sums to the one that hands out tests.
"""

from collections import Counter
from collections.abc import Callable
from functools import wraps
from typing import Any

import pytest

COUNTS = pytest.StashKey["Counter[str]"]()
INPUTS, ACCESSES = "inputs", "accesses"


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Begin at nothing."""
    config.stash[COUNTS] = Counter()
    if config.pluginmanager.hasplugin("xdist"):
        config.pluginmanager.register(Collected(config.stash[COUNTS]))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let each property that hypothesis tries count its examples."""
    counts = config.stash[COUNTS]
    for item in items:
        handle = getattr(getattr(item, "obj", None), "hypothesis", None)
        if handle and not hasattr(handle.inner_test, "is_counted"):
            handle.inner_test = _counting(handle.inner_test, counts)


def _counting(test: Callable[..., Any], counts: "Counter[str]") -> Callable[..., Any]:
    @wraps(test)
    def counted(*args: Any, **kwargs: Any) -> Any:
        counts[INPUTS] += 1
        return test(*args, **kwargs)

    counted.is_counted = True  # type: ignore[attr-defined]
    return counted


@pytest.fixture
def tried(pytestconfig: pytest.Config) -> Callable[[str, int], None]:
    """Counts what a test has tried: INPUTS or ACCESSES, and how many."""

    def note(what: str, number: int) -> None:
        pytestconfig.stash[COUNTS][what] += number

    return note


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Hand the sums over."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["tried"] = dict(session.config.stash[COUNTS])


class Collected:
    """In the process that hands out tests: what the others have tried."""

    def __init__(self, counts: "Counter[str]") -> None:
        self.counts = counts

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take the sums of a process."""
        self.counts.update(getattr(node, "workeroutput", {}).get("tried", {}))


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """The line, where anything was counted."""
    counts = config.stash[COUNTS]
    if counts:
        terminalreporter.write_line(
            f"tried: {counts[INPUTS]:,} made-up inputs, {counts[ACCESSES]:,} accesses"
        )
