"""The cost for ingest: marks of changed chunks, and a concurrent reader.

Added rows stay, unlike those of other measurements: rows that reuse the space of removed ones cost
several times as much, because they change the summaries of the block-range indexes one by one.
"""

import secrets
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import timedelta
from statistics import fmean, median

from tests.benchmarks.engine import peers
from tests.benchmarks.engine.setup import Setup
from tests.benchmarks.fleet import BATCH, DAYS, START, Connection, Marks, add_readings
from tests.benchmarks.harness import Samples, Say

PAIRS = 80
SECONDS_ALONE = 4.0
INSERT = b"""
INSERT INTO variable (series_id, time, number_value, text_value, group_key)
SELECT * FROM unnest(%s::integer[], %s::timestamptz[], %s::float8[], %s::text[], %s::text[])
"""


class Batches:
    """Batches of 1,000 records as the API inserts them: one statement, one transaction.

    The arrays are rendered before the clock starts, so that it measures the server alone.
    """

    def __init__(self) -> None:
        self._moment = START + timedelta(days=DAYS)
        self._series = _array(range(1, BATCH + 1))
        self._numbers = _array("NULL" if row % 5 == 4 else row / 100 for row in range(BATCH))
        self._texts = _array("ok" if row % 5 == 4 else "NULL" for row in range(BATCH))

    def _next(self) -> list[str]:
        self._moment += timedelta(seconds=1)
        groups = [secrets.token_hex(12) for _ in range(BATCH // 5)]
        moments = _array([f'"{self._moment.isoformat()}"'] * BATCH)
        shared = _array(groups[row // 5] for row in range(BATCH))
        return [self._series, moments, self._numbers, self._texts, shared]

    def insert(self, connection: Connection) -> float:
        batch = self._next()
        started = time.perf_counter()
        connection.execute(INSERT, batch, prepare=True)
        return time.perf_counter() - started

    def insert_while(self, connection: Connection, lasts: Callable[[], bool]) -> list[float]:
        """Insert batches in turn; return the seconds of each."""
        times = []
        while lasts():
            times.append(self.insert(connection))
        return times


def _array(values: Iterable[object]) -> str:
    return "{" + ",".join(map(str, values)) + "}"


def trigger_cost(setup: Setup, samples: Samples, say: Say) -> None:
    """Time batches with the triggers and without, in turn.

    The session without them sets session_replication_role = replica, which disables triggers
    without locking the table and changes nothing else.
    """
    say("ingest with and without triggers")
    batches = Batches()
    _fill_gaps(setup)
    with (
        closing(setup.connect_as_superuser()) as plain,
        closing(setup.connect_as_superuser()) as bare,
    ):
        bare.execute("SET session_replication_role = replica")
        pairs = []
        for number in range(PAIRS // 10 + PAIRS):
            # Alternate which one goes first.
            turns = (plain, bare) if number % 2 else (bare, plain)
            seconds = {turn: batches.insert(turn) for turn in turns}
            pairs.append((seconds[plain], seconds[bare]))
    measured = pairs[-PAIRS:]
    samples.record("batch with triggers", s=median(with_ for with_, _ in measured))
    samples.record("batch without triggers", s=median(without for _, without in measured))
    # A disturbance affects neighbouring batches alike, so it hardly changes their ratio.
    samples.add("batch with by without triggers", median(with_ / out for with_, out in measured))


def _fill_gaps(setup: Setup) -> None:
    """Use up the space that removed rows have freed."""
    with setup.connect() as connection:
        add_readings(connection, DAYS, 2 * setup.fleet.daily_readings)
    setup.cluster.settle()


def _rest(setup: Setup) -> None:
    """Do the work that autovacuum (off here) and the checkpointer would have done by now.

    Block ranges that are not yet summarised are read for every chunk; a server summarises all but
    those of its last minute.
    """
    with setup.connect_as_superuser() as connection:
        connection.execute(
            """SELECT brin_summarize_new_values(pg_class.oid) FROM pg_class
               JOIN pg_index ON indexrelid = pg_class.oid JOIN pg_am ON pg_am.oid = relam
               WHERE indrelid = 'variable'::regclass AND amname = 'brin'"""
        )
        connection.execute("ANALYZE variable")
    setup.cluster.settle()


def slowdown(setup: Setup, samples: Samples, say: Say) -> None:
    """Time batches alone, during a snapshot with one reader, and during pg_dump.

    These are means, not medians, because users feel the batches that wait for long.
    """
    batches = Batches()
    _fill_gaps(setup)
    with setup.connect() as connection, setup.cluster.scratch_path() as target:

        def measure(name: str, lasts: Callable[[], bool]) -> None:
            times = batches.insert_while(connection, lasts)
            samples.record(f"batch {name}", s=fmean(times))
            samples.add(f"batches {name}", len(times))

        say("ingest alone")
        _rest(setup)
        end = time.monotonic() + SECONDS_ALONE
        measure("alone", lambda: time.monotonic() < end)
        say("ingest during a snapshot with one reader")
        setup.marks = Marks(connection)
        setup.forget_snapshots()
        _rest(setup)
        task = setup.start("snapshot", threads=1)
        measure("during snapshot", lambda: task.is_running)
        setup.newest = str(task.finish()["manifest"])
        say(f"ingest during {peers.CUSTOM}")
        _rest(setup)
        # The usual options: one process, gzip.
        command = peers.dump_command(setup, "--format=custom", f"--file={target}")
        dump = subprocess.Popen(command)
        measure("during pg_dump", lambda: dump.poll() is None)
