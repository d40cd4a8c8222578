"""Attacks the sign-in of a running portal and of the projects' API, from this machine alone.

    python -m tests.benchmarks.signin
    python -m tests.benchmarks.signin --tries 500 --json

Two gunicorns with a PostgreSQL and a Redis of their own; clients guess the password of one account,
in turn at the portal and at the API, from a few addresses that a proxy is said to have seen. It
ends after the tries or after `--seconds`. Server times are those of the servers' own logs.
"""

import argparse
import json
import sys
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any

from tests.benchmarks import report
from tests.benchmarks.cluster import Cluster
from tests.benchmarks.guessing import Guesser, attack
from tests.benchmarks.harness import console_of, parser_of, prepared, print_json
from tests.benchmarks.pagesetup import portal_ready
from tests.benchmarks.samples import Say

# Of the kind that documents use (RFC 5737): nobody's.
ADDRESSES = [f"192.0.2.{number}" for number in range(1, 9)]
HOME = "198.51.100.7"
EMAIL = "owner@example.com"
PASSWORD = "correct horse battery"
# What an account lets in from everywhere in an hour, and the owner's own two sign-ins.
MOST_LOOKED_AT = 50 + 2


def parse(arguments: list[str]) -> argparse.Namespace:
    """The options of a run."""
    parser = parser_of("signin", __doc__)
    add = parser.add_argument
    add("--tries", type=int, default=2_000, help="wrong passwords in all (default: 2000)")
    add("--clients", type=int, default=8, help="at one time (default: 8)")
    add("--seconds", type=float, default=60.0, help="ends after so long (default: 60)")
    return parser.parse_args(arguments)


def run(cluster: Cluster, options: argparse.Namespace, say: Say) -> dict[str, Any]:
    """The attack, and what the owner and the attacker get afterwards."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        stack.enter_context(portal_ready(cluster))
        from backups_portal.accounts.models import Account
        from tests.contract.server import running

        Account.objects.create_user(EMAIL, PASSWORD)
        environment = {
            "ALLOWED_HOSTS": "127.0.0.1",
            "PROXY_HOPS": "1",
            "LOG_FORMAT": "json",
            "LOG_LEVEL": "ERROR",
        }
        web, api = folder / "web.log", folder / "api.log"
        guesser = Guesser(
            stack.enter_context(running("backups_portal.asgi", environment, web)),
            stack.enter_context(running("backups_portal.tagoio_api.asgi", environment, api)),
            EMAIL,
        )
        if guesser.at_portal(PASSWORD, HOME) != 302:
            raise RuntimeError("the owner cannot sign in at all")
        say(f"{options.tries:,} tries, {options.clients} at a time")
        began = perf_counter()
        answers = attack(
            guesser, ADDRESSES, options.tries, clients=options.clients, seconds=options.seconds
        )
        took = perf_counter() - began
        say("trying the right password")
        figures = {
            "tries": len(answers),
            "seconds": took,
            "refused unlooked at": answers.count(429),
            "other answers": sum(answer not in (400, 401, 429) for answer in answers),
            # Only what has reached the hash is written down as refused.
            "reached the password hash": _events("session.refused"),
            "lines in the audit log": _events(""),
            "right password from an attacker's address gets in": any(
                ask(PASSWORD, ADDRESSES[0]) in (200, 302)
                for ask in (guesser.at_portal, guesser.at_api)
            ),
            "right password from the owner's own address gets in": guesser.at_portal(PASSWORD, HOME)
            == 302,
        }
        return {**figures, **_server_times(web, api)}


def _events(action: str) -> int:
    from backups_portal.audit.models import AuditEvent

    return AuditEvent.objects.filter(action__startswith=action).count()


def _server_times(*logs: Path) -> dict[str, float | None]:
    """Medians in milliseconds, of tries that were looked at and of those that were not."""
    lines = [json.loads(line) for log in logs for line in log.read_text().splitlines() if line]
    posts = [line for line in lines if line.get("message", "").startswith("POST ")]
    kinds = {"looked at": ("400", "401"), "refused": ("429",)}
    found = {
        kind: [1e3 * line["seconds"] for line in posts if line["status"] in statuses]
        for kind, statuses in kinds.items()
    }
    return {
        f"server time, {kind}, ms": round(median(times), 1) if times else None
        for kind, times in found.items()
    }


def holds(figures: dict[str, Any]) -> bool:
    """Whether guessing led nowhere, and the owner was let in all the same."""
    return (
        figures["reached the password hash"] <= MOST_LOOKED_AT
        and not figures["other answers"]
        and not figures["right password from an attacker's address gets in"]
        and figures["right password from the owner's own address gets in"]
    )


def main(arguments: list[str]) -> None:
    """Run the benchmark."""
    options = parse(arguments)
    console = console_of(options)
    with prepared() as (cluster, machine, say):
        figures = run(cluster, options, say)
    report.show_machine(console, machine)
    for name, value in figures.items():
        console.print(f"{name}: {value}", markup=False, highlight=False)
    if options.json:
        print_json({"machine": machine.as_dict(), **figures, "holds": holds(figures)})
    sys.exit(0 if holds(figures) else 1)


if __name__ == "__main__":
    main(sys.argv[1:])
