"""Copy a snapshot into another storage byte by byte, the manifest last.

Encrypted objects stay encrypted, and the wrapped data keys that open them are copied first. Copied
objects are read back, decrypted and compared with what the snapshot recorded.
"""

from collections.abc import Callable, Collection
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from uuid import UUID

from backups_portal.lib.thread_pool import run_parallel
from snapshots.engine.encryption import data_keys
from snapshots.engine.errors import EngineError, UnkeptObjectError
from snapshots.engine.fallback_storage import is_away
from snapshots.engine.layout import segment_folder
from snapshots.engine.manifest import Segment
from snapshots.engine.manifest_record import ManifestRecord
from snapshots.engine.segment_store import is_intact
from snapshots.engine.segments import check_bytes
from snapshots.engine.storage import ENCRYPTED, Storage

# Objects copied in parallel, each held in memory: most of the time is waiting for both storages.
COPIERS = 4


@dataclass(frozen=True)
class Copied:
    """What the other storage now has of a snapshot.

    Attributes:
        objects: The number of objects that the snapshot names.
        new_bytes: The bytes that were written, including keys and manifest.
        written: The names of everything that was written.
        healed: The written objects that should have been there already.
    """

    objects: int
    new_bytes: int
    written: frozenset[str] = frozenset()
    healed: frozenset[str] = frozenset()


@dataclass(frozen=True)
class CopyListener:
    """Callbacks that follow a snapshot while it is copied.

    Attributes:
        on_object: Called from the copying threads before each object; its exceptions end the run.
        on_publish: The same, before the manifest is written.
        on_write: Called before something is written, but not before each object.
    """

    on_object: Callable[[], None] = lambda: None
    on_publish: Callable[[], None] = lambda: None
    on_write: Callable[[], None] = lambda: None


def copy_snapshot(
    source: Storage,
    target: Storage,
    record: ManifestRecord,
    listener: CopyListener,
    *,
    trusted: Collection[str] | None,
) -> Copied:
    """Copy every object of a snapshot that the target lacks.

    Args:
        record: What the manifest must match, in both storages.
        trusted: Names of objects that were read back from the target when they were written, and
            are skipped while their size is right; None: every object is read again.

    Raises:
        EngineError: a storage is away, or the source does not have what was recorded.
    """
    manifest = record.load(source)
    written = copy_keys(
        source, target, manifest.project_id, compare=trusted is None, on_write=listener.on_write
    )
    listed = {item.key: item.size for item in target.list(segment_folder(manifest.project_id))}

    def is_sure(item: Segment) -> bool:
        is_trusted = trusted is not None and item.key in trusted
        return is_trusted and listed.get(item.key) in target.sizes(item.bytes)

    def is_lacking(_: None, item: Segment) -> bool:
        listener.on_object()
        return item.key not in listed or not is_intact(target, item)

    def copy(_: None, item: Segment) -> int:
        listener.on_object()
        return _copy_object(source, target, item.key, partial(_read, item))

    unsure = [item for item in manifest.objects.values() if not is_sure(item)]
    lacking = run_parallel(unsure, is_lacking, workers=COPIERS, resource=nullcontext)
    wanted = [item for item, lacks in zip(unsure, lacking, strict=True) if lacks]
    if wanted:
        listener.on_write()
    sizes = run_parallel(wanted, copy, workers=COPIERS, resource=nullcontext)
    written |= {item.key: size for item, size in zip(wanted, sizes, strict=True)}
    listener.on_publish()
    # An older record has no digest.
    exact = replace(record, sha256=manifest.sha256)
    if trusted is not None or not _has_manifest(target, exact):
        listener.on_write()
        written[record.key] = _copy_manifest(source, target, exact)
    known = {*listed, *(trusted or ())}
    names = frozenset(written)
    return Copied(len(manifest.objects), sum(written.values()), names, names & known)


def copy_keys(
    source: Storage,
    target: Storage,
    project_id: UUID,
    *,
    compare: bool,
    on_write: Callable[[], None] = lambda: None,
) -> dict[str, int]:
    """Copy the wrapped data keys of a project that the target lacks.

    Args:
        compare: Also replace keys that the target has but cannot open, because their master key is
            gone or they are damaged. Others stay: unlike the source's, they may be wrapped again.
        on_write: Called before each key is written.

    Returns:
        The number of bytes written, by name.
    """
    written = {}
    existing = set(data_keys(target, project_id))
    for key in data_keys(source, project_id):
        stored = source.get_stored(key)
        if key in existing and not (compare and _is_better(source, target, key, stored)):
            continue
        on_write()
        target.put_stored(key, stored)
        # A rotation wraps the source's keys first: either it sees this copy, or we see its change.
        while (again := source.get_stored(key)) != stored:
            stored = again
            target.put_stored(key, stored)
        written[key] = len(stored)
    return written


def _is_better(source: Storage, target: Storage, key: str, stored: bytes) -> bool:
    existing = target.get_stored(key)
    return existing != stored and source.opens(key, stored) and not target.opens(key, existing)


def _copy_object(
    source: Storage,
    target: Storage,
    key: str,
    read: Callable[[Storage], object],
    *,
    once_more: bool = True,
) -> int:
    """Copy an object and read it back; return its size in the source.

    Args:
        read: Reads the object from either storage; raises an EngineError if it is damaged.
        once_more: Copy again if only the source's first answer was wrong.
    """
    stored = source.get_stored(key)
    _put(target, key, stored)
    try:
        read(target)
    except EngineError as error:
        if is_away(error):
            raise
        # This raises the source's error if the source itself is damaged.
        read(source)
        if once_more and source.get_stored(key) != stored:
            return _copy_object(source, target, key, read, once_more=False)
        raise _unkept(target, key) from error
    return len(stored)


def _read(item: Segment, storage: Storage) -> bytes:
    return storage.read(item.key, partial(check_bytes, item))


def _copy_manifest(source: Storage, target: Storage, record: ManifestRecord) -> int:
    return _copy_object(source, target, record.key, record.load)


def _has_manifest(target: Storage, record: ManifestRecord) -> bool:
    try:
        record.load(target)
    except EngineError as error:
        if is_away(error):
            raise
        return False
    return True


def _unkept(target: Storage, key: str) -> UnkeptObjectError:
    return UnkeptObjectError(f"{target.name} did not keep {key} as it was given.")


def _put(target: Storage, key: str, stored: bytes) -> None:
    """Copy bytes as they are, encrypting those stored before there was a key."""
    if stored.startswith(ENCRYPTED) or not target.is_encrypted:
        target.put_stored(key, stored)
    else:
        target.put(key, stored)
