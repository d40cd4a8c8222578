"""Removing what no manifest names any more, and finding what is named and is not there."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID

from snapshots.engine.errors import (
    DamagedSnapshotError,
    EncryptionError,
    MissingObjectError,
    UnsupportedFormatError,
)
from snapshots.engine.manifest import Manifest, manifest_folder
from snapshots.engine.storage import Storage

GONE = "This backup is missing from the backup storage."
IN_PARTS = "Parts of this backup are missing from the backup storage."


@dataclass(frozen=True)
class Swept:
    """What a sweep of one project removed, and what it found missing.

    Attributes:
        missing: Objects that manifests name and storage lacks.
        broken: By the manifest's key, why a snapshot cannot be restored, in a sentence.
        unreadable: Manifests that cannot be read for now, by a key that is missing say, or that
            belong to no recorded snapshot.
        is_empty: All recorded manifests are gone: rather another storage than a loss.
    """

    removed: int
    removed_bytes: int
    missing: tuple[str, ...]
    broken: Mapping[str, str] = field(default_factory=dict)
    unreadable: tuple[str, ...] = ()
    is_empty: bool = False

    @property
    def is_doubtful(self) -> bool:
        """Whether something is wrong that is said of no snapshot."""
        return self.is_empty or bool(self.unreadable)


def delete_manifest(storage: Storage, key: str) -> None:
    """Make a snapshot unreadable before any of its segments goes."""
    storage.delete(key)


def sweep(
    storage: Storage, project_id: UUID, *, grace: timedelta, recorded: Collection[str] = ()
) -> Swept:
    """Delete the project's segments that no manifest names, once they are older than `grace`.

    Where a manifest is missing or cannot be read, nobody knows what it named: nothing is deleted.
    The grace covers a snapshot that is being taken: its segments are stored before its manifest.
    It must not run while a snapshot of this project is being built upon another one that retention
    may remove; retention never removes the newest good snapshot, which is the only base there is.

    Args:
        recorded: Keys of the manifests that must be there.
    """
    manifests, broken, unreadable = _read_manifests(storage, project_id, recorded)
    named = {key for manifest in manifests.values() for key in manifest}
    is_sure = not (broken or unreadable)
    removed = removed_bytes = 0
    found: set[str] = set()
    latest = datetime.now(UTC) - grace
    for item in storage.list(f"{project_id}/segments/"):
        found.add(item.key)
        if is_sure and item.key not in named and item.modified < latest:
            storage.delete(item.key)
            removed += 1
            removed_bytes += item.size
    broken |= {key: IN_PARTS for key, objects in manifests.items() if objects - found}
    return Swept(
        removed=removed,
        removed_bytes=removed_bytes,
        missing=tuple(sorted(named - found)),
        broken=broken,
        unreadable=unreadable,
        is_empty=bool(recorded) and all(broken.get(key) == GONE for key in recorded),
    )


def _read_manifests(
    storage: Storage, project_id: UUID, recorded: Collection[str]
) -> tuple[dict[str, set[str]], dict[str, str], tuple[str, ...]]:
    """What each manifest names, and those that are broken, and unreadable for now."""
    manifests: dict[str, set[str]] = {}
    broken: dict[str, str] = {}
    unreadable = []
    listed = {item.key for item in storage.list(manifest_folder(project_id))}
    for key in sorted(listed | set(recorded)):
        try:
            manifests[key] = set(Manifest.load(storage, key).objects)
        except MissingObjectError:
            if key in recorded:
                broken[key] = GONE
        except DamagedSnapshotError as error:
            if key in recorded:
                broken[key] = str(error)
            else:
                unreadable.append(key)
        except (EncryptionError, UnsupportedFormatError):
            # Settings or versions are at fault, not the backup.
            unreadable.append(key)
    return manifests, broken, tuple(unreadable)
