"""Measures the projects' API beside bare PostgreSQL, in the same run, on the same project.

    python -m tests.benchmarks.api
    python -m tests.benchmarks.api --rows 200k --json

The API runs in this process: its WSGI application, one worker, nothing of it left out but the
network. It and its peer take turns; figures are medians.
"""

import argparse
import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

from rich.console import Console

from tests.benchmarks import report
from tests.benchmarks.apigoals import API_GOALS
from tests.benchmarks.apimeasure import list_devices, read_last, read_pages, send_batches
from tests.benchmarks.apisetup import django_ready, serve
from tests.benchmarks.build import Fleet, build
from tests.benchmarks.cluster import Cluster, empty_source, running_cluster
from tests.benchmarks.engine import count
from tests.benchmarks.goals import judge
from tests.benchmarks.machine import describe
from tests.benchmarks.peers import server_version
from tests.benchmarks.samples import Samples, Say


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options of a run."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.api", description=(__doc__ or "").partition("\n")[0]
    )
    add = parser.add_argument
    add("--rows", type=count, default=5_000_000, help="variables of the project (default: 5M)")
    add("--rounds", type=int, default=40, help="how often each thing is measured (default: 40)")
    add("--json", action="store_true", help="print figures as JSON")
    return parser.parse_args(arguments)


def run(cluster: Cluster, rows: int, rounds: int, say: Say) -> Samples:
    """Everything, on one project with readings and two with devices only."""
    samples = Samples()
    with ExitStack() as stack:
        project, few, many = (stack.enter_context(empty_source(cluster)) for _ in range(3))
        say(f"building a project of {rows:,} variables")
        build(project, Fleet(rows))
        stack.enter_context(django_ready(cluster))
        say("reading")
        api = serve(project)
        read_pages(project, api, samples, rounds // 2)
        read_last(project, api, samples, rounds * 5)
        say("sending")
        send_batches(project, api, samples, rounds)
        say("listing devices")
        list_devices((few, serve(few)), (many, serve(many)), samples, rounds)
    return samples


def main(arguments: list[str]) -> None:
    """Run the benchmark."""
    options = parse(arguments)
    progress = Console(stderr=True)
    console = Console(stderr=options.json)
    say: Callable[[str], Any] = partial(progress.print, markup=False)
    with running_cluster() as cluster:
        machine = describe(server_version(cluster.url))
        samples = run(cluster, options.rows, options.rounds, say)
    lines = judge(samples, API_GOALS)
    report.show_machine(console, machine)
    report.show_lines(console, lines, f"{options.rows:,} variables, in this process")
    report.show_samples(console, samples)
    if options.json:
        result = {
            "rows": options.rows,
            "rounds": options.rounds,
            "machine": machine.as_dict(),
            "lines": [line.as_dict() for line in lines],
            "samples": samples.values,
            "medians": {name: samples.median(name) for name in samples.values},
        }
        sys.stdout.write(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
