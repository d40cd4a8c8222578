"""Measures the schedule at scale: the tick, retention, the sweep, a long list, and real projects.

    python -m tests.benchmarks.schedule --projects 10k
    python -m tests.benchmarks.schedule --projects 1M --json

The same ticks run among a hundredth of the projects, a tenth, and all of them: what a tick takes
must not grow with those that are not due. The storage of all but the real projects is a stub, which
makes up as many objects as there would be.
"""

import argparse
import sys

from tests.benchmarks.cluster import Cluster
from tests.benchmarks.harness import conclude, console_of, count, parser_of, prepared
from tests.benchmarks.pagesetup import portal_ready
from tests.benchmarks.samples import Samples, Say
from tests.benchmarks.schedulegoals import SEQUENTIAL, goals
from tests.benchmarks.schedulemeasure import (
    DUE,
    SNAPSHOT_DAYS,
    measure_end_to_end,
    measure_lists,
    measure_retention,
    measure_sweep,
    measure_tick,
    plan_of_the_tick,
)
from tests.benchmarks.schedulesetup import add_projects


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options of a run."""
    parser = parser_of("schedule", __doc__)
    add = parser.add_argument
    add("--projects", type=count, default=10_000,
        help="rows of projects, and of snapshots (default: 10k)")  # fmt: skip
    add("--rounds", type=int, default=5,
        help="how often each tick is run, and each list ten times (default: 5)")  # fmt: skip
    add("--backups", type=count, default=10_000, help="of the long list (default: 10k)")
    add("--end-to-end", type=count, default=500, help="real projects to back up (default: 500)")
    return parser.parse_args(arguments)


def sizes_of(projects: int) -> list[int]:
    """How many projects there are when ticks are measured."""
    return sorted({max(projects // part, 1) for part in (100, 10, 1)})


def run(cluster: Cluster, options: argparse.Namespace, say: Say) -> tuple[Samples, dict[int, str]]:
    """All figures, and the plans of the tick's query among all projects, by how many are due."""
    samples = Samples()
    plans = _ticks(samples, options, say)
    say(f"retention of {options.projects:,} snapshots")
    measure_retention(samples, max(options.projects // SNAPSHOT_DAYS, 1))
    say("sweep of their storage")
    measure_sweep(samples)
    say("lists of backups")
    measure_lists(samples, options.backups, 10 * options.rounds)
    if options.end_to_end:
        say(f"{options.end_to_end:,} real projects")
        measure_end_to_end(samples, options.end_to_end, cluster)
    return samples, plans


def _ticks(samples: Samples, options: argparse.Namespace, say: Say) -> dict[int, str]:
    from django.utils import timezone

    there = 0
    for size in sizes_of(options.projects):
        say(f"adding projects up to {size:,}")
        add_projects(there + 1, size, timezone.now())
        there = size
        for due in (due for due in DUE if due <= size):
            say(f"ticks among {size:,} projects with {due:,} due")
            for _ in range(options.rounds):
                measure_tick(samples, size, due)
            say(f"  {samples.median(f'tick {due} among {size} s'):.4f} s")
    plans = {due: plan_of_the_tick(due) for due in DUE if 0 < due <= there}
    samples.add(SEQUENTIAL, sum(plan.count("Seq Scan") for plan in plans.values()))
    return plans


def main(arguments: list[str]) -> None:
    """Run the benchmark."""
    options = parse(arguments)
    with prepared() as (cluster, machine, say), portal_ready(cluster):
        samples, plans = run(cluster, options, say)
    conclude(
        options,
        machine,
        samples,
        goals(sizes_of(options.projects)),
        f"{options.projects:,} projects",
        asked=("projects",),
        plans={due: plan.splitlines() for due, plan in plans.items()},
    )
    for due, plan in plans.items():
        console_of(options).print(
            f"The tick's query with {due:,} due:\n{plan}", markup=False, soft_wrap=True
        )


if __name__ == "__main__":
    main(sys.argv[1:])
