"""Measures moving data between two projects beside its peers, in the same run, on the same rows.

    python -m tests.benchmarks.transfer --json
    python -m tests.benchmarks.transfer --growth 200k,2M,10M

It starts a PostgreSQL cluster of its own, builds a project, and moves it into an empty one. Peers:
a bare COPY out of one database piped into a table with the same indexes in the other, and the
official Python SDK doing the same migration through the API.
"""

import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import psycopg

from backups_portal.lib.crypto import Keyring
from backups_portal.transfers.move.move_run import MoveJob, move
from backups_portal.transfers.move.transfer_check import Line as Compared
from backups_portal.transfers.move.transfer_check import compare
from backups_portal.transfers.move.transfer_undo import Undone, undo
from backups_portal.transfers.plan.dry_run import Plan, Planning, make_plan
from backups_portal.transfers.plan.selection import Choice
from tests.benchmarks import report
from tests.benchmarks.apisetup import django_ready
from tests.benchmarks.build import Fleet, build
from tests.benchmarks.cluster import Cluster, Source, empty_source
from tests.benchmarks.goals import Goal
from tests.benchmarks.harness import console_of, count, counts, parser_of, prepared, print_json
from tests.benchmarks.machine import own_peak_bytes
from tests.benchmarks.samples import Samples
from tests.benchmarks.transferpeer import migrate_devices

KEYS = Keyring(b"k" * 32)
DEVICES = 100
# As settings.TRANSFER_BATCH_ROWS.
BATCH_ROWS = 100_000
COLUMNS = "series_id, time, created_at, number_value, text_value, group_key, location, metadata"
BARE = "bare COPY into COPY"
BRIN = "CREATE INDEX ON bare USING brin ({}) WITH (pages_per_range = 32)"
INDEXES = (
    "CREATE INDEX ON bare (series_id, time)",
    BRIN.format("time timestamptz_minmax_multi_ops"),
    BRIN.format("id int8_minmax_multi_ops"),
)


def _ratio(above: str, below: str, factor: float = 1) -> Callable[[Samples], float | None]:
    def value(samples: Samples) -> float | None:
        ratio = samples.ratio(above, below)
        return None if ratio is None else factor * ratio

    return value


def _sdk_ratio(samples: Samples) -> float | None:
    per_row, move = samples.median("SDK s per row"), samples.median("move s")
    rows = samples.median("rows")
    return None if not (per_row and move and rows) else per_row * rows / move


GOALS = (
    Goal("vs the official Python SDK", _sdk_ratio, 20, 50, more_is_better=True),
    Goal("rows/s vs bare COPY", _ratio(f"{BARE} s", "move s"), 0.3, 0.6, more_is_better=True),
    Goal("dry run vs move", _ratio("dry run s", "move s", 100), 15, None, "%"),
    Goal("undo vs move", _ratio("undo s", "move s"), 1, None),
    Goal("nothing new vs move", _ratio("second move s", "move s", 100), 10, None, "%"),
    Goal(
        "peak memory",
        lambda samples: max(samples.values["peak bytes"]) / 1e6,
        300,
        None,
        "MB",
    ),
)


@dataclass
class Pair:
    """A full project and an empty one."""

    source: Source
    target: Source

    @contextmanager
    def opened(self) -> Iterator[tuple[psycopg.Connection[Any], psycopg.Connection[Any]]]:
        """As the portal opens them."""
        with (
            psycopg.connect(self.source.dsn) as source,
            psycopg.connect(self.target.dsn, autocommit=True) as target,
        ):
            source.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            target.execute("SET work_mem = '64MB'")
            yield source, target

    def plan(self) -> Plan:
        """The dry run."""
        with self.opened() as (source, target):
            return make_plan(
                source,
                target,
                Choice(),
                Planning(limit=0, now=datetime.now(UTC), batch_rows=BATCH_ROWS),
            )

    def move(self, plan: Plan, transfer: str) -> list[Compared]:
        """The move and the comparison."""
        with self.opened() as (source, target):
            routes = move(
                source,
                target,
                MoveJob(transfer, plan, Choice(), keys=KEYS, limit=0, now=datetime.now(UTC)),
                on_batch=lambda outcome: None,
            )
            return compare(target, plan, routes.target, transfer=transfer)


