"""What the projects' API is meant to reach."""

from tests.benchmarks.goals import Goal
from tests.benchmarks.samples import Samples, divide

EMPTY = "empty request s"
COPY, SEND = "COPY of 1,000 rows s", "send 1,000 variables s"
BARE_PAGE, PAGE = "bare query and orjson of 10,000 rows s", "read 10,000 variables s"
BARE_LAST, LAST = "bare indexed query of one row s", "last value s"
FEW, MANY = "list of 20 devices among 10 s", "list of 20 devices among 10,000 s"
FEW_QUERIES, MANY_QUERIES = "queries among 10", "queries among 10,000"


def _last(samples: Samples) -> float | None:
    bare, empty = samples.median(BARE_LAST), samples.median(EMPTY)
    return None if bare is None or empty is None else divide(samples.median(LAST), bare + empty)


def _more_queries(samples: Samples) -> float | None:
    few, many = samples.median(FEW_QUERIES), samples.median(MANY_QUERIES)
    return None if few is None or many is None else many - few


API_GOALS = (
    Goal(
        "sending 1,000 variables vs COPY: rows/s",
        lambda samples: samples.ratio(COPY, SEND),
        0.35,
        0.6,
        more_is_better=True,
    ),
    Goal(
        "reading 10,000 variables vs query and orjson",
        lambda samples: samples.ratio(PAGE, BARE_PAGE),
        2.5,
        1.5,
    ),
    Goal("last value vs query and empty request", _last, 3, None),
    Goal(
        "devices list: 10,000 devices vs 10",
        lambda samples: samples.ratio(MANY, FEW),
        1.5,
        1.1,
    ),
    Goal("devices list: more queries for 10,000 devices", _more_queries, 0, None, unit="queries"),
)
