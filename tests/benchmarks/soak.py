"""A soak: projects with ingest that never ends, days of minutes, and whatever runs is killed.

    python -m tests.benchmarks.soak
    python -m tests.benchmarks.soak --minutes 2 --projects 10 --day 30 --json

It starts PostgreSQL, Redis, workers, beat and the web server as the demo does, lets days pass
(soakdays.py), writes into every project, asks for restores and shuts the new projects down again,
while workers and servers are killed by SIGKILL in turns. When all has come to rest, everything that
is left is compared, row by row. It ends with 1 where something is not as it must be.
"""

import argparse
import json
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from backups_portal.demo.data_folder import DataFolder, opened
from backups_portal.demo.ports import free_port
from backups_portal.demo.process_readiness import web_answers, workers_answer
from backups_portal.demo.shutdown_signals import stop_on_signals
from tests.benchmarks import report
from tests.benchmarks.goals import Line, judge
from tests.benchmarks.machine import Machine, describe
from tests.benchmarks.peers import server_version
from tests.benchmarks.samples import Say
from tests.benchmarks.soakchecks import logged_errors, reasons
from tests.benchmarks.soakrunning import Soak
from tests.benchmarks.soakservices import logs, start_portal, start_servers
from tests.benchmarks.soaksetup import make_fields, prepare_portal
from tests.benchmarks.soakverdict import Verdict, goals, look_at
from tests.benchmarks.soakwatching import connections

READY_SECONDS = 120.0
SHOWN = 10


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options of a run."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks.soak", description=(__doc__ or "").partition("\n")[0]
    )
    add = parser.add_argument
    add("--minutes", type=float, default=20, help="until nothing is killed any more (default: 20)")
    add("--projects", type=int, default=200, help="that are written into (default: 200)")
    add("--day", type=float, default=120, help="seconds that a day lasts (default: 120)")
    add("--writers", type=int, default=2, help="threads that write (default: 2)")
    add("--pause", type=float, default=0.2, help="seconds of each between two batches")
    add("--prove", type=int, default=0, metavar="N", help="of all that is left, N; default: all")
    add("--seed", type=int, default=1, help="decides what is killed when, and what is written")
    add("--data", type=Path, help="a folder that is kept; else a temporary one")
    add("--json", action="store_true", help="print figures as JSON")
    return parser.parse_args(arguments)


@dataclass(frozen=True)
class Result:
    """What a soak has shown.

    Attributes:
        reasons: Why work was tried again or given up, and how often.
        logged: What processes logged as errors while nothing was away, and how often.
        gauges: Samples over the whole run, by name.
    """

    verdict: Verdict
    machine: Machine
    reasons: Mapping[str, int]
    logged: Mapping[str, int]
    gauges: Mapping[str, Sequence[float]]

    @property
    def lines(self) -> list[Line]:
        """The goals, and whether they were reached."""
        return judge(self.verdict.samples, goals())

    @property
    def holds(self) -> bool:
        """Whether everything is as it must be, and nothing of it was left unmeasured."""
        return len(self.lines) == len(goals()) and all(line.reached_must for line in self.lines)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "holds": self.holds,
            "machine": self.machine.as_dict(),
            "lines": [line.as_dict() for line in self.lines],
            "figures": self.verdict.figures,
            "reasons": self.reasons,
            "logged errors": self.logged,
            "troubles": {name: found for name, found in self.verdict.troubles.items() if found},
            "gauges": self.gauges,
        }


def run(folder: DataFolder, options: argparse.Namespace, say: Say) -> Result:
    """The whole of it."""
    rng = random.Random(options.seed)  # noqa: S311
    with ExitStack() as stack:
        servers = start_servers(folder, rng)
        # What runs then: those that were killed have others in their place.
        stack.callback(lambda: servers.redis.child.stop())
        stack.callback(lambda: servers.postgres.child.stop())
        machine = describe(server_version(servers.database_url))
        port = free_port()
        prepare_portal(folder, servers, port, options.day)
        fields = make_fields(options.projects, rng, say)
        portal = start_portal(folder, port)
        stack.callback(portal.stop)
        _wait_until_ready(port)
        soak = Soak(options, servers, portal, fields, port)
        begun = connections(servers).total
        say(f"soaking for {options.minutes:g} minutes")
        soak.run(say)
        verdict = look_at(soak, say)
        verdict.figures["connections before"] = begun
        logged = logged_errors(logs(folder), soak.outages)
        return Result(verdict, machine, reasons(), logged, soak.gauges.values)


def _wait_until_ready(port: int) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not (web_answers(port) and workers_answer()):
        if time.monotonic() > deadline:
            raise RuntimeError("the portal's processes did not answer")
        time.sleep(0.5)


@contextmanager
def data_folder(path: Path | None) -> Iterator[DataFolder]:
    """The folder that was named, or a temporary one."""
    chosen = path or Path(tempfile.mkdtemp(prefix="backups-portal-soak-"))
    try:
        with opened(chosen) as folder:
            yield folder
    finally:
        if path is None:
            shutil.rmtree(chosen, ignore_errors=True)


def show(console: Console, result: Result, title: str) -> None:
    """All of it for people."""
    report.show_machine(console, result.machine)
    report.show_lines(console, result.lines, title)
    for heading, numbers in (
        ("figure", result.verdict.figures),
        ("tried again or given up, because", result.reasons),
        ("logged as errors while nothing was away", result.logged),
    ):
        table = Table(heading)
        table.add_column("", justify="right")
        for name, number in numbers.items():
            table.add_row(name, f"{number:,}")
        console.print(table)
    for name, found in result.verdict.troubles.items():
        for trouble in found[:SHOWN]:
            console.print(f"{name}: {trouble}", style="red", markup=False)


def main(arguments: list[str]) -> int:
    """Run the soak; 0 where everything held."""
    options = parse(arguments)
    console = Console(stderr=options.json)
    say: Callable[[str], Any] = partial(Console(stderr=True).print, markup=False)
    with stop_on_signals(), data_folder(options.data) as folder:
        result = run(folder, options, say)
    title = f"{options.projects:,} projects, {options.minutes:g} minutes, days of {options.day:g} s"
    show(console, result, title)
    if options.json:
        sys.stdout.write(json.dumps({**_asked(options), **result.as_dict()}, indent=2) + "\n")
    return 0 if result.holds else 1


def _asked(options: argparse.Namespace) -> dict[str, Any]:
    return {name: getattr(options, name) for name in ("minutes", "projects", "day", "seed")}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
