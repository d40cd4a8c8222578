"""Benchmark the snapshot engine against its peers, in one run on one project.

    python -m tests.benchmarks.engine --rows 5M
    python -m tests.benchmarks.engine --rows 1M --only snapshot,restore --json
    python -m tests.benchmarks.engine --growth 1M,5M,20M

It starts a temporary PostgreSQL cluster and builds a project of that many variables; peer and
engine then take turns. Figures are the medians of all rounds.
"""

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from statistics import median
from typing import Any

from rich.console import Console

from tests.benchmarks.engine import ingest, measurements, peers
from tests.benchmarks.engine.peers import CUSTOM, DIRECTORY, PIPED
from tests.benchmarks.engine.setup import Setup, project
from tests.benchmarks.harness import (
    MEGABYTE,
    Goal,
    Samples,
    Say,
    conclude,
    console_of,
    counts,
    divide,
    parser_of,
    prepared,
    print_json,
    show_table,
    verdict,
)
from tests.benchmarks.machine import Machine
from tests.benchmarks.servers import Cluster

Measurement = Callable[[Setup, Samples, Say], None]
# These leave the rows unchanged.
EVERY_ROUND: dict[str, Measurement] = {
    "snapshot": measurements.full_snapshot,
    "restore": measurements.restore,
    "next": measurements.next_snapshot,
    "encryption": measurements.encryption,
}
# Byte counts do not differ between rounds.
ONCE: dict[str, Measurement] = {"dailies": measurements.daily_snapshots}
# These add rows, and come last.
ADDING: dict[str, Measurement] = {"trigger": ingest.trigger_cost, "ingest": ingest.slowdown}
ALL = {**EVERY_ROUND, **ONCE, **ADDING}
# Measured without peers, to see how times grow.
GROWTH = ("snapshot", "restore", "next")
GROWING = ("full snapshot", "restore", "restore and proof")
IN_ALL = ("next snapshot", "warm restore")
# Time per million rows counts as flat within this share of the median size's.
FLAT = 0.15
# Treat a slowdown below this as noise: dividing by it would mean nothing.
SMALLEST_SLOWDOWN = 0.01


def _encryption_of(what: str) -> Callable[[Samples], float | None]:
    return lambda samples: _percent_more(samples.ratio(f"encrypted {what} s", f"open {what} s"))


def _percent_more(ratio: float | None) -> float | None:
    return None if ratio is None else 100 * (ratio - 1)


def _faster_than_both(samples: Samples) -> float | None:
    best = samples.best(f"{DIRECTORY} s", f"{PIPED} s")
    return divide(best, samples.median(f"{FULL} s"))


def _trigger_percent(samples: Samples) -> float | None:
    return _percent_more(samples.median("batch with by without triggers"))


def _proof_percent(samples: Samples) -> float | None:
    """Return by how much comparing rows lengthens a restore, in percent."""
    return _percent_more(samples.ratio("restore and proof s", "restore s"))


def _slowdown_ratio(samples: Samples) -> float | None:
    engine = samples.ratio("batch during snapshot s", "batch alone s")
    peer = samples.ratio("batch during pg_dump s", "batch alone s")
    if engine is None or peer is None:
        return None
    return max(engine - 1, 0) / max(peer - 1, SMALLEST_SLOWDOWN)


def _peak_bytes(samples: Samples) -> float:
    names = ("full snapshot peak bytes", "restore and proof peak bytes")
    return max((value for name in names for value in samples.values.get(name, [])), default=0)


FULL = "full snapshot"
DAILIES = ("after seven dailies bytes", "before the dailies bytes")
GOALS = (
    Goal(f"{FULL} vs {CUSTOM}", (f"{CUSTOM} s", f"{FULL} s"), 3, 4, more_is_better=True),
    Goal(f"{FULL} vs {CUSTOM}: bytes", (f"{FULL} bytes", f"{CUSTOM} bytes"), 0.5, 0.3),
    Goal(
        f"{FULL} vs the best of -Fd -j2 -Z1 and -Z0 | zstd",
        _faster_than_both,
        1.25,
        1.5,
        more_is_better=True,
    ),
    Goal(f"{FULL} vs binary COPY to nowhere", (f"{FULL} s", "binary COPY to nowhere s"), 3.5, 2),
    Goal("next snapshot vs full: time", ("next snapshot s", f"{FULL} s"), 6, 4, "%"),
    Goal("next snapshot vs full: bytes", ("next snapshot bytes", f"{FULL} bytes"), 4, 2, "%"),
    Goal("full and seven dailies vs full: bytes", DAILIES, 1.3, 1.12),
    Goal(
        "restore vs pg_restore -j2",
        ("pg_restore -j2 s", "restore s"),
        2.2,
        3,
        more_is_better=True,
    ),
    Goal("warm restore", "warm restore s", 2, 1, "s"),
    Goal("proof on top of a restore", _proof_percent, 25, 20, "%"),
    Goal("triggers on ingest, batches of 1,000", _trigger_percent, 15, 8, "%"),
    Goal(f"slowdown of ingest: snapshot vs {CUSTOM}", _slowdown_ratio, 1, 0.5),
    Goal("encryption on top of a snapshot", _encryption_of("snapshot"), 10, 5, "%"),
    Goal("encryption on top of a restore", _encryption_of("restore"), 10, 5, "%"),
    Goal(
        "peak memory of a worker",
        lambda samples: _peak_bytes(samples) / MEGABYTE or None,
        600,
        unit="MB",
    ),
)


