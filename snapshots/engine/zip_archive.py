"""Write a snapshot as one ZIP while it is read, in little memory.

Every object is checked before it goes into the archive. A missing or damaged one ends the stream at
once: the archive then lacks its directory, so no program takes it for complete.
"""

import io
from collections.abc import Iterator
from datetime import UTC, datetime
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from snapshots.engine.archive_readme import readme
from snapshots.engine.archive_resources import RESOURCES, resource_file
from snapshots.engine.errors import (
    DamagedSnapshotError,
    EngineError,
    MissingObjectError,
    StorageError,
)
from snapshots.engine.layout import segment_folder
from snapshots.engine.manifest import Manifest, Segment
from snapshots.engine.segments import read_bytes
from snapshots.engine.storage import Storage

# Bytes yielded at a time.
PIECE = 1 << 20
FILE_MODE = 0o644 << 16


def check_complete(storage: Storage, manifest: Manifest) -> None:
    """Check by a listing that storage has every object with its recorded size.

    If storage has a copy, the copy may have what the first place lacks.

    Raises:
        MissingObjectError: an object is missing.
        DamagedSnapshotError: an object has another size.
        StorageError: storage cannot be listed.
    """
    wanted, why = dict(manifest.objects), None
    for place in storage.places:
        error = _take_listed(place, manifest, wanted)
        if not wanted:
            return
        why = why or error
    if why:
        raise why


def _take_listed(
    place: Storage, manifest: Manifest, wanted: dict[str, Segment]
) -> EngineError | None:
    """Remove from `wanted` what this place has; return the first error."""
    try:
        found = {item.key: item.size for item in place.list(segment_folder(manifest.project_id))}
    except StorageError as error:
        return error
    for key in [key for key in wanted if found.get(key) in place.sizes(wanted[key].bytes)]:
        del wanted[key]
    return next((_amiss(item, found.get(item.key)) for item in wanted.values()), None)


def _amiss(item: Segment, size: int | None) -> EngineError:
    if size is None:
        return MissingObjectError(f"The backup storage lacks {item.key}.")
    return DamagedSnapshotError(
        f"A part of this backup ({item.table}, {item.key}) has {size} bytes in storage, "
        f"but {item.bytes} were recorded."
    )


def archive_snapshot(
    storage: Storage, manifest: Manifest, *, project_name: str, profile_id: str
) -> Iterator[bytes]:
    """Yield the ZIP of a snapshot, holding a few objects in memory at a time.

    `data/` has the Parquet segments by table, `contents/` the objects that describe them, and
    `resources/` the resources as JSON, laid out as a TagoIO backup.

    Args:
        profile_id: The 24 hex digits under which TagoIO clients know the project.

    Raises:
        EngineError: an object is missing or damaged; what was yielded so far is incomplete.
    """
    window = _Window()
    with _Archive(window, manifest.taken_at) as archive:
        archive.add("README.md", readme(manifest, project_name).encode(), compress=True)
        yield from window.take()
        archive.add("manifest.json", manifest.to_json(), compress=True)
        yield from window.take()
        for name in RESOURCES:
            content = resource_file(storage, manifest, name, profile_id=profile_id)
            if content is not None:
                archive.add(f"resources/{name}.json", content, compress=True)
                yield from window.take()
        for path, item in object_paths(manifest):
            archive.add(path, read_bytes(storage, item))
            yield from window.take()
        archive.finish()
        yield from window.take()


def object_paths(manifest: Manifest) -> Iterator[tuple[str, Segment]]:
    """Yield each object of a snapshot with its path in the archive, in order."""
    number: dict[str, int] = {}
    for item in (*manifest.segments, *manifest.contents):
        number[item.table] = number.get(item.table, 0) + 1
        folder, _, table = item.table.rpartition(".")
        name = f"{number[item.table]:05}-{item.sha256[:12]}.parquet"
        yield f"{folder or 'data'}/{table}/{name}", item


class _Archive:
    """A ZIP with the snapshot's time; unfinished, it has no directory."""

    def __init__(self, window: "_Window", moment: datetime) -> None:
        self._zip = ZipFile(window, "w")  # type: ignore[call-overload]
        self._moment = moment.astimezone(UTC).timetuple()[:6]

    def __enter__(self) -> "_Archive":
        return self

    def __exit__(self, *_: object) -> None:
        # Closing would write a directory, which makes a broken archive look complete.
        self._zip.fp = None

    def add(self, path: str, content: bytes, *, compress: bool = False) -> None:
        """Write one file; Parquet is compressed already."""
        info = ZipInfo(path, self._moment)
        info.compress_type = ZIP_DEFLATED if compress else ZIP_STORED
        info.external_attr = FILE_MODE
        self._zip.writestr(info, content)

    def finish(self) -> None:
        """Write the directory."""
        self._zip.close()


class _Window:
    """The end of a file being written; everything before it was yielded.

    ZipFile goes back to a file's header once its size and checksum are known. It can, because the
    window holds the current file; programs that read the ZIP as a stream then find both in place.
    """

    def __init__(self) -> None:
        self._before = 0
        self._held = io.BytesIO()

    def write(self, content: bytes) -> int:
        """Write at the current position."""
        return self._held.write(content)

    def tell(self) -> int:
        """Return the position, from the beginning of the file."""
        return self._before + self._held.tell()

    def seek(self, place: int) -> int:
        """Go to a position within the window."""
        return self._before + self._held.seek(place - self._before)

    def flush(self) -> None:
        """Do nothing, because nothing is buffered elsewhere."""

    def take(self) -> Iterator[bytes]:
        """Yield the window's content and empty it."""
        with self._held.getbuffer() as content:
            size = len(content)
            for start in range(0, size, PIECE):
                yield bytes(content[start : start + PIECE])
        self._before += size
        self._held = io.BytesIO()
