"""Benchmark every page's server time against an empty page behind the same sign-in.

    python -m tests.benchmarks.pages
    python -m tests.benchmarks.pages --rows 10k --json

The portal runs in this process: its WSGI application, complete except for the network.
Pages take turns with the empty one; figures are for a project with that many backups and events.
"""

import sys
from functools import partial

from tests.benchmarks.harness import Goal, Samples, Say, conclude, parser_of, percentile, prepared
from tests.benchmarks.servers import portal_ready

EMPTY = "empty page"
FEW = 1
LIST, SHORT_LIST = "backups", "backups of few"
MILLISECONDS, TIMES = 40.0, 12.0


def run(rows: int, rounds: int, say: Say) -> tuple[Samples, list[str]]:
    from backups_portal.lib import liveness
    from tests.benchmarks.portal import project_with

    samples = Samples()
    say(f"building a project with {rows:,} backups")
    small, few = project_with(FEW)
    visitor, pages = project_with(rows)
    tasks = {name: partial(visitor.get, path) for name, path in pages.items()}
    for name, path in pages.items():
        # The first load fills caches of templates and of the session.
        small.get(few[name])
        tasks[name]()
        samples.add(f"{name}: queries for {FEW}", small.queries(few[name]))
        samples.add(f"{name}: queries for many", visitor.queries(path))
    say("loading pages")
    for _ in range(rounds):
        # A worker would report itself; without it pages would add a warning that backups wait.
        liveness.note_process(*liveness.PROCESSES)
        for name, task in tasks.items():
            samples.take_turns(1, {EMPTY: partial(visitor.get, "/empty/"), name: task})
        samples.take_turns(1, {SHORT_LIST: partial(small.get, few[LIST])})
    return samples, list(pages)


def goals_of(page: str) -> tuple[Goal, ...]:
    def p95(samples: Samples) -> float | None:
        return percentile(samples.values.get(f"{page} s", []))

    def more_queries(samples: Samples) -> float | None:
        return samples.excess(f"{page}: queries for many", f"{page}: queries for {FEW}")

    return (
        Goal(f"{page}: p95", p95, MILLISECONDS, unit="ms"),
        Goal(f"{page}: vs an empty page", (f"{page} s", f"{EMPTY} s"), TIMES),
        Goal(f"{page}: more queries for many rows", more_queries, 0, unit="queries"),
    )


def main(arguments: list[str]) -> None:
    options = parser_of("benchmarks.pages", __doc__, rows=10_000, rounds=100).parse_args(arguments)
    with prepared() as (cluster, machine, say), portal_ready(cluster):
        samples, names = run(options.rows, options.rounds, say)
    title = f"a project with {options.rows:,} backups and events"
    goals = [goal for name in names for goal in goals_of(name)]
    goals.append(Goal("list of many vs few", (f"{LIST} s", f"{SHORT_LIST} s"), 1.3, 1))
    conclude(options, machine, samples, goals, title)


if __name__ == "__main__":
    main(sys.argv[1:])
