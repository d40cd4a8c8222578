"""Reading a snapshot from storage as a restore would, and comparing it with its manifest."""

from collections.abc import Callable

from snapshots.engine.digest import table_digest
from snapshots.engine.errors import DamagedSnapshotError
from snapshots.engine.manifest import Manifest, Segment
from snapshots.engine.segments import read_segment
from snapshots.engine.storage import Storage
from snapshots.engine.taking import Progress


def verify_snapshot(
    storage: Storage,
    manifest: Manifest,
    on_progress: Callable[[Progress], None],
    seen: set[str] | None = None,
) -> None:
    """Read every object of a snapshot again, and check bytes, row counts and digests.

    Args:
        seen: Keys of objects of this project that need no second look; is added to.

    Raises:
        MissingObjectError: storage lacks an object.
        DamagedSnapshotError: an object is not what was recorded.
    """
    done = done_bytes = 0
    total_bytes = sum(segment.bytes for segment in manifest.segments)
    seen = set() if seen is None else seen
    for item in manifest.contents:
        if item.key not in seen:
            read_segment(storage, item)
            seen.add(item.key)
    for segment in manifest.segments:
        if segment.key not in seen:
            verify_segment(storage, segment, manifest.columns[segment.table])
            seen.add(segment.key)
        done += segment.rows
        done_bytes += segment.bytes
        on_progress(Progress(done, manifest.rows, "verifying", done_bytes, total_bytes))


def verify_segment(storage: Storage, segment: Segment, columns: tuple[str, ...]) -> None:
    """The same for one segment, whose digest is over `columns`."""
    digest = table_digest(read_segment(storage, segment), columns)
    if str(digest) != segment.digest:
        raise DamagedSnapshotError(
            f"A part of this backup ({segment.table}) does not have the recorded digest."
        )
