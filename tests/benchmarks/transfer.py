"""Benchmark moving data between two projects against its peers, in one run on the same rows.

    python -m tests.benchmarks.transfer --json
    python -m tests.benchmarks.transfer --growth 200k,2M,10M

It starts a temporary PostgreSQL cluster, builds a project, and moves it into an empty one. Peers:
a bare COPY out of one database piped into a table with the same indexes in the other, and the
official Python SDK doing the same migration through the API.
"""

import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg

from backups_portal.transfers.move.move_run import MoveJob, move
from backups_portal.transfers.move.transfer_check import Line as Compared
from backups_portal.transfers.move.transfer_check import compare
from backups_portal.transfers.move.transfer_undo import undo
from backups_portal.transfers.move.undo_progress import Undone
from backups_portal.transfers.plan.dry_run import Plan, Planning, make_plan
from backups_portal.transfers.plan.selection import Choice
from restores.snapshot_loader import Target
from tests.benchmarks.fleet import Connection, Fleet, built, scalar
from tests.benchmarks.harness import (
    MEGABYTE,
    Goal,
    Samples,
    Say,
    console_of,
    counts,
    divide,
    parser_of,
    prepared,
    print_json,
    show,
)
from tests.benchmarks.machine import INSTALLATION, own_peak_bytes
from tests.benchmarks.servers import Cluster, django_ready
from tests.projectdatabases import KEYS, main_database, open_database, quiet

DEVICES = 100
# The same value as settings.TRANSFER_BATCH_ROWS.
BATCH_ROWS = 100_000
# The API's page size limit for reading and writing.
PAGE = 10_000
COLUMNS = "series_id, time, created_at, number_value, text_value, group_key, location, metadata"
BARE = "bare COPY into COPY"
BRIN = "CREATE INDEX ON bare USING brin ({}) WITH (pages_per_range = 32)"
BARE_TABLE = (
    "CREATE TABLE bare (LIKE variable INCLUDING DEFAULTS INCLUDING IDENTITY)",
    "CREATE INDEX ON bare (series_id, time)",
    BRIN.format("time timestamptz_minmax_multi_ops"),
    BRIN.format("id int8_minmax_multi_ops"),
)


def _peak_megabytes(samples: Samples) -> float:
    return max(samples.values["peak bytes"]) / MEGABYTE


def _sdk_ratio(samples: Samples) -> float | None:
    per_row, rows = samples.median("SDK s per row"), samples.median("rows")
    return divide(per_row and rows and per_row * rows, samples.median("move s"))


GOALS = (
    Goal("vs the official Python SDK", _sdk_ratio, 30, 50, more_is_better=True),
    Goal("rows/s vs bare COPY", (f"{BARE} s", "move s"), 1, 1.2, more_is_better=True),
    Goal("dry run vs move", ("dry run s", "move s"), 15, unit="%"),
    Goal("undo vs move", ("undo s", "move s"), 1),
    Goal("nothing new vs move", ("second move s", "move s"), 5, unit="%"),
    Goal("peak memory", _peak_megabytes, 300, unit="MB"),
)


@dataclass
class Pair:
    source: Target
    target: Target

    @contextmanager
    def opened(self) -> Iterator[tuple[Connection, Connection]]:
        with psycopg.connect(self.source.dsn) as source, open_database(self.target) as target:
            source.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            target.execute("SET work_mem = '64MB'")
            yield source, target

    def plan(self) -> Plan:
        planning = Planning(limit=0, now=datetime.now(UTC), batch_rows=BATCH_ROWS)
        with self.opened() as (source, target):
            return make_plan(source, target, Choice(), planning)

    def move(self, plan: Plan, transfer: str) -> list[Compared]:
        job = MoveJob(transfer, plan, Choice(), keys=KEYS, limit=0, now=datetime.now(UTC))
        with self.opened() as (source, target):
            routes = move(source, target, job, on_batch=quiet)
            return compare(target, plan, routes.target, transfer=transfer)

    def take_back(self, transfer: str) -> None:
        with self.opened() as (_, target):
            undo(target, transfer, Undone(), lambda: None)


