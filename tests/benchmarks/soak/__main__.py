"""A soak: projects with ingest that never ends, days of minutes, and whatever runs is killed.

    python -m tests.benchmarks.soak
    python -m tests.benchmarks.soak --minutes 2 --projects 10 --day 30 --json

It starts PostgreSQL, Redis, workers, beat and the web server as the demo does, lets days pass
(days.py), writes into every project, asks for restores and shuts the new projects down again, while
workers and servers are killed by SIGKILL in turns. When all has come to rest, everything that is
left is compared, row by row. It ends with 1 where something is not as it must be.
"""

import argparse
import logging
import os
import random
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from backups_portal.demo.bootstrap import environment
from backups_portal.demo.data_folder import DataFolder, opened
from backups_portal.demo.embedded_servers import Services
from backups_portal.demo.ports import free_port
from backups_portal.demo.shutdown_signals import stop_on_signals
from tests.benchmarks.harness import (
    Say,
    console_of,
    parser_of,
    print_json,
    progress,
    show,
    show_table,
)
from tests.benchmarks.machine import Machine
from tests.benchmarks.servers import server_version
from tests.benchmarks.soak.services import (
    APPLICATION,
    Servers,
    logs,
    running_portal,
    running_servers,
)

if TYPE_CHECKING:
    from tests.benchmarks.soak.verdict import Verdict

# What waits, waits for a part of a compressed day, as it does for a part of a day in production.
IMPATIENT = {
    "LEASE_SECONDS": "10",
    "SNAPSHOT_RETRY_MINUTES": "0,0,0",
    "RESTORE_RETRY_MINUTES": "0,0",
    "SNAPSHOT_FULL_EVERY_DAYS": "4",
    "PROJECT_GRACE_DAYS": "1",
    # Only the locks keep a sweep from what is being stored.
    "ORPHAN_GRACE_HOURS": "0",
}
SHOWN = 10


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options of a run."""
    parser = parser_of("soak", __doc__)
    add = parser.add_argument
    add("--minutes", type=float, default=20, help="until nothing is killed any more")
    add("--projects", type=int, default=200, help="that are written into")
    add("--day", type=float, default=120, help="seconds that a day lasts")
    add("--writers", type=int, default=2, help="threads that write")
    add("--pause", type=float, default=0.2, help="seconds of each between two batches")
    add("--prove", type=int, default=0, metavar="N", help="of all that is left, N; 0: all")
    add("--seed", type=int, default=1, help="decides what is killed when, and what is written")
    add("--data", type=Path, help="a folder that is kept; else a temporary one")
    return parser.parse_args(arguments)


@dataclass(frozen=True)
class Result:
    """What a soak has shown.

    Attributes:
        reasons: Why work was tried again or given up, and how often.
        logged: What processes logged as errors while nothing was away, and how often.
        gauges: Samples over the whole run, by name.
    """

    verdict: "Verdict"
    machine: Machine
    reasons: Mapping[str, int]
    logged: Mapping[str, int]
    gauges: Mapping[str, Sequence[float]]


def prepare(folder: DataFolder, servers: Servers, port: int, day: float) -> None:
    """Load Django with the settings that the processes have, and make its tables."""
    services = Services(servers.database_url, servers.redis_url, ())
    keys = {"SNAPSHOT_MASTER_KEYS": f"soak:{secrets.token_hex(32)}"}
    days = {"SOAK_DAY_SECONDS": str(day), APPLICATION: "soak"}
    os.environ.update({**environment(folder, services, keys, port=port), **IMPATIENT, **days})
    import django

    django.setup()
    logging.getLogger().setLevel(logging.CRITICAL)
    from backups_portal.demo.demo_server import prepare as prepare_portal

    prepare_portal(services)


def run(folder: DataFolder, options: argparse.Namespace, say: Say) -> Result:
    """The whole of it."""
    rng, port = random.Random(options.seed), free_port()  # noqa: S311
    with ExitStack() as stack:
        servers = stack.enter_context(running_servers(folder, rng))
        machine = Machine.now(server_version(servers.database_url))
        prepare(folder, servers, port, options.day)
        from tests.benchmarks.soak import checks, soaking
        from tests.benchmarks.soak.verdict import look_at
        from tests.benchmarks.soak.watching import connections

        fields = soaking.make_fields(options.projects, rng, say)
        portal = stack.enter_context(running_portal(folder, port))
        soaking.wait_until_ready(port)
        soak = soaking.Soak(options, servers, portal, fields, port)
        begun = connections(servers).total
        say(f"soaking for {options.minutes:g} minutes")
        soak.run(say)
        verdict = look_at(soak, say)
        verdict.figures["connections before"] = begun
        logged = checks.logged_errors(logs(folder), soak.outages)
        return Result(verdict, machine, checks.reasons(), logged, soak.gauges.values)


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


def conclude(console: Console, result: Result, title: str) -> dict[str, Any]:
    """Show all of it for people; the same for JSON, and whether everything is as it must be."""
    from tests.benchmarks.soak.verdict import goals

    verdict = result.verdict
    console.print(str(result.machine))
    lines = show(console, verdict.samples, goals(), title)["lines"]
    for heading, numbers in (
        ("figure", verdict.figures),
        ("tried again or given up, because", result.reasons),
        ("logged as errors while nothing was away", result.logged),
    ):
        rows = [(name, f"{number:,}") for name, number in numbers.items()]
        show_table(console, "", (heading, ""), rows)
    for name, found in verdict.troubles.items():
        for trouble in found[:SHOWN]:
            console.print(f"{name}: {trouble}", style="red", markup=False)
    return {
        # Nothing of it was left unmeasured.
        "holds": len(lines) == len(goals()) and all(line["reached_must"] for line in lines),
        "machine": asdict(result.machine),
        "lines": lines,
        "figures": verdict.figures,
        "reasons": result.reasons,
        "logged errors": result.logged,
        "troubles": {name: found for name, found in verdict.troubles.items() if found},
        "gauges": result.gauges,
    }


def main(arguments: list[str]) -> int:
    """Run the soak; 0 where everything held."""
    options = parse(arguments)
    with stop_on_signals(), data_folder(options.data) as folder:
        result = run(folder, options, progress())
    title = f"{options.projects:,} projects, {options.minutes:g} minutes, days of {options.day:g} s"
    found = conclude(console_of(options), result, title)
    print_json(options, **found)
    return 0 if found["holds"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
