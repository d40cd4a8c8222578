"""Removing what no manifest names any more."""

from collections.abc import Iterator, Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from snapshots.engine.manifest import Manifest, manifest_folder
from snapshots.engine.storage import Storage


@dataclass(frozen=True)
class Swept:
    """What a sweep of one project removed, and what it found missing.

    Attributes:
        missing: Names of objects that a manifest names.
        incomplete: Names of the manifests that do.
    """

    removed: int
    removed_bytes: int
    missing: tuple[str, ...]
    incomplete: tuple[str, ...] = ()


def delete_manifest(storage: Storage, key: str) -> None:
    """Make a snapshot unreadable before any of its segments goes."""
    storage.delete(key)


def sweep(storage: Storage, project_id: UUID, *, grace: timedelta) -> Swept:
    """Delete the project's segments that no manifest names, once they are older than `grace`.

    The grace covers a snapshot that is being taken: its segments are stored before its manifest.
    It must not run while a snapshot of this project is being built upon another one that retention
    may remove; retention never removes the newest good snapshot, which is the only base there is.
    """
    named: set[str] = set()
    for item in storage.list(manifest_folder(project_id)):
        manifest = Manifest.load(storage, item.key)
        named.update(manifest.objects)
    removed = removed_bytes = 0
    found: set[str] = set()
    latest = datetime.now(UTC) - grace
    for item in storage.list(f"{project_id}/segments/"):
        found.add(item.key)
        if item.key not in named and item.modified < latest:
            storage.delete(item.key)
            removed += 1
            removed_bytes += item.size
    missing = named - found
    incomplete = tuple(_naming(storage, project_id, missing)) if missing else ()
    return Swept(removed, removed_bytes, tuple(sorted(missing)), incomplete)


def _naming(storage: Storage, project_id: UUID, keys: Set[str]) -> Iterator[str]:
    for item in storage.list(manifest_folder(project_id)):
        if not keys.isdisjoint(Manifest.load(storage, item.key).objects):
            yield item.key