def bare_copy(pair: Pair) -> float:
    """All rows from one database piped into a bare table of the other; seconds."""
    with pair.source.connect() as source, pair.target.connect() as target:
        target.execute("CREATE TABLE bare (LIKE variable INCLUDING DEFAULTS INCLUDING IDENTITY)")
        for statement in INDEXES:
            target.execute(statement.encode())
        started = time.monotonic()
        with (
            source.cursor() as left,
            target.cursor() as right,
            left.copy(f"COPY variable ({COLUMNS}) TO STDOUT (FORMAT binary)".encode()) as rows,
            right.copy(f"COPY bare ({COLUMNS}) FROM STDIN (FORMAT binary)".encode()) as copy,
        ):
            for row in rows:
                copy.write(row)
        seconds = time.monotonic() - started
        target.execute("DROP TABLE bare")
    return seconds


def measure_round(pair: Pair, samples: Samples) -> None:
    """Everything once; the target is empty again afterwards."""
    samples.add(f"{BARE} s", bare_copy(pair))
    pair.target.cluster.settle()
    first, second = str(uuid.uuid4()), str(uuid.uuid4())
    plan = _timed(samples, "dry run s", pair.plan)
    lines = _timed(samples, "move s", lambda: pair.move(plan, first))
    if not all(line.is_equal for line in lines):
        raise SystemExit("what was moved is not what was chosen")
    again = _timed(samples, "second dry run s", pair.plan)
    if again.cost:
        raise SystemExit("the second dry run would add rows")
    _timed(samples, "second move s", lambda: pair.move(again, second))
    pair.target.cluster.settle()

    def take_back() -> None:
        with pair.target.connect() as target:
            target.execute("SET work_mem = '64MB'")
            undo(target, first, Undone(), lambda: None)

    _timed(samples, "undo s", take_back)
    with pair.target.connect() as target:
        target.execute("TRUNCATE variable, change_mark")
        target.execute("VACUUM")
    samples.add("peak bytes", own_peak_bytes())


def _timed(samples: Samples, name: str, do: Callable[[], Any]) -> Any:
    started = time.monotonic()
    result = do()
    samples.add(name, time.monotonic() - started)
    return result


def run_size(
    cluster: Cluster, rows: int, rounds: int, sdk_devices: int, say: Callable[[str], None]
) -> Samples:
    """All rounds of one size; the SDK, which is slow, copies some devices once."""
    samples = Samples()
    with empty_source(cluster) as source, empty_source(cluster) as target:
        say(f"building a project of {rows:,} variables")
        build(source, Fleet(rows, DEVICES))
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}, {rows:,} rows")
            measure_round(Pair(source, target), samples)
        with source.connect() as connection:
            row = connection.execute("SELECT count(*) FROM variable").fetchone()
        samples.add("rows", int(str(row[0])) if row else 0)
        if sdk_devices:
            say(f"the SDK copies {sdk_devices} devices")
            with django_ready(cluster):
                copied, seconds = migrate_devices(source, target, sdk_devices)
            samples.add("SDK s per row", seconds / copied)
    return samples


def main(arguments: list[str]) -> None:
    """Run the benchmark."""
    parser = parser_of("transfer", __doc__)
    parser.add_argument("--rows", type=count, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sdk-devices", type=int, default=5, help="0: without the SDK")
    parser.add_argument("--growth", type=counts, metavar="N,…", help="instead: these sizes")
    options = parser.parse_args(arguments)
    console = console_of(options)
    results: dict[str, Any] = {"sizes": {}}
    with prepared() as (cluster, machine, _):
        report.show_machine(console, machine)
        results["machine"] = machine.as_dict()
        for rows in options.growth or [options.rows]:
            samples = run_size(
                cluster,
                rows,
                options.rounds,
                0 if options.growth else options.sdk_devices,
                console.print,
            )
            lines = [goal.judge(samples) for goal in GOALS]
            report.show_lines(console, lines, f"{rows:,} variables")
            report.show_samples(console, samples)
            results["sizes"][rows] = {
                "lines": [line.as_dict() for line in lines],
                "samples": samples.values,
            }
    if options.json:
        print_json(results)


if __name__ == "__main__":
    main(sys.argv[1:])
