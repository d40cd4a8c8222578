"""What every benchmark has: options, a cluster of its own, figures for people and as JSON."""

import argparse
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from rich.console import Console

from tests.benchmarks import report
from tests.benchmarks.cluster import Cluster, running_cluster
from tests.benchmarks.goals import Goal, judge
from tests.benchmarks.machine import Machine, describe
from tests.benchmarks.peers import server_version
from tests.benchmarks.samples import Samples, Say

SUFFIXES = {"k": 1_000, "M": 1_000_000}


def count(text: str) -> int:
    """Read a number of rows such as 200000, 200k or 5M."""
    factor = SUFFIXES.get(text[-1:], 1)
    return int(text[:-1] if factor > 1 else text) * factor


def counts(text: str) -> list[int]:
    """Read numbers of rows, between commas."""
    return [count(part) for part in text.split(",")]


def parser_of(name: str, doc: str | None) -> argparse.ArgumentParser:
    """Make the parser of `python -m tests.benchmarks.NAME`, which knows `--json`."""
    parser = argparse.ArgumentParser(
        prog=f"python -m tests.benchmarks.{name}", description=(doc or "").partition("\n")[0]
    )
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    return parser


@contextmanager
def prepared() -> Iterator[tuple[Cluster, Machine, Say]]:
    """Start a cluster; what the machine is before anything runs, and what tells who waits."""
    with running_cluster() as cluster:
        machine = describe(server_version(cluster.url))
        yield cluster, machine, partial(Console(stderr=True).print, markup=False)


def console_of(options: argparse.Namespace) -> Console:
    """Where figures for people go: with --json, standard output has nothing else."""
    return Console(stderr=options.json)


def conclude(
    options: argparse.Namespace,
    machine: Machine,
    samples: Samples,
    goals: Sequence[Goal],
    title: str,
    *,
    asked: Sequence[str],
    **found: Any,
) -> None:
    """Judge what was measured, show it, and print it where JSON was asked for.

    Args:
        asked: Options that the JSON repeats.
        found: What it has besides.
    """
    console, lines = console_of(options), judge(samples, goals)
    report.show_machine(console, machine)
    report.show_lines(console, lines, title)
    report.show_samples(console, samples)
    if options.json:
        result = {
            **{name: getattr(options, name) for name in asked},
            "machine": machine.as_dict(),
            "lines": [line.as_dict() for line in lines],
            "medians": {name: samples.median(name) for name in samples.values},
            **found,
        }
        print_json(result)


def print_json(result: dict[str, Any]) -> None:
    """Print figures for programs."""
    sys.stdout.write(json.dumps(result, indent=2) + "\n")
