"""What ingest pays: for the marks of changed chunks, and for somebody reading meanwhile."""

import secrets
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from statistics import fmean, median

import psycopg

from tests.benchmarks import peers
from tests.benchmarks.build import BATCH, DAYS, START, newest_number, remove_added
from tests.benchmarks.samples import Samples, Say
from tests.benchmarks.setup import Setup

PAIRS = 150
SECONDS_ALONE = 4.0

Connection = psycopg.Connection[tuple[object, ...]]

INSERT = """
INSERT INTO variable (series_id, time, number_value, text_value, group_key)
SELECT * FROM unnest(%s::integer[], %s::timestamptz[], %s::float8[], %s::text[], %s::text[])
"""


class Batches:
    """Batches of 1,000 records as the API inserts them: one statement, one transaction."""

    def __init__(self) -> None:
        self._moment = START + timedelta(days=DAYS)

    def _next(self) -> list[list[object]]:
        self._moment += timedelta(seconds=1)
        groups = [secrets.token_hex(12) for _ in range(BATCH // 5)]
        numbers = [None if row % 5 == 4 else row / 100 for row in range(BATCH)]
        texts = ["ok" if row % 5 == 4 else None for row in range(BATCH)]
        return [
            list(range(1, BATCH + 1)),
            [self._moment] * BATCH,
            [*numbers],
            [*texts],
            [groups[row // 5] for row in range(BATCH)],
        ]

    def insert(self, connection: Connection) -> float:
        """Insert one; the seconds until it was committed."""
        batch = self._next()
        started = time.perf_counter()
        connection.execute(INSERT, batch, prepare=True)
        return time.perf_counter() - started


def trigger_cost(setup: Setup, samples: Samples, say: Say) -> None:
    """Batches with the triggers and without, in turn.

    The session without them has session_replication_role = replica, which keeps them from firing
    without locking the table; there is nothing else that this leaves out.
    """
    say("ingest with and without triggers")
    batches = Batches()
    with setup.source.connect() as counting:
        last = newest_number(counting)
        setup.source.cluster.settle()
        with _session(setup, "origin") as plain, _session(setup, "replica") as bare:
            for _ in range(PAIRS // 10):
                batches.insert(plain), batches.insert(bare)
            times = [(batches.insert(plain), batches.insert(bare)) for _ in range(PAIRS)]
        remove_added(counting, last)
    samples.add("batch with triggers s", median(with_ for with_, _ in times))
    samples.add("batch without triggers s", median(without for _, without in times))


def _session(setup: Setup, role: str) -> Connection:
    connection = psycopg.connect(setup.source.superuser_dsn, autocommit=True)
    connection.execute(f"SET session_replication_role = {role}".encode())
    return connection


def slowdown(setup: Setup, samples: Samples, say: Say) -> None:
    """Batches while nothing else runs, while a snapshot with one reader does, while pg_dump does.

    Means, not medians: a batch that waits for long is what somebody would feel.
    """
    batches = Batches()
    with setup.source.connect() as connection:
        last = newest_number(connection)
        say("ingest alone")
        _add(samples, "alone", batches, connection, _for_seconds(SECONDS_ALONE))
        say("ingest during a snapshot with one reader")
        setup.forget_snapshots()
        setup.source.cluster.settle()
        task = setup.start_snapshot(readers=1)
        _add(samples, "during snapshot", batches, connection, lambda: task.is_running)
        setup.newest = str(task.finish()["manifest"])
        say(f"ingest during {peers.CUSTOM}")
        setup.source.cluster.settle()
        with setup.scratch_path() as target:
            dump = subprocess.Popen(peers.dump_command(setup.source, target))
            _add(samples, "during pg_dump", batches, connection, lambda: dump.poll() is None)
        remove_added(connection, last)
    setup.snapshot()


def _for_seconds(seconds: float) -> Callable[[], bool]:
    end = datetime.now(UTC) + timedelta(seconds=seconds)
    return lambda: datetime.now(UTC) < end


def _add(
    samples: Samples,
    name: str,
    batches: Batches,
    connection: Connection,
    lasts: Callable[[], bool],
) -> None:
    times = []
    while lasts():
        times.append(batches.insert(connection))
    samples.add(f"batch {name} s", fmean(times))
    samples.add(f"batches {name}", len(times))
