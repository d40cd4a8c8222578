"""Attack the sign-in of a running portal and of the projects' API, from this machine alone.

    python -m tests.benchmarks.signin
    python -m tests.benchmarks.signin --tries 500 --json

Two gunicorns with their own PostgreSQL and Redis; clients guess one account's password, in turn at
the portal and at the API, from a few addresses that a proxy seems to report. It ends after the
tries or after `--seconds`. Server times come from the servers' own logs.
"""

import argparse
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import requests

from tests.benchmarks.harness import Say, console_of, parser_of, prepared, print_json
from tests.benchmarks.servers import Cluster, portal_ready

# Reserved for documentation (RFC 5737).
ADDRESSES = [f"192.0.2.{number}" for number in range(1, 9)]
HOME = "198.51.100.7"
EMAIL = "owner@example.com"
PASSWORD = "correct horse battery"
ENVIRONMENT = {
    "ALLOWED_HOSTS": "127.0.0.1",
    "PROXY_HOPS": "1",
    "LOG_FORMAT": "json",
    "LOG_LEVEL": "ERROR",
}
# The tries per account and hour from all addresses, plus the owner's two sign-ins.
MAX_CHECKED = 50 + 2
STATUSES = {"looked at": ("400", "401"), "refused": ("429",)}
PATIENCE = 30.0


@dataclass
class Guesser:
    """Tries passwords of one account, each in a new session.

    Attributes:
        portal, api: Base URLs.
    """

    portal: str
    api: str
    token: str = field(init=False)

    def __post_init__(self) -> None:
        # The token that marks the form as the portal's.
        answer = requests.get(f"{self.portal}/sign-in/", timeout=PATIENCE)
        self.token = answer.cookies["csrftoken"]

    def at_portal(self, password: str, address: str) -> int:
        form = {"username": EMAIL, "password": password, "csrfmiddlewaretoken": self.token}
        cookies = {"csrftoken": self.token}
        return self._post(f"{self.portal}/sign-in/", address, data=form, cookies=cookies)

    def at_api(self, password: str, address: str) -> int:
        body = {"email": EMAIL, "password": password}
        return self._post(f"{self.api}/account/login", address, json=body)

    def _post(self, url: str, address: str, **content: Any) -> int:
        headers = {"X-Forwarded-For": address}
        # A redirect means success, so it need not be followed.
        answer = requests.post(
            url, headers=headers, allow_redirects=False, timeout=PATIENCE, **content
        )
        return answer.status_code

    def attack(self, tries: int, clients: int, seconds: float) -> list[int]:
        """Return the answers to this many wrong passwords, or to as many as time allowed."""
        until = time.monotonic() + seconds

        def guess(number: int) -> int | None:
            if time.monotonic() > until:
                return None
            ask = (self.at_portal, self.at_api)[number % 2]
            return ask(f"guess {number}", ADDRESSES[number // 2 % len(ADDRESSES)])

        with ThreadPoolExecutor(clients) as pool:
            return [answer for answer in pool.map(guess, range(tries)) if answer is not None]


def run(cluster: Cluster, options: argparse.Namespace, say: Say) -> dict[str, Any]:
    from backups_portal.accounts.models import Account
    from backups_portal.audit.models import AuditEvent
    from tests.contract.server import running

    Account.objects.create_user(EMAIL, PASSWORD)
    web, api = (cluster.scratch / f"{name}.log" for name in ("web", "api"))
    with ExitStack() as stack:
        guesser = Guesser(
            stack.enter_context(running("backups_portal.asgi", ENVIRONMENT, web)),
            stack.enter_context(running("backups_portal.tagoio_api.asgi", ENVIRONMENT, api)),
        )
        if guesser.at_portal(PASSWORD, HOME) != 302:
            raise RuntimeError("the owner cannot sign in at all")
        say(f"{options.tries:,} tries, {options.clients} at a time")
        began = time.monotonic()
        answers = guesser.attack(options.tries, options.clients, options.seconds)
        took = time.monotonic() - began
        say("trying the right password")
        asked = [ask(PASSWORD, ADDRESSES[0]) for ask in (guesser.at_portal, guesser.at_api)]
        home = guesser.at_portal(PASSWORD, HOME)
    events = AuditEvent.objects.all()
    return {
        "tries": len(answers),
        "seconds": took,
        "refused unlooked at": answers.count(429),
        "other answers": sum(answer not in (400, 401, 429) for answer in answers),
        # Only tries that reached the password hash are audited as refused.
        "reached the password hash": events.filter(action__startswith="session.refused").count(),
        "lines in the audit log": events.count(),
        "right password from an attacker's address gets in": bool({200, 302} & {*asked}),
        "right password from the owner's own address gets in": home == 302,
        **_server_times(web, api),
    }


def _server_times(*logs: Path) -> dict[str, float | None]:
    """Return median milliseconds of checked and of refused tries."""
    lines = [json.loads(line) for log in logs for line in log.read_text().splitlines() if line]
    posts = [line for line in lines if line.get("message", "").startswith("POST ")]
    found: dict[str, float | None] = {}
    for kind, statuses in STATUSES.items():
        times = [1e3 * line["seconds"] for line in posts if line["status"] in statuses]
        found[f"server time, {kind}, ms"] = round(median(times), 1) if times else None
    return found


def holds(figures: dict[str, Any]) -> bool:
    """Return whether guessing failed and the owner could still sign in."""
    return (
        figures["reached the password hash"] <= MAX_CHECKED
        and not figures["other answers"]
        and not figures["right password from an attacker's address gets in"]
        and figures["right password from the owner's own address gets in"]
    )


def main(arguments: list[str]) -> None:
    parser = parser_of("benchmarks.signin", __doc__)
    parser.add_argument("--tries", type=int, default=2_000, help="total number of wrong passwords")
    parser.add_argument("--clients", type=int, default=8, help="number of concurrent clients")
    parser.add_argument("--seconds", type=float, default=60.0, help="time limit")
    options = parser.parse_args(arguments)
    console = console_of(options)
    with prepared() as (cluster, machine, say), portal_ready(cluster):
        figures = run(cluster, options, say)
    console.print(str(machine))
    for name, value in figures.items():
        console.print(f"{name}: {value}", markup=False, highlight=False)
    print_json(options, machine=asdict(machine), **{**figures, "holds": holds(figures)})
    sys.exit(0 if holds(figures) else 1)


if __name__ == "__main__":
    main(sys.argv[1:])
