"""The proof of a restore: the new database, read back and compared with the manifest."""

import threading
from dataclasses import dataclass

import psycopg

from backups_portal.lib.causes import Cause
from backups_portal.lib.parallel import run_parallel
from backups_portal.projectdb.catalogue import BY_NAME, VARIABLE
from restores.loading import Target
from snapshots.engine.chunks import ChunkRange
from snapshots.engine.digest import Digest, table_digest
from snapshots.engine.errors import EngineError
from snapshots.engine.manifest import Manifest, Segment
from snapshots.engine.segments import total_digest
from snapshots.engine.source import (
    Reader,
    chunk_start,
    export_instant,
    open_reader,
    source_errors,
)
from snapshots.engine.taking import OnProgress, Progress, ReadJob


class ProofError(EngineError):
    """The restored database is not what the snapshot recorded."""

    cause = Cause.DAMAGED


@dataclass(frozen=True)
class Expectation:
    """What must be found in a table, or in one range of chunks of the variables."""

    job: ReadJob
    columns: tuple[str, ...]
    rows: int
    bytes: int
    digest: Digest


def expectations(manifest: Manifest) -> list[list[Expectation]]:
    """What the manifest promises, in pieces that can be read alone: the resources are one.

    What reads row by row takes a while to connect.
    """
    promised = _expectations(manifest)
    resources = [expected for expected in promised if expected.job.table is not VARIABLE]
    return [resources, *([expected] for expected in promised if expected.job.table is VARIABLE)]


def _expectations(manifest: Manifest) -> list[Expectation]:
    groups: dict[tuple[str, int | None, int | None], list[Segment]] = {}
    for segment in manifest.segments:
        key = (segment.table, segment.first_chunk, segment.end_chunk)
        groups.setdefault(key, []).append(segment)
    return [
        Expectation(
            ReadJob(BY_NAME[table], _range(table, segments)),
            columns=manifest.columns[table],
            rows=sum(segment.rows for segment in segments),
            bytes=sum(segment.bytes for segment in segments),
            digest=total_digest(segments),
        )
        for (table, first, end), segments in groups.items()
    ]


def _range(table: str, segments: list[Segment]) -> ChunkRange | None:
    if table != VARIABLE.name:
        return None
    rows = sum(segment.rows for segment in segments)
    return ChunkRange(segments[0].first_chunk, segments[0].end_chunk, rows)


def compare_with_manifest(
    manifest: Manifest, target: Target, *, readers: int, on_progress: OnProgress
) -> None:
    """Read every row of the new database and compare it with what the snapshot recorded.

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
                on_progress(Progress(done, manifest.rows, "proving", done_bytes, total_bytes))

    with source_errors(), psycopg.connect(target.dsn) as connection:
        connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        instant = export_instant(connection)
        run_parallel(
            expectations(manifest),
            compare,
            workers=readers,
            resource=lambda: open_reader(target.dsn, instant),
        )


def _compare(reader: Reader, expected: Expectation) -> None:
    rows, digest = 0, Digest()
    for part in reader.rows(expected.job.table, expected.job.chunks, numbers=False):
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
            f"{_place(expected.job)} some have other content than the backup recorded."
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
