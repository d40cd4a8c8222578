"""Measures the snapshot engine beside its peers, in the same run, on the same project.

    python -m tests.benchmarks.engine --rows 5M
    python -m tests.benchmarks.engine --rows 1M --only snapshot,restore --json
    python -m tests.benchmarks.engine --growth 1M,5M,20M

It starts a PostgreSQL cluster of its own in a temporary folder and builds a project of that many
variables; peer and engine then take turns. Figures are the medians of all rounds.
"""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from rich.console import Console
from rich.status import Status

from tests.benchmarks import growth, ingest, measure, report
from tests.benchmarks.build import Fleet, Marks, build
from tests.benchmarks.cluster import Cluster, empty_source, running_cluster
from tests.benchmarks.goals import judge
from tests.benchmarks.harness import console_of, count, counts, parser_of, print_json
from tests.benchmarks.machine import Machine, describe
from tests.benchmarks.peers import server_version
from tests.benchmarks.samples import Samples, Say
from tests.benchmarks.setup import Setup

Measurement = Callable[[Setup, Samples, Say], None]
# These leave the rows as they were.
EVERY_ROUND: dict[str, Measurement] = {
    "snapshot": measure.full_snapshot,
    "restore": measure.restore,
    "next": measure.next_snapshot,
    "encryption": measure.encryption,
}
# Bytes do not differ between rounds.
ONCE: dict[str, Measurement] = {"dailies": measure.daily_snapshots}
# These add rows, and come last.
ADDING: dict[str, Measurement] = {"trigger": ingest.trigger_cost, "ingest": ingest.slowdown}
ALL = {**EVERY_ROUND, **ONCE, **ADDING}


def names(text: str) -> list[str]:
    """Names of measurements, between commas."""
    chosen = text.split(",")
    if unknown := set(chosen) - set(ALL):
        raise argparse.ArgumentTypeError(f"no measurement is called {', '.join(sorted(unknown))}")
    return chosen


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options of a run."""
    parser = parser_of("engine", __doc__)
    add = parser.add_argument
    add("--rows", type=count, default=5_000_000, help="variables of the project (default: 5M)")
    add("--rounds", type=int, default=3, help="how often each thing is measured (default: 3)")
    add("--only", type=names, default=list(ALL), metavar="NAME,…",
        help=f"some of {', '.join(ALL)}")  # fmt: skip
    add("--readers", type=int, default=os.cpu_count() or 1, help="default: one per core")
    add("--growth", type=counts, metavar="N,…", help="instead: how times grow over these sizes")
    add("--profile", action="store_true", help="also: what took the time")
    return parser.parse_args(arguments)


@contextmanager
def project(cluster: Cluster, rows: int, readers: int, say: Say) -> Iterator[Setup]:
    """A built project; dropped afterwards."""
    with empty_source(cluster) as source:
        say(f"building a project of {rows:,} variables")
        fleet = Fleet(rows)
        built = build(source, fleet)
        with source.connect() as connection:
            marks = Marks(connection)
        yield Setup(source, fleet, built, marks, readers)


def measure_rounds(setup: Setup, options: argparse.Namespace, say: Say) -> Samples:
    """Everything that was asked for."""
    samples = Samples()
    _measure(EVERY_ROUND, options.rounds, setup, samples, options, say)
    _measure(ONCE, 1, setup, samples, options, say)
    if options.profile:
        measure.profile(setup, samples, say)
    _measure(ADDING, options.rounds, setup, samples, options, say)
    return samples


def _measure(
    measurements: dict[str, Measurement],
    rounds: int,
    setup: Setup,
    samples: Samples,
    options: argparse.Namespace,
    say: Say,
) -> None:
    for number in range(rounds):
        for name, measurement in measurements.items():
            if name in options.only:
                measurement(setup, samples, partial(_say_round, say, number + 1))


def _say_round(say: Say, number: int, what: str) -> None:
    say(f"round {number}: {what}")


def run_rounds(
    cluster: Cluster, machine: Machine, options: argparse.Namespace, console: Console, say: Say
) -> dict[str, Any]:
    """Measure one size, show it, and return it for JSON."""
    with project(cluster, options.rows, options.readers, say) as setup:
        samples, rows = measure_rounds(setup, options, say), setup.rows
    lines = judge(samples)
    report.show_machine(console, machine)
    report.show_lines(console, lines, f"{rows:,} variables, {options.readers} readers")
    report.show_samples(console, samples)
    report.show_profiles(console, samples, rows)
    return {
        "rows": rows,
        "rounds": options.rounds,
        "readers": options.readers,
        "machine": machine.as_dict(),
        "lines": [line.as_dict() for line in lines],
        "samples": samples.values,
        "medians": {name: samples.median(name) for name in samples.values},
        "profiles": samples.profiles,
        "skipped": samples.skipped,
    }


def run_growth(
    cluster: Cluster, machine: Machine, options: argparse.Namespace, console: Console, say: Say
) -> dict[str, Any]:
    """Measure all sizes, show them, and return them for JSON."""
    sizes = []
    for rows in options.growth:
        with project(cluster, rows, options.readers, say) as setup:
            sizes.append(growth.measure_size(setup, options.rounds, say))
    report.show_machine(console, machine)
    report.show_growth(console, sizes)
    return {"machine": machine.as_dict(), **growth.as_dict(sizes)}


def _show(progress: Console, status: Status, what: str) -> None:
    """Say what is being measured: in one line of a terminal, else line by line."""
    if progress.is_terminal:
        status.update(what)
    else:
        progress.print(what)


def main(arguments: list[str]) -> None:
    """Run the benchmark."""
    options = parse(arguments)
    progress = Console(stderr=True)
    console = console_of(options)
    with progress.status("starting PostgreSQL") as status, running_cluster() as cluster:
        machine = describe(server_version(cluster.url))
        run = run_growth if options.growth else run_rounds
        result = run(cluster, machine, options, console, partial(_show, progress, status))
    if options.json:
        print_json(result)


if __name__ == "__main__":
    main(sys.argv[1:])
