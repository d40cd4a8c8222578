"""What the schedule is meant to reach."""

from collections.abc import Callable, Sequence

from tests.benchmarks.goals import Goal
from tests.benchmarks.samples import Samples
from tests.benchmarks.schedulemeasure import DUE

Value = Callable[[Samples], float | None]
SEQUENTIAL = "tables that a tick reads whole"


def goals(sizes: Sequence[int]) -> list[Goal]:
    """For so many projects, measured as they become more."""
    return [
        *_flat(sizes),
        Goal(SEQUENTIAL, _median(SEQUENTIAL), 0, None, "tables"),
        Goal(
            "claimed and sent, projects a second",
            _median("projects a second"),
            2_000,
            None,
            "/s",
            more_is_better=True,
        ),
        Goal("memory of retention", _median("memory of retention MB"), 64, 16, "MB"),
        Goal("memory of the sweep", _median("memory of the sweep MB"), 64, 16, "MB"),
        Goal("list of many vs few", lambda s: s.ratio("list of many s", "list of few s"), 1.3, 1),
        Goal("list of many: more queries", _more_queries, 0, None, "queries"),
        Goal("real snapshots that failed", _median("snapshots that failed"), 0, None, "snapshots"),
    ]


def _flat(sizes: Sequence[int]) -> list[Goal]:
    """A tick beside the same one among the fewest projects of which so many can be due."""
    found = []
    for due in DUE:
        least, *more = [size for size in sizes if size >= due] or [0]
        for size in more:
            name = f"tick with {due:,} due: {size:,} projects vs {least:,}"
            found.append(Goal(name, _among(due, size, least), 1.5, 1.2))
    return found


def _among(due: int, size: int, least: int) -> Value:
    return lambda s: s.ratio(f"tick {due} among {size} s", f"tick {due} among {least} s")


def _median(name: str) -> Value:
    return lambda samples: samples.median(name)


def _more_queries(samples: Samples) -> float | None:
    few, many = (samples.median(f"queries of a list of {name}") for name in ("few", "many"))
    return None if few is None or many is None else many - few
