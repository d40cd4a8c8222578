"""The two halves of a restore one after the other; restores run them in parallel."""

from backups_portal.lib import pgsession
from backups_portal.lib.crypto import Keyring
from backups_portal.lib.thread_pool import run_parallel
from restores.build_steps import Step
from restores.index_build import IndexBuild
from restores.proof_check import Comparison, ProofProgress, count_blocks
from restores.snapshot_loader import Target, load_errors, load_rows
from snapshots.engine.instant_reader import open_reader
from snapshots.engine.manifest import Manifest
from snapshots.engine.run_progress import OnProgress, Progress
from snapshots.engine.source_database import open_instant
from snapshots.engine.storage import Storage


def load_snapshot(
    manifest: Manifest,
    storage: Storage,
    target: Target,
    *,
    keys: Keyring,
    loaders: int,
    on_progress: OnProgress,
) -> None:
    """Load a snapshot into a new, empty database, ready for queries, without a comparison.

    Raises:
        EngineError: As `load_rows`.
    """
    bare = load_rows(manifest, storage, target, keys=keys, loaders=loaders, on_progress=on_progress)
    on_progress(Progress(manifest.rows, manifest.rows, Step.INDEXING))
    with load_errors():
        run_parallel(
            IndexBuild(bare, manifest, workers=loaders).jobs(),
            lambda connection, build: build(connection),
            workers=loaders,
            resource=lambda: pgsession.connect(target.dsn, autocommit=True),
        )


def compare_with_manifest(
    manifest: Manifest, target: Target, *, readers: int, on_progress: OnProgress
) -> None:
    """Compare every row of the new database with the manifest.

    Raises:
        ProofError: Rows are missing, added or different; it names table, chunks and counts.
        EngineError: The database could not be read.
    """
    comparison = Comparison(manifest, ProofProgress(manifest, on_progress).add)
    with open_instant(target.dsn) as (connection, instant):
        run_parallel(
            comparison.pieces(count_blocks(connection)),
            comparison.read,
            workers=readers,
            resource=lambda: open_reader(target.dsn, instant, as_stored=True),
        )
    comparison.conclude()
