"""Count what the suite has tried, such as accesses and bad inputs, and report it.

A plugin: tests add to `TRIED`, and hypothesis' examples are counted automatically. Each process of
the suite sends its counts, which are in the summary of the run.
"""

from collections import Counter
from collections.abc import Callable
from functools import wraps
from typing import Any

import pytest

TRIED: Counter[str] = Counter()


def tally(name: str, times: int = 1) -> None:
    """Count something that was tried."""
    TRIED[name] += times


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let each property that hypothesis tries count its examples."""
    for item in items:
        handle = getattr(getattr(item, "obj", None), "hypothesis", None)
        if handle and not hasattr(handle.inner_test, "is_counted"):
            handle.inner_test = _counting(handle.inner_test)


def _counting(test: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(test)
    def counted(*args: Any, **kwargs: Any) -> Any:
        tally("inputs by hypothesis to properties")
        return test(*args, **kwargs)

    counted.is_counted = True  # type: ignore[attr-defined]
    return counted


class Summed:
    """Sums the other processes' counts in the process that distributes the tests."""

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        TRIED.update(getattr(node, "workeroutput", {}).get("tried", {}))


def pytest_sessionstart(session: pytest.Session) -> None:
    """Listen to the other processes, if there are any."""
    if session.config.option.numprocesses and not hasattr(session.config, "workerinput"):
        session.config.pluginmanager.register(Summed())


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send the counts."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["tried"] = dict(TRIED)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print a line for each kind."""
    if TRIED:
        terminalreporter.section("tried")
    for name, times in sorted(TRIED.items()):
        terminalreporter.write_line(f"{times:>8,}  {name}")
