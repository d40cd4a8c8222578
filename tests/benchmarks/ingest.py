"""What ingest pays: for the marks of changed chunks, and for somebody reading meanwhile.

Added rows stay, unlike those of other measurements: rows that fill the space of removed ones cost
several times as much, because they change the summaries of the block-range indexes one by one.
"""

import secrets
import subprocess
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from statistics import fmean, median

import psycopg

from tests.benchmarks import peers
from tests.benchmarks.build import BATCH, DAYS, START, Marks, add_readings
from tests.benchmarks.samples import Samples, Say
from tests.benchmarks.setup import Setup

PAIRS = 80
SECONDS_ALONE = 4.0

Connection = psycopg.Connection[tuple[object, ...]]

INSERT = """
INSERT INTO variable (series_id, time, number_value, text_value, group_key)
SELECT * FROM unnest(%s::integer[], %s::timestamptz[], %s::float8[], %s::text[], %s::text[])
"""


class Batches:
    """Batches of 1,000 records as the API inserts them: one statement, one transaction.

    The arrays are written out before the clock starts, so that it shows what the server does.
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
        """Insert one; the seconds until it was committed."""
        batch = self._next()
        started = time.perf_counter()
        connection.execute(INSERT, batch, prepare=True)
        return time.perf_counter() - started


def _array(values: Iterable[object]) -> str:
    """An array as PostgreSQL reads it."""
    return "{" + ",".join(map(str, values)) + "}"


def trigger_cost(setup: Setup, samples: Samples, say: Say) -> None:
    """Batches with the triggers and without, in turn.

    The session without them has session_replication_role = replica, which keeps them from firing
    without locking the table; there is nothing else that this leaves out.
    """
    say("ingest with and without triggers")
    batches = Batches()
    _fill_gaps(setup)
    with _session(setup, "origin") as plain, _session(setup, "replica") as bare:
        for _ in range(PAIRS // 10):
            batches.insert(plain), batches.insert(bare)
        times = [_pair(batches, plain, bare, number) for number in range(PAIRS)]
    samples.add("batch with triggers s", median(with_ for with_, _ in times))
    samples.add("batch without triggers s", median(without for _, without in times))
    # What disturbs a batch disturbs its neighbour, so that their ratio shows less of it.
    samples.add("batch with by without triggers", median(with_ / out for with_, out in times))


def _pair(
    batches: Batches, plain: Connection, bare: Connection, number: int
) -> tuple[float, float]:
    """A batch with triggers and one without; each is the first one every other time."""
    if number % 2:
        return batches.insert(plain), batches.insert(bare)
    without = batches.insert(bare)
    return batches.insert(plain), without


def _fill_gaps(setup: Setup) -> None:
    """Use up the space that removed rows have left."""
    with setup.source.connect() as connection:
        add_readings(connection, DAYS, 2 * setup.fleet.daily_readings)
    setup.source.cluster.settle()


def _rest(setup: Setup) -> None:
    """What autovacuum, which is off here, and the checkpointer would have done by now.

    Block ranges that no index knows yet are read for every chunk; a server knows all but those of
    its last minute.
    """
    with psycopg.connect(setup.source.superuser_dsn, autocommit=True) as connection:
        connection.execute(
            """SELECT brin_summarize_new_values(pg_class.oid) FROM pg_class
               JOIN pg_index ON indexrelid = pg_class.oid JOIN pg_am ON pg_am.oid = relam
               WHERE indrelid = 'variable'::regclass AND amname = 'brin'"""
        )
        connection.execute("ANALYZE variable")
    setup.source.cluster.settle()


def _session(setup: Setup, role: str) -> Connection:
    connection = psycopg.connect(setup.source.superuser_dsn, autocommit=True)
    connection.execute(f"SET session_replication_role = {role}".encode())
    return connection


def slowdown(setup: Setup, samples: Samples, say: Say) -> None:
    """Batches while nothing else runs, while a snapshot with one reader does, while pg_dump does.

    Means, not medians: a batch that waits for long is what somebody would feel.
    """
    batches = Batches()
    _fill_gaps(setup)
    with setup.source.connect() as connection:
        say("ingest alone")
        _rest(setup)
        _add(samples, "alone", batches, connection, _for_seconds(SECONDS_ALONE))
        say("ingest during a snapshot with one reader")
        setup.marks = Marks(connection)
        setup.forget_snapshots()
        _rest(setup)
        task = setup.start_snapshot(readers=1)
        _add(samples, "during snapshot", batches, connection, lambda: task.is_running)
        setup.newest = str(task.finish()["manifest"])
        say(f"ingest during {peers.CUSTOM}")
        _rest(setup)
        with setup.scratch_path() as target:
            dump = subprocess.Popen(peers.dump_command(setup.source, target))
            _add(samples, "during pg_dump", batches, connection, lambda: dump.poll() is None)


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
