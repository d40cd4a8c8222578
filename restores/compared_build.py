"""Make a loaded database ready for queries while comparing its rows.

One process sorts the largest index, so on two cores the other one would idle. Rows are compared in
physical order, which needs no index (decision 0043).
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cached_property

from psycopg import Connection

from backups_portal.lib import pgsession
from backups_portal.lib.thread_pool import run_parallel
from restores.build_steps import Step
from restores.index_build import BareTable, IndexBuild
from restores.proof_check import Comparison, Piece, ProofProgress, count_blocks
from restores.snapshot_loader import Target, load_errors
from snapshots.engine.instant_reader import Reader, open_reader
from snapshots.engine.manifest import Manifest
from snapshots.engine.run_progress import OnProgress, Progress
from snapshots.engine.source_database import Instant, open_instant


class Sessions:
    """A thread's connections, opened on first use: few threads need both."""

    def __init__(self, dsn: str, instant: Instant, resources: ExitStack) -> None:
        self._dsn, self._instant, self._resources = dsn, instant, resources

    @cached_property
    def builder(self) -> Connection:
        """Open the connection that builds indexes."""
        return self._resources.enter_context(pgsession.connect(self._dsn, autocommit=True))

    @cached_property
    def reader(self) -> Reader:
        """Open the reader of the instant."""
        return self._resources.enter_context(open_reader(self._dsn, self._instant, as_stored=True))


Job = Callable[[Sessions], None]


@contextmanager
def _open(dsn: str, instant: Instant) -> Iterator[Sessions]:
    with ExitStack() as resources:
        yield Sessions(dsn, instant, resources)


def complete_and_compare(
    manifest: Manifest, target: Target, bare: BareTable, *, workers: int, on_progress: OnProgress
) -> float:
    """Build a loaded database's indexes, and meanwhile compare every row.

    Returns:
        When it was ready for queries, by `time.monotonic`.

    Raises:
        ProofError: rows are missing, added or different; it names table, chunks and counts.
        EngineError: the database failed.
    """
    progress = ProofProgress(manifest, on_progress)
    comparison = Comparison(manifest, progress.add)
    ready_at = 0.0

    def be_ready() -> None:
        nonlocal ready_at
        ready_at = time.monotonic()
        progress.start()

    on_progress(Progress(manifest.rows, manifest.rows, Step.INDEXING))
    build = IndexBuild(bare, manifest, workers=workers, when_ready=be_ready)
    with open_instant(target.dsn) as (connection, instant):
        pieces = comparison.pieces(count_blocks(connection))
        jobs: list[Job] = [_built(job) for job in build.jobs()]
        jobs += [_compared(comparison, piece) for piece in pieces]
        run_parallel(
            jobs,
            lambda sessions, job: job(sessions),
            workers=workers,
            resource=lambda: _open(target.dsn, instant),
        )
    comparison.conclude()
    return ready_at


def _built(build: Callable[[Connection], None]) -> Job:
    def run(sessions: Sessions) -> None:
        # Around the build only: errors of the comparison have messages of their own.
        with load_errors():
            build(sessions.builder)

    return run


def _compared(comparison: Comparison, piece: Piece) -> Job:
    return lambda sessions: comparison.read(sessions.reader, piece)
