"""Measures every page's server time beside an empty page behind the same sign-in.

    python -m tests.benchmarks.pages
    python -m tests.benchmarks.pages --rows 10k --json

The portal runs in this process: its WSGI application, nothing of it left out but the network.
Pages take turns with the empty one; figures are of a project with as many backups and events.
"""

import argparse
import sys
from contextlib import ExitStack

from tests.benchmarks.cluster import Cluster
from tests.benchmarks.goals import Goal
from tests.benchmarks.harness import conclude, count, parser_of, prepared
from tests.benchmarks.pagesetup import build, portal_ready, worker_signs
from tests.benchmarks.samples import Samples, Say

EMPTY = "empty page s"
FEW = 1
MILLISECONDS, TIMES = 40.0, 12.0


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options of a run."""
    parser = parser_of("pages", __doc__)
    add = parser.add_argument
    add("--rows", type=count, default=10_000, help="backups and events (default: 10k)")
    add("--rounds", type=int, default=100, help="how often each page is loaded (default: 100)")
    return parser.parse_args(arguments)


def run(cluster: Cluster, rows: int, rounds: int, say: Say) -> tuple[Samples, list[str]]:
    """Every page of a project with many rows; and its queries beside those of a small project."""
    samples = Samples()
    with ExitStack() as stack:
        stack.enter_context(portal_ready(cluster))
        say(f"building a project with {rows:,} backups")
        small, few = build(FEW)
        visitor, pages = build(rows)
        for name, path in pages.items():
            # The first load fills caches of templates and of the session.
            small.seconds(few[name])
            visitor.seconds(path)
            samples.add(f"{name}: queries for {FEW}", small.queries(few[name]))
            samples.add(f"{name}: queries for many", visitor.queries(path))
        say("loading pages")
        for _ in range(rounds):
            worker_signs()
            for name, path in pages.items():
                samples.add(EMPTY, visitor.seconds("/empty/"))
                samples.add(f"{name} s", visitor.seconds(path))
    return samples, list(pages)


def goals(names: list[str]) -> list[Goal]:
    """What each page is meant to reach."""
    return [goal for name in names for goal in _goals_of(name)]


def _goals_of(name: str) -> tuple[Goal, Goal, Goal]:
    def p95(samples: Samples) -> float | None:
        return percentile(samples.values.get(f"{name} s", []))

    def more_queries(samples: Samples) -> float | None:
        few, many = (samples.median(f"{name}: queries for {what}") for what in (FEW, "many"))
        return None if few is None or many is None else many - few

    return (
        Goal(f"{name}: p95", p95, MILLISECONDS, None, "ms"),
        Goal(f"{name}: vs an empty page", lambda s: s.ratio(f"{name} s", EMPTY), TIMES, None),
        Goal(f"{name}: more queries for many rows", more_queries, 0, None, "queries"),
    )


def percentile(seconds: list[float], part: float = 0.95) -> float | None:
    """The time in milliseconds that this part of the loads stayed within."""
    ordered = sorted(seconds)
    return 1e3 * ordered[min(int(len(ordered) * part), len(ordered) - 1)] if ordered else None


def main(arguments: list[str]) -> None:
    """Run the benchmark."""
    options = parse(arguments)
    with prepared() as (cluster, machine, say):
        samples, names = run(cluster, options.rows, options.rounds, say)
    title = f"a project with {options.rows:,} backups and events"
    conclude(options, machine, samples, goals(names), title, asked=("rows", "rounds"))


if __name__ == "__main__":
    main(sys.argv[1:])
