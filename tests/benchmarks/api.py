"""Measures the projects' API beside bare PostgreSQL, in the same run, on the same project.

    python -m tests.benchmarks.api
    python -m tests.benchmarks.api --rows 200k --json

The API runs in this process: its WSGI application, one worker, nothing of it left out but the
network. It and its peer take turns; figures are medians.
"""

import argparse
import sys
from contextlib import ExitStack

from tests.benchmarks.apigoals import API_GOALS
from tests.benchmarks.apimeasure import list_devices, read_last, read_pages, send_batches
from tests.benchmarks.apisetup import django_ready, serve
from tests.benchmarks.build import Fleet, build
from tests.benchmarks.cluster import Cluster, empty_source
from tests.benchmarks.harness import conclude, count, parser_of, prepared
from tests.benchmarks.samples import Samples, Say


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options of a run."""
    parser = parser_of("api", __doc__)
    add = parser.add_argument
    add("--rows", type=count, default=5_000_000, help="variables of the project (default: 5M)")
    add("--rounds", type=int, default=40, help="how often each thing is measured (default: 40)")
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
    with prepared() as (cluster, machine, say):
        samples = run(cluster, options.rows, options.rounds, say)
    conclude(
        options,
        machine,
        samples,
        API_GOALS,
        f"{options.rows:,} variables, in this process",
        asked=("rows", "rounds"),
        samples=samples.values,
    )


if __name__ == "__main__":
    main(sys.argv[1:])
