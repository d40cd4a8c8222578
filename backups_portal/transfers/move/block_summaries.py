"""Summarize block ranges of the target's table while it is filled.

The BRIN indexes of times and numbers skip a range of blocks only once it is summarized; until then
each search reads it. Summarizing reads it twice, so a thread does it while later batches move.
"""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Self

import psycopg
from psycopg import Connection

from backups_portal.lib.loggers import get_logger
from backups_portal.transfers.move.tracks import TRACKS

log = get_logger(__name__)

# The pages_per_range of the indexes in schema.sql.
RANGE = 32
SIZE = "SELECT pg_relation_size('variable') / current_setting('block_size')::integer"
# Looked up, because those of a restored project are replaced while it runs (block_ranges.py).
INDEXES = """(SELECT indexrelid AS index FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid
        JOIN pg_am ON pg_am.oid = relam
        WHERE indrelid = 'public.variable'::regclass AND amname = 'brin' AND indisvalid)"""
SUMMARIZE = f"""SELECT brin_summarize_range(index, block)
    FROM generate_series(%s::bigint, %s::bigint - 1, %s) AS block, {INDEXES} AS indexes"""  # noqa: S608
SUMMARIZE_NEW = f"SELECT brin_summarize_new_values(index) FROM {INDEXES} AS new"  # noqa: S608
# Errors that another session causes if it replaces an index or vacuums.
HELD_UP = (
    psycopg.errors.LockNotAvailable,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.UndefinedTable,
    psycopg.errors.UndefinedObject,
    # "could not open relation with OID": an index was dropped while we waited for its table.
    psycopg.errors.InternalError_,
)


@contextmanager
def unless_held_up() -> Iterator[None]:
    """Skip work that only speeds up later searches if a session blocks it."""
    try:
        yield
    except HELD_UP as error:
        log.info("blocks are tidied up later", reason=str(error).strip())


class BlockSummaries:
    """A thread that summarizes filled blocks, on its own connection."""

    def __init__(self, target: Connection) -> None:
        self._target = target
        self._next = self._size() // RANGE * RANGE
        # A batch may still fill blocks that existed when another one ended, and in a summarized
        # range each of its rows would have to update the summary.
        self._sizes: deque[int] = deque(maxlen=TRACKS + 1)
        self._threads = ThreadPoolExecutor(1)
        self._running: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._threads.shutdown()
        if self._running and kind is None:
            self._running.result()

    def note_batch(self) -> None:
        """Summarize what earlier batches have filled, unless the thread is busy."""
        if self._running is None or self._running.done():
            if self._running:
                self._running.result()
            self._running = self._threads.submit(self._summarize)

    def _summarize(self) -> None:
        self._sizes.append(self._size())
        if len(self._sizes) > TRACKS:
            end = self._sizes[0] // RANGE * RANGE
            with unless_held_up():
                self._target.execute(SUMMARIZE, [self._next, end, RANGE])
                self._next = max(self._next, end)

    def _size(self) -> int:
        row = self._target.execute(SIZE).fetchone()
        return int(row[0]) if row else 0


def summarize_blocks(target: Connection) -> None:
    """Summarize all blocks that are not yet summarized."""
    with unless_held_up():
        target.execute(SUMMARIZE_NEW)


def search_by_number(target: Connection) -> None:
    """Make this transaction find batches through the block ranges of numbers.

    Without statistics on how well numbers follow the table's order, the planner would read the
    whole table for each batch.
    """
    target.execute("SET LOCAL enable_seqscan = off")
