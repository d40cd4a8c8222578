"""Time other pages while many readers open a backup: `python -m tests.benchmarks.crowd`.

It calls a running demo over HTTP. Visitors load the Backups page, the overview and the list of
projects in turn, each in a separate process, first alone and then in parallel with readers that
all request a device's chart at the same moment.
"""

import http.client
import json
import multiprocessing
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tests.benchmarks.harness import console_of, parser_of, percentile, print_json
from tests.benchmarks.machine import Machine
from tests.browser import chromium
from tests.screenshots import device_pages, sign_in

PAGES = ("/projects/cold-chain/backups/", "/projects/cold-chain/", "/")
VISITORS = 2
PAUSE_SECONDS, ALONE_SECONDS, TIMEOUT_SECONDS = 0.02, 3.0, 120.0


class Visitor(NamedTuple):
    """An owner's session."""

    base: str
    cookie: str

    def get(self, path: str) -> tuple[int, float]:
        """Load a page over a new connection; return its status and seconds."""
        begun = time.monotonic()
        client = http.client.HTTPConnection(urlsplit(self.base).netloc, timeout=TIMEOUT_SECONDS)
        client.request("GET", path, headers={"Cookie": self.cookie, "Accept-Encoding": "gzip"})
        response = client.getresponse()
        response.read()
        client.close()
        return response.status, time.monotonic() - begun


def entered(demo: dict[str, Any]) -> tuple[Visitor, str]:
    """Sign in as the owner; return the session and the chart that the crowd requests."""
    path = chromium.executable()
    if path is None:
        sys.exit(chromium.MISSING)
    with chromium.launched(path) as browser:
        page = browser.new_page()
        base = demo["base_url"]
        sign_in(page, base, demo["accounts"][0])
        page.goto(f"{base}{PAGES[0]}")
        link = page.locator("a", has_text="What is inside").first.get_attribute("href")
        chart = dict(device_pages(page, f"{base}{link}"))["device-chart"]
        cookies = [f"{one['name']}={one['value']}" for one in page.context.cookies()]
    return Visitor(base, "; ".join(cookies)), chart.removeprefix(base)


def _visit(visitor: Visitor, ended: Any, found: Any) -> None:
    seconds = []
    while not ended.is_set():
        seconds.append(visitor.get(PAGES[len(seconds) % len(PAGES)])[1])
        time.sleep(PAUSE_SECONDS)
    found.put(seconds)


def beside(visitor: Visitor, work: Callable[[], None]) -> list[float]:
    """Return the seconds of each page that visitors load while the work runs."""
    processes = multiprocessing.get_context("fork")
    ended, found = processes.Event(), processes.Queue()
    visitors = [
        processes.Process(target=_visit, args=(visitor, ended, found)) for _ in range(VISITORS)
    ]
    for one in visitors:
        one.start()
    work()
    ended.set()
    seconds = [second for _ in visitors for second in found.get()]
    for one in visitors:
        one.join()
    return seconds


def crowd(visitor: Visitor, chart: str, readers: int) -> Counter[int]:
    """Send this many requests at once; return how often each status was the answer."""
    statuses: Counter[int] = Counter()
    threads = [
        threading.Thread(target=lambda: statuses.update([visitor.get(chart)[0]]))
        for _ in range(readers)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return statuses


def measure(demo: dict[str, Any], readers: int, rounds: int) -> dict[str, Any]:
    """Return the pages' seconds without and with the crowd, over all rounds."""
    visitor, chart = entered(demo)
    alone: list[float] = []
    crowded: list[float] = []
    statuses: Counter[int] = Counter()
    for _ in range(rounds):
        alone += beside(visitor, lambda: time.sleep(ALONE_SECONDS))
        crowded += beside(visitor, lambda: statuses.update(crowd(visitor, chart, readers)))
    return {
        "readers' answers": dict(statuses),
        **{
            f"pages {when}, ms": {
                "loads": len(seconds),
                "median": round(percentile(seconds, 0.5) or 0),
                "p95": round(percentile(seconds) or 0),
                "longest": round(1e3 * max(seconds)),
            }
            for when, seconds in (("alone", alone), ("beside the crowd", crowded))
        },
    }


def main(arguments: list[str]) -> None:
    parser = parser_of("benchmarks.crowd", __doc__, rounds=5)
    add = parser.add_argument
    add("demo", type=Path, nargs="?", default=Path("var/demo.json"), help="the demo's demo.json")
    add("--readers", type=int, default=200)
    options = parser.parse_args(arguments)
    demo = json.loads(options.demo.read_text())
    result = measure(demo, options.readers, options.rounds)
    result["machine"] = str(Machine.now("of no use here"))
    for name, value in result.items():
        console_of(options).print(f"{name}: {value}", highlight=False)
    print_json(options, **result)


if __name__ == "__main__":
    main(sys.argv[1:])
