"""Summarize block ranges of the target's table while it is filled.

The indexes of times and numbers know a range of blocks only once it is summarized: until then each
search reads it. Summarizing reads it twice, so it is done beside the batches, behind them.
"""

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Self

from psycopg import Connection

from backups_portal.transfers.move.tracks import TRACKS

# Blocks of a range, in schema.sql.
RANGE = 32
SIZE = "SELECT pg_relation_size('variable') / current_setting('block_size')::integer"
SUMMARIZE = """SELECT brin_summarize_range(index::regclass, block)
    FROM generate_series(%s::bigint, %s::bigint - 1, %s) AS block,
         unnest(ARRAY['variable_time', 'variable_id']) AS index"""


class BlockSummaries:
    """A thread that summarizes what batches have filled, on a connection of its own."""

    def __init__(self, target: Connection) -> None:
        self._target = target
        self._next = self._size() // RANGE * RANGE
        # A batch may still fill blocks that were there when another one ended: a summarized range
        # would be summarized again with each of its rows.
        self._sizes: deque[int] = deque(maxlen=TRACKS + 1)
        self._threads = ThreadPoolExecutor(1)
        self._running: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._threads.shutdown()
        if self._running and error is None:
            self._running.result()

    def note_batch(self) -> None:
        """Summarize what earlier batches have filled, unless that is being done."""
        if self._running is None or self._running.done():
            if self._running:
                self._running.result()
            self._running = self._threads.submit(self._summarize)

    def _summarize(self) -> None:
        self._sizes.append(self._size())
        if len(self._sizes) > TRACKS:
            end = self._sizes[0] // RANGE * RANGE
            self._target.execute(SUMMARIZE, [self._next, end, RANGE])
            self._next = max(self._next, end)

    def _size(self) -> int:
        row = self._target.execute(SIZE).fetchone()
        return int(row[0]) if row else 0


def summarize_blocks(target: Connection) -> None:
    """Summarize every new block that is not yet."""
    target.execute(
        """SELECT brin_summarize_new_values(index::regclass)
           FROM unnest(ARRAY['variable_time', 'variable_id']) AS index"""
    )


def search_by_number(target: Connection) -> None:
    """Find batches by their numbers' block ranges in this transaction.

    Without statistics on how well numbers follow the table's order, the planner would rather read
    the whole table for each batch.
    """
    target.execute("SET LOCAL enable_seqscan = off")
