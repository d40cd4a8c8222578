"""A soak test: continuous ingest, days that last minutes, and random SIGKILLs.

    python -m tests.soak
    python -m tests.soak --minutes 2 --projects 10 --day 30 --json

It starts PostgreSQL, Redis, workers, beat and the web server as the demo does, lets days pass
(days.py), writes into every project, requests restores and shuts the new projects down again, while
workers and servers are killed by SIGKILL in turns. When all work has ended, everything that remains
is compared row by row. The exit status is 1 if anything is wrong.
"""

import argparse
import logging
import os
import random
import secrets
import sys
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from backups_portal.demo.bootstrap import environment
from backups_portal.demo.data_folder import DataFolder, opened
from backups_portal.demo.embedded_servers import Services
from backups_portal.demo.ports import free_port
from backups_portal.demo.shutdown_signals import stop_on_signals
from tests.benchmarks.harness import Say, console_of, parser_of, print_json
from tests.benchmarks.machine import Machine
from tests.benchmarks.servers import server_version
from tests.soak.processes import APPLICATION, Servers, running_portal, running_servers

# These waits take the same part of a compressed day as in production.
IMPATIENT = {
    "LEASE_SECONDS": "10",
    "SNAPSHOT_RETRY_MINUTES": "0,0,0",
    "RESTORE_RETRY_MINUTES": "0,0",
    "SNAPSHOT_FULL_EVERY_DAYS": "4",
    "PROJECT_GRACE_DAYS": "1",
    # Only locks protect objects that are being stored from a sweep.
    "ORPHAN_GRACE_HOURS": "0",
}


def parse(arguments: list[str]) -> argparse.Namespace:
    parser = parser_of("soak", __doc__)
    add = parser.add_argument
    add("--minutes", type=float, default=20, help="duration of the faults")
    add("--projects", type=int, default=200, help="number of projects with ingest")
    add("--day", type=float, default=120, help="seconds of a day")
    add("--writers", type=int, default=2, help="number of writing threads")
    add("--pause", type=float, default=0.2, help="seconds between a writer's batches")
    add("--prove", type=int, default=0, metavar="N", help="prove N of the snapshots; 0: all")
    add("--seed", type=int, default=1, help="seed of faults and ingest")
    add("--data", type=Path, help="a folder to keep, instead of a temporary one")
    return parser.parse_args(arguments)


def prepare(folder: DataFolder, servers: Servers, port: int, day: float) -> None:
    """Load Django with the processes' settings, and create its tables."""
    services = Services(servers.database_url, servers.redis_url, ())
    keys = {"SNAPSHOT_MASTER_KEYS": f"soak:{secrets.token_hex(32)}"}
    days = {"SOAK_DAY_SECONDS": str(day), APPLICATION: "soak"}
    os.environ.update({**environment(folder, services, keys, port=port), **IMPATIENT, **days})
    import django

    django.setup()
    logging.getLogger().setLevel(logging.CRITICAL)
    from backups_portal.demo.demo_server import prepare as prepare_portal

    prepare_portal(services)


def run(options: argparse.Namespace, say: Say) -> bool:
    """Soak and show the result; return whether everything held."""
    rng, port = random.Random(options.seed), free_port()  # noqa: S311
    with ExitStack() as stack:
        temporary = TemporaryDirectory(prefix="backups-portal-soak-", ignore_cleanup_errors=True)
        path = options.data or Path(stack.enter_context(temporary))
        folder = stack.enter_context(opened(path))
        servers = stack.enter_context(running_servers(folder, rng))
        machine = Machine.now(server_version(servers.database_url))
        prepare(folder, servers, port, options.day)
        from tests.soak.judgement import look_at
        from tests.soak.soaking import Soak, make_fields, wait_until_ready
        from tests.soak.watching import connections

        fields = make_fields(options.projects, rng, say)
        portal = stack.enter_context(running_portal(folder, port))
        wait_until_ready(port)
        soak = Soak(options, servers, portal, fields, port)
        begun = connections(servers).total
        say(f"soaking for {options.minutes:g} minutes")
        soak.run(say)
        verdict = look_at(soak, say)
        verdict.figures["connections before"] = begun
    title = f"{options.projects:,} projects, {options.minutes:g} minutes, days of {options.day:g} s"
    console = console_of(options)
    console.print(str(machine))
    found = verdict.show(console, title)
    print_json(options, machine=asdict(machine), **found)
    return bool(found["holds"])


def main(arguments: list[str]) -> int:
    say = partial(Console(stderr=True).print, markup=False)
    with stop_on_signals():
        return 0 if run(parse(arguments), say) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
