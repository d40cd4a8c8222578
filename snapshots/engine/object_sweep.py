"""Remove objects that no manifest names, and find those that are missing."""

from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from backups_portal.lib.thread_pool import run_parallel
from snapshots.engine.errors import (
    DamagedSnapshotError,
    EncryptionError,
    MissingObjectError,
    UnsupportedFormatError,
)
from snapshots.engine.layout import (
    is_data_key,
    is_manifest,
    is_segment,
    keys_folder,
    manifest_folder,
    segment_folder,
)
from snapshots.engine.manifest import Manifest
from snapshots.engine.manifest_record import ManifestRecord
from snapshots.engine.storage import Storage

GONE = "This backup is missing from the backup storage."
IN_PARTS = "Parts of this backup are missing from the backup storage."
# No object takes this long to write, so an older temporary file was left by a killed process.
MAX_WRITING_TIME = timedelta(days=1)
# Objects asked for in parallel: most of the time is waiting for the server.
ASKERS = 16


@dataclass(frozen=True)
class Swept:
    """What a sweep of one project removed, and what it found missing.

    Attributes:
        missing: Objects that manifests name and storage lacks.
        broken: By the manifest's key, a sentence that says why the snapshot cannot be restored.
        unreadable: Manifests that cannot be read for now, for example because a key is missing,
            or that belong to no recorded snapshot.
        unsupported: Manifests of a version that this software cannot read.
        is_empty: All recorded manifests are missing: probably the wrong storage, not a loss.
    """

    removed: int
    removed_bytes: int
    missing: tuple[str, ...]
    broken: Mapping[str, str] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()
    unsupported: tuple[str, ...] = ()
    is_empty: bool = False

    @property
    def is_doubtful(self) -> bool:
        """Tell whether something is wrong beyond single snapshots."""
        return self.is_empty or bool(self.unreadable)


def sweep(
    storage: Storage,
    project_id: UUID,
    *,
    grace: timedelta,
    recorded: Iterable[ManifestRecord] = (),
    expired: Collection[str] = (),
    may_delete: Callable[[], bool] = lambda: True,
) -> Swept:
    """Delete old segments of a project that no manifest names.

    If a manifest is missing or unreadable, its segments are unknown and nothing is deleted. The
    grace period protects a snapshot in progress, whose segments are stored before its manifest.
    Must not run while a snapshot of this project builds upon a base that retention may remove;
    retention never removes the newest good snapshot, which is the only base in use.

    Args:
        recorded: The manifests that must exist.
        expired: Manifests that must not exist; any that is left is deleted first.
        may_delete: Asked again before each deletion, because the lock that keeps snapshots from
            starting may be lost during a long sweep.
    """
    records = {record.key: record for record in recorded}
    listed = {item.key for item in storage.list(manifest_folder(project_id))}
    for key in listed.intersection(expired):
        if may_delete():
            storage.delete(key)
            listed.remove(key)
    read = _read_manifests(storage, listed, records)
    broken = read.broken
    named = {key for objects in read.objects.values() for key in objects}
    is_sure = not (broken or read.unreadable or read.unsupported)
    removed = removed_bytes = 0
    found: set[str] = set()
    latest = datetime.now(UTC) - grace
    for item in storage.list(segment_folder(project_id)):
        found.add(item.key)
        is_orphan = item.key not in named and is_segment(item.key)
        if is_sure and is_orphan and item.modified < latest and may_delete():
            storage.delete(item.key)
            removed += 1
            removed_bytes += item.size
    half_written = _remove_half_written(storage, project_id, may_delete)
    missing = _missing(storage, named - found)
    broken |= {key: IN_PARTS for key, objects in read.objects.items() if objects & missing}
    return Swept(
        removed=removed + len(half_written),
        removed_bytes=removed_bytes + sum(half_written),
        missing=tuple(sorted(missing)),
        broken=broken,
        unreadable=tuple(read.unreadable),
        unsupported=tuple(read.unsupported),
        is_empty=bool(records) and all(broken.get(key) == GONE for key in records),
    )


def _remove_half_written(
    storage: Storage, project_id: UUID, may_delete: Callable[[], bool]
) -> list[int]:
    """Delete what killed writers left of their objects; return the sizes."""
    latest, sizes = datetime.now(UTC) - MAX_WRITING_TIME, []
    for item in storage.staged(f"{project_id}/"):
        key = item.key.rpartition("#")[0]
        is_ours = is_segment(key) or is_manifest(key) or is_data_key(key)
        if is_ours and item.modified < latest and may_delete():
            storage.delete_staged(item.key)
            sizes.append(item.size)
    return sizes


def _missing(storage: Storage, unlisted: Collection[str]) -> set[str]:
    """Return the objects that are missing, of those that a listing lacked."""

    def has(_: None, key: str) -> bool:
        return storage.has(key)

    exist = run_parallel(unlisted, has, workers=ASKERS, resource=nullcontext)
    return {key for key, exists in zip(unlisted, exist, strict=True) if not exists}


@dataclass
class _Read:
    """The objects that each manifest names, and the unreadable manifests."""

    objects: dict[str, set[str]] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    unreadable: list[str] = field(default_factory=list)
    unsupported: list[str] = field(default_factory=list)


def _read_manifests(
    storage: Storage, listed: Collection[str], records: Mapping[str, ManifestRecord]
) -> _Read:
    read = _Read()
    for key in sorted({key for key in listed if is_manifest(key)} | records.keys()):
        record = records.get(key)
        try:
            manifest = record.load(storage) if record else Manifest.load(storage, key)
            read.objects[key] = set(manifest.objects)
        except MissingObjectError:
            if record:
                read.broken[key] = GONE
        except DamagedSnapshotError as error:
            if record:
                read.broken[key] = str(error)
            else:
                read.unreadable.append(key)
        except EncryptionError:
            # The settings are at fault, not the backup.
            read.unreadable.append(key)
        except UnsupportedFormatError:
            read.unsupported.append(key)
    return read


def destroy_project(storage: Storage, project_id: UUID) -> None:
    """Delete everything of a project from a storage.

    Raises:
        StorageError: the storage cannot list or delete.
    """
    # The keys go first: without them, nothing that remains can be read.
    for folder in (keys_folder(project_id), f"{project_id}/"):
        for item in storage.list(folder):
            storage.delete(item.key)
        for item in storage.staged(folder):
            storage.delete_staged(item.key)
