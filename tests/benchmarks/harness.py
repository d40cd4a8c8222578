"""Shared parts of benchmarks: options, figures by name, goals, tables and JSON."""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.benchmarks.machine import Machine
from tests.benchmarks.servers import Cluster, running_cluster

SUFFIXES = {"k": 1_000, "M": 1_000_000}
MEGABYTE = 1_000_000
# Shows progress to a waiting user.
Say = Callable[[str], None]


def count(text: str) -> int:
    """Read a number of rows such as 200000, 200k or 5M."""
    factor = SUFFIXES.get(text[-1:], 1)
    return int(text[:-1] if factor > 1 else text) * factor


def counts(text: str) -> list[int]:
    return [count(part) for part in text.split(",")]


def parser_of(
    name: str, doc: str | None, *, rows: int = 0, rounds: int = 0
) -> argparse.ArgumentParser:
    """Make the parser of `python -m tests.NAME`, which knows `--json`.

    Args:
        rows, rounds: The defaults of the options with these names; 0 omits the option.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m tests.{name}",
        description=(doc or "").partition("\n")[0],
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--json", action="store_true", help="print figures as JSON")
    if rows:
        parser.add_argument("--rows", type=count, default=rows, help="such as 200000, 200k or 5M")
    if rounds:
        parser.add_argument("--rounds", type=int, default=rounds, help="rounds of all measurements")
    return parser


@dataclass
class Samples:
    """The measured values of all rounds.

    Attributes:
        values: One per round, by name; a name ends in its unit.
        profiles: Parts of a profiled run, by the run's name.
        skipped: The reasons for skipped measurements, by name.
    """

    values: dict[str, list[float]] = field(default_factory=dict)
    profiles: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, value: float) -> None:
        self.values.setdefault(name, []).append(value)

    def record(self, name: str, **figures: float) -> None:
        """Add values whose keywords are their units: `s`, `CPU_s`, `bytes` …"""
        for unit, value in figures.items():
            self.add(f"{name} {unit.replace('_', ' ')}", value)

    @contextmanager
    def clock(self, name: str) -> Iterator[None]:
        """Add the seconds that the context takes."""
        started = time.perf_counter()
        yield
        self.add(f"{name} s", time.perf_counter() - started)

    def take_turns(
        self, rounds: int, tasks: Mapping[str, Callable[[], object]], warm_up: int = 0
    ) -> None:
        """Clock each task once per round, so that a disturbance affects neighbours alike."""
        for task in tasks.values():
            for _ in range(warm_up):
                task()
        for _ in range(rounds):
            for name, task in tasks.items():
                with self.clock(name):
                    task()

    def median(self, name: str) -> float | None:
        values = self.values.get(name)
        return median(values) if values else None

    def best(self, *names: str) -> float | None:
        found = [value for name in names if (value := self.median(name)) is not None]
        return min(found, default=None)

    def ratio(self, above: str, below: str) -> float | None:
        return divide(self.median(above), self.median(below))

    def excess(self, more: str, base: str) -> float | None:
        most, least = self.median(more), self.median(base)
        return None if most is None or least is None else most - least


def divide(above: float | None, below: float | None) -> float | None:
    return above / below if above is not None and below else None


def percentile(seconds: Sequence[float], part: float = 0.95) -> float | None:
    """Return the percentile of the values in milliseconds."""
    ordered = sorted(seconds)
    return 1e3 * ordered[min(int(len(ordered) * part), len(ordered) - 1)] if ordered else None


@dataclass(frozen=True)
class Line:
    goal: "Goal"
    value: float | None
    reached_must: bool | None
    reached_aim: bool | None

    def as_dict(self) -> dict[str, Any]:
        goal = {name: value for name, value in vars(self.goal).items() if name != "measure"}
        verdict = {"reached_must": self.reached_must, "reached_aim": self.reached_aim}
        return {**goal, "value": self.value, **verdict}


@dataclass(frozen=True)
class Goal:
    """The target of a figure.

    Attributes:
        measure: The name of a figure; two names, of which the first is divided by the second; or
            a function of all figures.
        unit: The unit; the quotient of two figures is in percent.
    """

    name: str
    measure: str | tuple[str, str] | Callable[[Samples], float | None]
    must: float
    aim: float | None = None
    unit: str = "x"
    more_is_better: bool = False

    def judge(self, samples: Samples) -> Line:
        value = self._value(samples)
        return Line(self, value, self._holds(value, self.must), self._holds(value, self.aim))

    def _value(self, samples: Samples) -> float | None:
        if isinstance(self.measure, str):
            return samples.median(self.measure)
        if callable(self.measure):
            return self.measure(samples)
        ratio = samples.ratio(*self.measure)
        return ratio and ratio * (100 if self.unit == "%" else 1)

    def _holds(self, value: float | None, bound: float | None) -> bool | None:
        if value is None or bound is None:
            return None
        return value >= bound if self.more_is_better else value <= bound


def judge(samples: Samples, goals: Sequence[Goal]) -> list[Line]:
    lines = [goal.judge(samples) for goal in goals]
    return [line for line in lines if line.value is not None]


@contextmanager
def prepared() -> Iterator[tuple[Cluster, Machine, Say]]:
    """Start a cluster; yield it, the state of the idle machine, and a progress function."""
    with running_cluster() as cluster:
        say = partial(Console(stderr=True).print, markup=False)
        yield cluster, Machine.now(cluster.version), say


def console_of(options: argparse.Namespace) -> Console:
    """Return the console for readable figures; with --json, standard output has only JSON."""
    return Console(stderr=options.json)


def conclude(
    options: argparse.Namespace,
    machine: Machine,
    samples: Samples,
    goals: Sequence[Goal],
    title: str,
    **found: Any,
) -> None:
    """Judge the measurements, show them, and print JSON if requested.

    Args:
        found: Additional content of the JSON.
    """
    console = console_of(options)
    console.print(str(machine))
    figures = show(console, samples, goals, title)
    print_json(options, machine=asdict(machine), **{**figures, **found})


def print_json(options: argparse.Namespace, **found: Any) -> None:
    """Print the figures and options as JSON if requested."""
    if options.json:
        asked = {name: value for name, value in vars(options).items() if name != "json"}
        sys.stdout.write(json.dumps({**asked, **found}, indent=2, default=str) + "\n")


def show(console: Console, samples: Samples, goals: Sequence[Goal], title: str) -> dict[str, Any]:
    """Show goals and figures; return both for JSON."""
    lines = judge(samples, goals)
    headings = ("measured", "must", "reached", "aim", "reached")
    show_table(console, title, ("what", *headings), map(_line_row, lines))
    headings = ("figure", "median", "smallest", "largest", "rounds")
    show_table(console, "Figures", headings, (_figure_row(*one) for one in samples.values.items()))
    for name, reason in samples.skipped.items():
        console.print(f"[yellow]{name}: {reason}[/]")
    return {
        "lines": [line.as_dict() for line in lines],
        "medians": {name: samples.median(name) for name in samples.values},
        "samples": samples.values,
        "profiles": samples.profiles,
        "skipped": samples.skipped,
    }


def show_table(
    console: Console, title: str, headings: Sequence[str], rows: Iterable[Sequence[str]]
) -> None:
    table = Table(headings[0], title=title)
    for heading in headings[1:]:
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(*row)
    console.print(table)


def verdict(reached: bool | None) -> str:
    return "" if reached is None else "[green]yes[/]" if reached else "[red]no[/]"


def _line_row(line: Line) -> list[str]:
    goal, sign = line.goal, ">=" if line.goal.more_is_better else "<="

    def number(value: float | None, before: str = "") -> str:
        return "" if value is None else f"{before}{value:.3g} {goal.unit}"

    must, aim = number(goal.must, f"{sign} "), number(goal.aim, f"{sign} ")
    measured = number(line.value)
    return [goal.name, measured, must, verdict(line.reached_must), aim, verdict(line.reached_aim)]


def _figure_row(name: str, values: Sequence[float]) -> list[str]:
    is_size = name.endswith(" bytes")
    what, unit = (name[:-6], "MB") if is_size else (name, "")
    if name.endswith(" s"):
        what, unit = name[:-2], "s"
    numbers = (median(values), min(values), max(values))
    shown = [f"{value / MEGABYTE if is_size else value:,.4g} {unit}" for value in numbers]
    return [what, *shown, str(len(values))]