def names(text: str) -> list[str]:
    """Parse comma-separated names of measurements."""
    chosen = text.split(",")
    if unknown := set(chosen) - set(ALL):
        raise argparse.ArgumentTypeError(f"no measurement is called {', '.join(sorted(unknown))}")
    return chosen


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = parser_of("benchmarks.engine", __doc__, rows=5_000_000, rounds=3)
    add = parser.add_argument
    add("--only", type=names, default=list(ALL), metavar="NAME,…", help="run only these")
    add("--readers", type=int, default=os.cpu_count() or 1, help="by default one per core")
    add("--growth", type=counts, metavar="N,…", help="only measure how times grow over these sizes")
    add("--profile", action="store_true", help="also profile the engine's parts")
    return parser.parse_args(arguments)


def measure(
    chosen: Mapping[str, Measurement], rounds: int, setup: Setup, samples: Samples, say: Say
) -> None:
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        for measurement in chosen.values():
            measurement(setup, samples, say)


def run_rounds(cluster: Cluster, machine: Machine, options: argparse.Namespace, say: Say) -> None:
    samples = Samples()

    def asked(measurements: Mapping[str, Measurement]) -> dict[str, Measurement]:
        return {name: measurements[name] for name in measurements if name in options.only}

    say(f"building a project of {options.rows:,} variables")
    with project(cluster, options.rows, options.readers, with_peers=True) as setup:
        measure(asked(EVERY_ROUND), options.rounds, setup, samples, say)
        measure(asked(ONCE), 1, setup, samples, say)
        if options.profile:
            measurements.profile(setup, samples, say)
        measure(asked(ADDING), options.rounds, setup, samples, say)
    title = f"{setup.rows:,} variables, {options.readers} readers"
    versions = peers.versions()
    conclude(options, machine, samples, GOALS, title, rows=setup.rows, versions=versions)
    show_profiles(console_of(options), samples, setup.rows)


def show_profiles(console: Console, samples: Samples, rows: int) -> None:
    headings = ("part", "calls", "wall s", "CPU s", "wall ns/row", "CPU ns/row")
    for name, parts in samples.profiles.items():
        lines = [
            (
                part["name"],
                str(part["calls"]),
                *(f"{part[clock]:.3f}" for clock in ("wall", "cpu")),
                *(f"{part[clock] / rows * 1e9:,.0f}" for clock in ("wall", "cpu")),
            )
            for part in parts
        ]
        show_table(console, f"Profile: {name}", headings, lines)


def run_growth(cluster: Cluster, machine: Machine, options: argparse.Namespace, say: Say) -> None:
    """Measure the engine alone at all sizes, and show how its times grow."""
    sizes: list[dict[str, Any]] = []
    chosen = {name: ALL[name] for name in GROWTH}
    for rows in options.growth:
        samples = Samples()
        say(f"building a project of {rows:,} variables")
        with project(cluster, rows, options.readers, with_peers=False) as setup:
            measure(chosen, options.rounds, setup, samples, say)
        seconds = {name: samples.median(f"{name} s") or 0 for name in (*GROWING, *IN_ALL)}
        shares = {name: seconds[name] / setup.rows * 1e6 for name in GROWING}
        figures = {"seconds": seconds, "seconds_per_million_rows": shares}
        sizes.append({"rows": setup.rows, **figures, "peak_bytes": _peak_bytes(samples)})
    console = console_of(options)
    console.print(str(machine))
    flatness = show_growth(console, sizes)
    flat = {name: share <= FLAT for name, share in flatness.items()}
    print_json(options, machine=asdict(machine), sizes=sizes, flatness=flatness, flat=flat)


def show_growth(console: Console, sizes: list[dict[str, Any]]) -> dict[str, float]:
    """Show times per million rows; return each time's largest deviation from the median size's."""
    flatness, rows = {}, []
    for name in GROWING:
        values = [size["seconds_per_million_rows"][name] for size in sizes]
        share = max(abs(value / median(values) - 1) for value in values)
        flatness[name] = share
        shown = [f"{value:.3f}" for value in values]
        rows.append([name, *shown, f"{verdict(share <= FLAT)} ({share:.0%})"])
    for name in IN_ALL:
        rows.append([f"{name}, in all", *(f"{size['seconds'][name]:.3f} s" for size in sizes), ""])
    peaks = [f"{size['peak_bytes'] / MEGABYTE:.0f} MB" for size in sizes]
    columns = [f"{size['rows']:,} rows" for size in sizes]
    headings = ("seconds per million rows", *columns, f"flat within {FLAT:.0%}")
    show_table(console, "Growth", headings, [*rows, ["peak memory", *peaks, ""]])
    return flatness


def main(arguments: list[str]) -> None:
    options = parse(arguments)
    with prepared() as (cluster, machine, say):
        run = run_growth if options.growth else run_rounds
        run(cluster, machine, options, say)


if __name__ == "__main__":
    main(sys.argv[1:])
