"""The figures for people."""

from statistics import median

from rich.console import Console
from rich.table import Table

from tests.benchmarks.goals import Line
from tests.benchmarks.growth import FLAT, GROWING, Size, flatness
from tests.benchmarks.machine import Machine
from tests.benchmarks.samples import Samples

YES, NO = "[green]yes[/]", "[red]no[/]"


def show_machine(console: Console, machine: Machine) -> None:
    """What the figures must be read with."""
    console.print(
        f"{machine.cores} x {machine.processor}, {machine.memory_gb} GB, {machine.system}; "
        f"PostgreSQL {machine.postgresql}, Python {machine.python}; load {machine.load} at start"
    )


def show_lines(console: Console, lines: list[Line], title: str) -> None:
    """The goals, reached or not."""
    table = Table("what", title=title)
    for heading in ("measured", "must", "reached", "aim", "reached"):
        table.add_column(heading, justify="right")
    for line in lines:
        goal, sign = line.goal, ">=" if line.goal.more_is_better else "<="
        table.add_row(
            goal.name,
            _number(line.value, goal.unit),
            f"{sign} {_number(goal.must, goal.unit)}",
            _verdict(line.reached_must),
            f"{sign} {_number(goal.aim, goal.unit)}" if goal.aim is not None else "",
            _verdict(line.reached_aim),
        )
    console.print(table)


def _number(value: float | None, unit: str) -> str:
    return "" if value is None else f"{value:.3g} {unit}"


def _verdict(reached: bool | None) -> str:
    return "" if reached is None else YES if reached else NO


def show_samples(console: Console, samples: Samples) -> None:
    """Every figure: the median, and how far the rounds lie apart."""
    table = Table("figure", title="Figures")
    for heading in ("median", "smallest", "largest", "rounds"):
        table.add_column(heading, justify="right")
    for name, values in samples.values.items():
        what, unit = (name[:-6], "MB") if name.endswith(" bytes") else (name.removesuffix(" s"), "")
        unit = unit or ("s" if name.endswith(" s") else "")
        scale = 1e-6 if unit == "MB" else 1
        numbers = [value * scale for value in (median(values), min(values), max(values))]
        table.add_row(what, *(f"{number:,.4g} {unit}" for number in numbers), str(len(values)))
    console.print(table)
    for name, reason in samples.skipped.items():
        console.print(f"[yellow]{name}: {reason}[/]")


def show_profiles(console: Console, samples: Samples, rows: int) -> None:
    """What took the time."""
    for name, parts in samples.profiles.items():
        table = Table("part", title=f"Profile: {name}")
        for heading in ("calls", "wall s", "CPU s", "wall ns/row", "CPU ns/row"):
            table.add_column(heading, justify="right")
        for part in parts:
            wall, cpu = part["wall"], part["cpu"]
            table.add_row(
                part["name"],
                str(part["calls"]),
                *(f"{seconds:.3f}" for seconds in (wall, cpu)),
                *(f"{seconds / rows * 1e9:,.0f}" for seconds in (wall, cpu)),
            )
        console.print(table)


def show_growth(console: Console, sizes: list[Size]) -> None:
    """Times per million rows."""
    table = Table("seconds per million rows", title="Growth")
    for size in sizes:
        table.add_column(f"{size.rows:,} rows", justify="right")
    table.add_column(f"flat within {FLAT:.0%}", justify="right")
    shares = flatness(sizes)
    for name in GROWING:
        values = [f"{size.per_million(name):.3f}" for size in sizes]
        table.add_row(name, *values, f"{_verdict(shares[name] <= FLAT)} ({shares[name]:.0%})")
    for name in ("next snapshot s", "warm restore s"):
        if all(name in size.seconds for size in sizes):
            values = [f"{size.seconds[name]:.3f} s" for size in sizes]
            table.add_row(f"{name.removesuffix(' s')}, in all", *values, "")
    table.add_row("peak memory", *(f"{size.peak_bytes / 1e6:.0f} MB" for size in sizes), "")
    console.print(table)
