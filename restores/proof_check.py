"""Prove a restore: read the database and compare it with the manifest."""

import threading
from dataclasses import dataclass, replace

from backups_portal.lib.failure_causes import Cause
from backups_portal.lib.thread_pool import run_parallel
from backups_portal.projectdb.catalogue import BY_NAME, VARIABLE
from restores.build_steps import Step
from restores.snapshot_loader import Target
from snapshots.engine.digest import Digest, table_digest
from snapshots.engine.errors import EngineError
from snapshots.engine.instant_reader import Reader, open_reader
from snapshots.engine.manifest import Manifest
from snapshots.engine.reading_plan import ReadJob
from snapshots.engine.run_progress import OnProgress, Progress
from snapshots.engine.segment_plan import by_range
from snapshots.engine.segments import check_columns, total_digest
from snapshots.engine.source_database import chunk_start, open_instant


class ProofError(EngineError):
    """The restored database is not what the snapshot recorded."""

    cause = Cause.DAMAGED


@dataclass(frozen=True)
class Expectation:
    """What must be found in a table, or in a range of the variables."""

    job: ReadJob
    columns: tuple[str, ...]
    rows: int
    bytes: int
    digest: Digest


def expectations(manifest: Manifest) -> list[list[Expectation]]:
    """List what the manifest promises, in pieces that can be read alone.

    The resources are one: what reads row by row takes a while to connect.
    """
    promised = _expectations(manifest)
    resources = [expected for expected in promised if expected.job.table is not VARIABLE]
    return [resources, *([expected] for expected in promised if expected.job.table is VARIABLE)]


def _expectations(manifest: Manifest) -> list[Expectation]:
    found = []
    for name, columns in manifest.columns.items():
        if name not in BY_NAME:
            raise ProofError(f"The backup has a table that no project has: {name}.")
        for whole, segments in by_range(manifest.of(name)):
            rows = sum(segment.rows for segment in segments)
            is_variable = name == VARIABLE.name
            found.append(
                Expectation(
                    ReadJob(BY_NAME[name], replace(whole, rows=rows) if is_variable else None),
                    columns=columns,
                    rows=rows,
                    bytes=sum(segment.bytes for segment in segments),
                    digest=total_digest(segments),
                )
            )
    return found


def compare_with_manifest(
    manifest: Manifest, target: Target, *, readers: int, on_progress: OnProgress
) -> None:
    """Compare every row of the new database with what was recorded.

    Raises:
        ProofError: rows are missing, added or different; it names table, chunks and counts.
        EngineError: the database could not be read.
    """
    lock = threading.Lock()
    done = done_bytes = 0
    total_bytes = sum(segment.bytes for segment in manifest.segments)

    def compare(reader: Reader, promised: list[Expectation]) -> None:
        nonlocal done, done_bytes
        for expected in promised:
            _compare(reader, expected)
            with lock:
                done += expected.rows
                done_bytes += expected.bytes
                on_progress(Progress(done, manifest.rows, Step.PROVING, done_bytes, total_bytes))

    with open_instant(target.dsn) as (_, instant):
        run_parallel(
            expectations(manifest),
            compare,
            workers=readers,
            resource=lambda: open_reader(target.dsn, instant, as_stored=True),
        )


def _compare(reader: Reader, expected: Expectation) -> None:
    rows, digest = 0, Digest()
    for part in reader.rows(expected.job.table, expected.job.chunks, numbers=False):
        check_columns(part, expected.columns, expected.job.table.name)
        rows += part.num_rows
        digest += table_digest(part, expected.columns)
    if rows != expected.rows:
        raise ProofError(
            f"The restored database differs from the backup: {_place(expected.job)} has {rows} "
            f"rows where the backup recorded {expected.rows}."
        )
    if digest != expected.digest:
        raise ProofError(
            f"The restored database differs from the backup: among the {rows} rows of "
            f"{_place(expected.job)} some differ from what the backup recorded."
        )


def _place(job: ReadJob) -> str:
    if job.chunks is None:
        return f"table {job.table.name}"
    first, end = (
        "the beginning" if chunk is None else f"{chunk_start(chunk):%Y-%m-%d}"
        for chunk in (job.chunks.first, job.chunks.end)
    )
    until = "the end" if job.chunks.end is None else end
    return f"table {job.table.name} from {first} until {until}"
