"""Benchmark the schedule at scale: the tick, retention, the sweep, and real projects.

    python -m tests.benchmarks.schedule --projects 10k
    python -m tests.benchmarks.schedule --projects 1M --json

The same ticks run among a hundredth of the projects, a tenth, and all of them: a tick's time must
not grow with projects that are not due. All but the real projects have a stub as storage, which
generates as many objects as there would be.
"""

import argparse
import sys
from collections.abc import Sequence

from tests.benchmarks.harness import (
    Goal,
    Samples,
    Say,
    conclude,
    console_of,
    count,
    parser_of,
    prepared,
)
from tests.benchmarks.servers import Cluster, portal_ready

DUE = (0, 100, 10_000)
SNAPSHOT_DAYS = 100
SEQUENTIAL = "tables that a tick reads whole"
RATE = "projects a second"
RETENTION, SWEEP = "memory of retention", "memory of the sweep"
# A real project's snapshots on its first day and on later days.
KINDS = FIRST, NEXT, UNCHANGED = "first", "next", "unchanged"
STORED = "snapshots a second"
RATES = {FIRST: (8, 20), NEXT: (20, 40), UNCHANGED: (30, 80)}


def goals(sizes: Sequence[int]) -> list[Goal]:
    """Return the goals for this many projects, measured as their number grows."""
    return [
        *(_flat(due, size, least) for due in DUE for least, size in _growing(due, sizes)),
        Goal(SEQUENTIAL, SEQUENTIAL, 0, unit="tables"),
        Goal(f"claimed and sent, {RATE}", RATE, 2_000, unit="/s", more_is_better=True),
        Goal(RETENTION, f"{RETENTION} MB", 64, 16, "MB"),
        Goal(SWEEP, f"{SWEEP} MB", 64, 16, "MB"),
        *(
            Goal(f"{kind} {STORED}", f"{kind} {STORED}", must, aim, "/s", more_is_better=True)
            for kind, (must, aim) in RATES.items()
        ),
        Goal("real snapshots that failed", "snapshots that failed", 0, unit="snapshots"),
    ]


def _growing(due: int, sizes: Sequence[int]) -> list[tuple[int, int]]:
    """Pair the smallest number of projects that can have this many due with each larger one."""
    least, *more = [size for size in sizes if size >= due] or [0]
    return [(least, size) for size in more]


def _flat(due: int, size: int, least: int) -> Goal:
    name = f"tick with {due:,} due: {size:,} projects vs {least:,}"
    return Goal(name, (f"{tick(due, size)} s", f"{tick(due, least)} s"), 1.5, 1.2)


def tick(due: int, among: int) -> str:
    return f"tick {due} among {among}"


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = parser_of("benchmarks.schedule", __doc__, rounds=5)
    add = parser.add_argument
    add("--projects", type=count, default=10_000, help="number of generated projects and snapshots")
    add("--end-to-end", type=count, default=500, help="number of real projects to back up")
    return parser.parse_args(arguments)


def sizes_of(projects: int) -> list[int]:
    """Return the numbers of projects at which ticks are measured."""
    return sorted({max(projects // part, 1) for part in (100, 10, 1)})


def run(options: argparse.Namespace, cluster: Cluster, say: Say) -> tuple[Samples, dict[int, str]]:
    from tests.benchmarks import schedule_measurements as measurements

    samples, there = Samples(), 0
    for size in sizes_of(options.projects):
        say(f"ticks among {size:,} projects")
        measurements.add_projects(there + 1, size)
        there = size
        for due in (due for due in DUE if due <= size):
            for _ in range(options.rounds):
                measurements.measure_tick(samples, size, due)
    plans = {due: measurements.plan_of_the_tick(due) for due in DUE if 0 < due <= there}
    samples.add(SEQUENTIAL, sum(plan.count("Seq Scan") for plan in plans.values()))
    say(f"retention of {options.projects:,} snapshots")
    measurements.measure_retention(samples, max(options.projects // SNAPSHOT_DAYS, 1))
    say("sweep of their storage")
    measurements.measure_sweep(samples)
    if options.end_to_end:
        say(f"{options.end_to_end:,} real projects")
        measurements.measure_end_to_end(samples, cluster, options.end_to_end)
    return samples, plans


def main(arguments: list[str]) -> None:
    options = parse(arguments)
    with prepared() as (cluster, machine, say), portal_ready(cluster):
        samples, plans = run(options, cluster, say)
    title, sizes = f"{options.projects:,} projects", sizes_of(options.projects)
    lines = {due: plan.splitlines() for due, plan in plans.items()}
    conclude(options, machine, samples, goals(sizes), title, plans=lines)
    for due, plan in plans.items():
        console_of(options).print(
            f"The tick's query with {due:,} due:\n{plan}", markup=False, soft_wrap=True
        )


if __name__ == "__main__":
    main(sys.argv[1:])