def bare_copy(pair: Pair, samples: Samples) -> None:
    with open_database(pair.source) as source, open_database(pair.target) as target:
        for statement in BARE_TABLE:
            target.execute(statement.encode())
        with (
            samples.clock(BARE),
            source.cursor() as left,
            target.cursor() as right,
            left.copy(f"COPY variable ({COLUMNS}) TO STDOUT (FORMAT binary)".encode()) as rows,
            right.copy(f"COPY bare ({COLUMNS}) FROM STDIN (FORMAT binary)".encode()) as copy,
        ):
            for row in rows:
                copy.write(row)
        target.execute("DROP TABLE bare")


def measure_round(cluster: Cluster, pair: Pair, samples: Samples) -> None:
    """Measure everything once; the target is empty again afterwards."""
    bare_copy(pair, samples)
    cluster.settle()
    first, second = str(uuid.uuid4()), str(uuid.uuid4())
    with samples.clock("dry run"):
        plan = pair.plan()
    with samples.clock("move"):
        lines = pair.move(plan, first)
    if not all(line.is_equal for line in lines):
        raise SystemExit("what was moved is not what was chosen")
    with samples.clock("second dry run"):
        again = pair.plan()
    if again.cost:
        raise SystemExit("the second dry run would add rows")
    with samples.clock("second move"):
        pair.move(again, second)
    cluster.settle()
    with samples.clock("undo"):
        pair.take_back(first)
    with open_database(pair.target) as target:
        target.execute("TRUNCATE variable, change_mark")
        target.execute("VACUUM")
    samples.add("peak bytes", own_peak_bytes())


def migrate_devices(cluster: Cluster, pair: Pair, devices: int) -> float:
    """Copy devices with the SDK through a production-like server; return seconds per record."""
    from tagoio_sdk import Resources

    from tests.benchmarks.portal import serve
    from tests.contract.server import running_api

    tokens = [serve(one).headers["HTTP_TOKEN"] for one in (pair.source, pair.target)]
    with running_api({}, cluster.scratch / "api.log") as url:
        region = {"api": url, "sse": f"{url}/events"}
        left, right = (Resources({"token": token, "region": region}) for token in tokens)
        found = left.devices.listDevice({"page": 1, "amount": devices, "fields": ["id", "name"]})
        began, copied = time.monotonic(), 0
        for device in found:
            made = right.devices.create({"name": device["name"], "type": "mutable"})
            copied += _copy_records(left, right, device["id"], made["device_id"])
        return (time.monotonic() - began) / copied


def _copy_records(left: Any, right: Any, old: str, new: str) -> int:
    copied = 0
    while True:
        query = {"qty": PAGE, "skip": copied, "ordination": "ascending"}
        records = left.devices.getDeviceData(old, query)
        if records:
            right.devices.sendDeviceData(new, records)
        copied += len(records)
        if len(records) < PAGE:
            return copied


def run_size(cluster: Cluster, rows: int, rounds: int, sdk_devices: int, say: Say) -> Samples:
    """Run all rounds of one size; the slow SDK copies some devices once."""
    samples = Samples()
    say(f"building a project of {rows:,} variables")
    with (
        built(cluster, Fleet(rows, DEVICES)) as source,
        main_database(cluster.url, INSTALLATION) as target,
    ):
        pair = Pair(source, target)
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}, {rows:,} rows")
            measure_round(cluster, pair, samples)
        with open_database(source) as connection:
            samples.add("rows", scalar(connection, "SELECT count(*) FROM variable"))
        if sdk_devices:
            say(f"the SDK copies {sdk_devices} devices")
            with django_ready(cluster):
                samples.add("SDK s per row", migrate_devices(cluster, pair, sdk_devices))
    return samples


def main(arguments: list[str]) -> None:
    parser = parser_of("benchmarks.transfer", __doc__, rows=2_000_000, rounds=3)
    parser.add_argument("--sdk-devices", type=int, default=5, help="devices; 0 skips the SDK")
    parser.add_argument("--growth", type=counts, metavar="N,…", help="only measure these sizes")
    options = parser.parse_args(arguments)
    console, sizes = console_of(options), {}
    devices = 0 if options.growth else options.sdk_devices
    with prepared() as (cluster, machine, say):
        console.print(str(machine))
        for rows in options.growth or [options.rows]:
            samples = run_size(cluster, rows, options.rounds, devices, say)
            sizes[rows] = show(console, samples, GOALS, f"{rows:,} variables")
    print_json(options, machine=asdict(machine), sizes=sizes)


if __name__ == "__main__":
    main(sys.argv[1:])
