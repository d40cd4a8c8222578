"""Copying a snapshot into another storage, byte by byte as it lies; the manifest last.

Encrypted objects stay as they are, and the wrapped data keys that open them go first. What is
written is read back, decrypted and compared with what the snapshot recorded.
"""

from collections.abc import Callable, Collection
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from uuid import UUID

from backups_portal.lib.parallel import run_parallel
from snapshots.engine.encryption import keys_folder
from snapshots.engine.errors import EngineError, StorageError, UnkeptObjectError
from snapshots.engine.manifest import Manifest, Segment
from snapshots.engine.segments import check_bytes
from snapshots.engine.storage import ENCRYPTED, Storage

# Objects copied at a time, each held in memory: what takes long is to wait for both storages.
COPIERS = 4


@dataclass(frozen=True)
class Copied:
    """What a snapshot has in the other storage now.

    Attributes:
        objects: All that it names.
        new_bytes: Bytes of those that were written.
        written: The names of those.
    """

    objects: int
    new_bytes: int
    written: frozenset[str] = frozenset()


def copy_snapshot(
    source: Storage,
    target: Storage,
    key: str,
    *,
    trusted: Collection[str] | None,
    on_object: Callable[[], None],
    on_publish: Callable[[], None],
) -> Copied:
    """Copy every object of a snapshot that the target lacks.

    Args:
        key: Of the manifest.
        trusted: Names of objects that were read back from the target when they were written, and
            need no second look while they have their size; None: everything is looked at again.
        on_object: Called from the copying threads before each object; what it raises ends the run.
        on_publish: The same before the manifest is written.

    Raises:
        EngineError: a storage is away, or what is in the source is not what was recorded.
    """
    manifest = Manifest.load(source, key)
    copy_keys(source, target, manifest.project_id, compare=trusted is None)
    there = {item.key: item.size for item in target.list(f"{manifest.project_id}/segments/")}

    def is_there(item: Segment) -> bool:
        is_trusted = trusted is not None and item.key in trusted
        return is_trusted and there.get(item.key) in target.sizes(item.bytes)

    def copy(_: None, item: Segment) -> int:
        on_object()
        if item.key in there and is_good(target, item):
            return 0
        return _copy_object(source, target, item)

    wanted = [item for item in manifest.objects.values() if not is_there(item)]
    sizes = run_parallel(wanted, copy, workers=COPIERS, resource=nullcontext)
    on_publish()
    _copy_manifest(source, target, key, manifest)
    written = frozenset(item.key for item, size in zip(wanted, sizes, strict=True) if size)
    return Copied(len(manifest.objects), sum(sizes), written)


def copy_keys(source: Storage, target: Storage, project_id: UUID, *, compare: bool) -> None:
    """Copy the wrapped data keys of a project that the target lacks.

    Args:
        compare: Also those that the target has with other bytes: wrapped anew, or damaged.
    """
    folder = keys_folder(project_id)
    there = {item.key for item in target.list(folder)}
    for item in source.list(folder):
        stored = source.get_stored(item.key)
        if item.key in there and not (compare and target.get_stored(item.key) != stored):
            continue
        target.put_stored(item.key, stored)
        # A rotation wraps those of the source first: it sees this one in the target, or we see it.
        while (again := source.get_stored(item.key)) != stored:
            stored = again
            target.put_stored(item.key, stored)


def is_good(storage: Storage, item: Segment) -> bool:
    """Whether storage has an object as it was recorded; raises where it does not answer."""
    try:
        storage.read(item.key, partial(check_bytes, item))
    except StorageError:
        raise
    except EngineError:
        return False
    return True


def _copy_object(source: Storage, target: Storage, item: Segment) -> int:
    check = partial(check_bytes, item)
    stored = source.get_stored(item.key)
    _put(target, item.key, stored)
    try:
        target.read(item.key, check)
    except EngineError as error:
        # Where the source is what is damaged, this says so.
        source.read(item.key, check)
        raise _unkept(target, item.key) from error
    return len(stored)


def _copy_manifest(source: Storage, target: Storage, key: str, manifest: Manifest) -> None:
    _put(target, key, source.get_stored(key))
    try:
        copied = Manifest.load(target, key)
    except StorageError:
        raise
    except EngineError as error:
        raise _unkept(target, key) from error
    if copied != manifest:
        raise _unkept(target, key)


def _unkept(target: Storage, key: str) -> UnkeptObjectError:
    return UnkeptObjectError(f"{target.name} did not keep {key} as it was given.")


def _put(target: Storage, key: str, stored: bytes) -> None:
    """As it is; but what lies open from before there was a key is encrypted on its way."""
    if stored.startswith(ENCRYPTED) or not target.is_encrypted:
        target.put_stored(key, stored)
    else:
        target.put(key, stored)
