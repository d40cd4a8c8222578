"""Read a snapshot from storage as a restore would, and check it."""

from collections.abc import Callable

from snapshots.engine.contents_index import read_contents
from snapshots.engine.digest import table_digest
from snapshots.engine.errors import DamagedSnapshotError
from snapshots.engine.manifest import Manifest, Segment
from snapshots.engine.run_progress import Progress
from snapshots.engine.segments import check_columns, read_segment
from snapshots.engine.storage import Storage


def verify_snapshot(
    storage: Storage,
    manifest: Manifest,
    on_progress: Callable[[Progress], None],
    seen: set[str] | None = None,
) -> None:
    """Read every object of a snapshot, checking bytes, rows and digests.

    Args:
        seen: Keys of objects of this project that were checked already; is added to.

    Raises:
        MissingObjectError: storage lacks an object.
        DamagedSnapshotError: an object is not what was recorded.
    """
    done = done_bytes = 0
    total_bytes = sum(segment.bytes for segment in manifest.segments)
    seen = set() if seen is None else seen
    for item in manifest.contents:
        if item.inline:
            # An older snapshot may have an object of the same name that was not checked yet.
            read_contents(storage, item)
        elif item.key not in seen:
            read_contents(storage, item)
            seen.add(item.key)
    for segment in manifest.segments:
        if segment.key not in seen:
            verify_segment(storage, segment, manifest.columns[segment.table])
            seen.add(segment.key)
        done += segment.rows
        done_bytes += segment.bytes
        on_progress(Progress(done, manifest.rows, "verifying", done_bytes, total_bytes))


def verify_segment(storage: Storage, segment: Segment, columns: tuple[str, ...]) -> None:
    """Verify one segment, whose digest covers `columns`."""
    rows = read_segment(storage, segment)
    check_columns(rows.column_names, columns, segment.table)
    digest = table_digest(rows, columns)
    if str(digest) != segment.digest:
        raise DamagedSnapshotError(
            f"A part of this backup ({segment.table}) does not have the recorded digest."
        )
