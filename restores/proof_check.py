"""Prove a restore: read the database and compare it with the manifest."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from psycopg import Connection

from backups_portal.lib.failure_causes import Cause
from backups_portal.lib.thread_pool import check_stopped
from backups_portal.projectdb.catalogue import BY_NAME, VARIABLE, Table
from backups_portal.ui.formats import count
from restores.build_steps import Step
from snapshots.engine.digest import Digest, Words, row_words, words_digest
from snapshots.engine.errors import EngineError
from snapshots.engine.instant_reader import BlockRange, Reader
from snapshots.engine.manifest import Manifest
from snapshots.engine.pg_timestamps import DAY
from snapshots.engine.run_progress import OnProgress, Progress
from snapshots.engine.segment_plan import ChunkRange, by_range
from snapshots.engine.segments import check_columns, total_digest
from snapshots.engine.source_database import chunk_start

Moments = npt.NDArray[np.int64]

# Blocks of variables that are read at a time: some 75,000 rows.
BLOCKS_TOGETHER = 1_024
# Up to this many bounds, comparing rows with each one beats a binary search.
FEW = 16
BLOCKS = """SELECT pg_relation_size('variable') / current_setting('block_size')::integer"""


class ProofError(EngineError):
    """The restored database is not what the snapshot recorded."""

    cause = Cause.DAMAGED


@dataclass(frozen=True)
class Expectation:
    """What must be found in a table, or in a range of the variables."""

    table: Table
    chunks: ChunkRange | None
    columns: tuple[str, ...]
    rows: int
    digest: Digest


@dataclass(frozen=True)
class Piece:
    """A part of the database for one thread: some tables, or blocks of one."""

    tables: tuple[Table, ...]
    blocks: BlockRange | None = None


@dataclass
class Found:
    """The rows read so far of a table, or of a range of the variables."""

    rows: int = 0
    digest: Digest = field(default_factory=Digest)

    def add(self, rows: int, digest: Digest) -> None:
        """Add rows and their digest."""
        self.rows += rows
        self.digest += digest


def expectations(manifest: Manifest) -> list[Expectation]:
    """List what the manifest promises."""
    found = []
    for name, columns in manifest.columns.items():
        if name not in BY_NAME:
            raise ProofError(f"The backup has a table that no project has: {name}.")
        for chunks, segments in by_range(manifest.of(name)):
            found.append(
                Expectation(
                    BY_NAME[name],
                    chunks if name == VARIABLE.name else None,
                    columns=columns,
                    rows=sum(segment.rows for segment in segments),
                    digest=total_digest(segments),
                )
            )
    return found


class Comparison:
    """Compares every row of a new database with what was recorded.

    The variables are read in physical order, which needs no index and visits each block once;
    each row is then assigned to its range of the manifest. Threads may each `read` pieces; call
    `conclude` after the last one.
    """

    def __init__(self, manifest: Manifest, on_progress: Callable[[int], None]) -> None:
        self._on_progress = on_progress
        self._lock = threading.Lock()
        self._promised = expectations(manifest)
        self._found = [Found() for _ in self._promised]
        self._columns = manifest.columns
        ranges = [(n, one.chunks) for n, one in enumerate(self._promised) if one.chunks]
        self._numbers = [number for number, _ in ranges]
        # The start of each range except the first, which takes all earlier rows.
        self._starts = np.array([DAY * (part.first or 0) for _, part in ranges[1:]], np.int64)

    def pieces(self, blocks: int) -> list[Piece]:
        """List the pieces of a database whose variables have `blocks` blocks.

        All resources are one piece: their reader takes a while to connect.
        """
        tables = {promised.table.name: promised.table for promised in self._promised}
        # Every manifest has ranges of variables (manifest_consistency.py).
        del tables[VARIABLE.name]
        firsts = range(0, max(blocks, 1), BLOCKS_TOGETHER)
        # The last one is open-ended, so that unexpected rows are found too.
        ranges = map(BlockRange, firsts, [*firsts[1:], None])
        return [Piece(tuple(tables.values())), *(Piece((VARIABLE,), part) for part in ranges)]

    def read(self, reader: Reader, piece: Piece) -> None:
        """Read a piece, and count what is found."""
        for table in piece.tables:
            columns = self._columns[table.name]
            for part in reader.rows(table, piece.blocks, numbers=False):
                check_columns(part.column_names, columns, table.name)
                words = row_words(part, columns)
                self._add(table, part, words)

    def _add(self, table: Table, part: pa.Table, words: tuple[Words, Words]) -> None:
        if table is VARIABLE:
            sums = self._by_range(part, words)
        else:
            number = next(n for n, promised in enumerate(self._promised) if promised.table is table)
            sums = [(number, part.num_rows, words_digest(*words))]
        with self._lock:
            for number, rows, digest in sums:
                self._found[number].add(rows, digest)
        self._on_progress(part.num_rows)

    def _by_range(
        self, part: pa.Table, words: tuple[Words, Words]
    ) -> list[tuple[int, int, Digest]]:
        """Sum up rows by their range; the rows of a part are in few ranges."""
        ranges = self._ranges_of(part["time"].cast(pa.int64()).to_numpy())
        counts = np.bincount(ranges)
        sums = []
        for found in np.flatnonzero(counts):
            rows = int(counts[found])
            own = words if rows == len(ranges) else _where(ranges == found, words)
            sums.append((self._numbers[found], rows, words_digest(*own)))
        return sums

    def _ranges_of(self, moments: Moments) -> npt.NDArray[np.intp]:
        """Return the range of each moment.

        Neighbouring rows are in few ranges, and comparing all rows with the bounds of these takes a
        tenth of the time of a search for each row.
        """
        ends = [moments.min(), moments.max()] if len(moments) else [0, 0]
        first, last = np.searchsorted(self._starts, ends, "right")
        if last - first > FEW:
            return np.searchsorted(self._starts, moments, "right")
        ranges = np.full(len(moments), first, np.intp)
        for start in self._starts[first:last]:
            ranges += moments >= start
        return ranges

    def conclude(self) -> None:
        """Raise ProofError if anything is missing, added or different."""
        for promised, found in zip(self._promised, self._found, strict=True):
            if found.rows != promised.rows:
                raise ProofError(
                    f"The restored database differs from the backup: {_place(promised)} has "
                    f"{count(found.rows, 'row')}, but the backup recorded {promised.rows:,}."
                )
            if found.digest != promised.digest:
                raise ProofError(
                    f"The restored database differs from the backup: among the "
                    f"{count(found.rows, 'row')} of {_place(promised)} some differ from what the "
                    "backup recorded."
                )


def _where(wanted: npt.NDArray[np.bool_], words: tuple[Words, Words]) -> tuple[Words, Words]:
    low, high = words
    return low[wanted], high[wanted]


def count_blocks(connection: Connection) -> int:
    """Return how many blocks the variables have."""
    row = connection.execute(BLOCKS).fetchone()
    return int(row[0]) if row else 0


class ProofProgress:
    """Reports a comparison's progress; before `start`, as part of indexing."""

    def __init__(self, manifest: Manifest, on_progress: OnProgress) -> None:
        self._on_progress, self._is_started = on_progress, False
        self._lock = threading.Lock()
        self._rows, self._total = 0, manifest.rows
        self._total_bytes = sum(segment.bytes for segment in manifest.segments)

    def add(self, rows: int) -> None:
        """Count compared rows; an error raised by the report ends the run."""
        check_stopped()
        with self._lock:
            self._rows += rows
            self._report()

    def start(self) -> None:
        """Report the comparison from now on."""
        with self._lock:
            self._is_started = True
            self._report()

    def _report(self) -> None:
        if not self._is_started:
            self._on_progress(Progress(self._total, self._total, Step.INDEXING))
            return
        done_bytes = self._total_bytes * self._rows // max(self._total, 1)
        self._on_progress(
            Progress(self._rows, self._total, Step.PROVING, done_bytes, self._total_bytes)
        )


def _place(promised: Expectation) -> str:
    if promised.chunks is None:
        return f"table {promised.table.name}"
    first, end = (
        "the beginning" if chunk is None else f"{chunk_start(chunk):%Y-%m-%d}"
        for chunk in (promised.chunks.first, promised.chunks.end)
    )
    until = "the end" if promised.chunks.end is None else end
    return f"table {promised.table.name} from {first} until {until}"
