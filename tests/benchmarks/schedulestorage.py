"""A storage with as many objects as wanted: they are made when somebody asks for them."""

import hashlib
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime

from snapshots.engine.encryption import ProjectCipher
from snapshots.engine.manifest import Manifest, Segment, manifest_folder
from snapshots.engine.storage import Storage, StoredObject

# Of a small project: what never changes, what a day adds, and what no manifest names.
STEADY, DAILY, ORPHANS = 6, 2, 2
BYTES = 2_000
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
PROJECT = uuid.UUID(int=0)


class GeneratedStorage(Storage):
    """The backups of any project, one a day, and two orphans that a sweep finds.

    Attributes:
        listings, readings, deletions: How often that was asked for.
    """

    def __init__(self, days: int) -> None:
        super().__init__(None)
        self.listings = self.readings = self.deletions = 0
        self._manifests = [_manifest(day).to_json() for day in range(days)]
        steady = [_key(f"steady {number}") for number in range(STEADY)]
        daily = [_key(f"{day} {number}") for day in range(days) for number in range(DAILY)]
        orphans = [_key(f"orphan {number}") for number in range(ORPHANS)]
        self._segments = [*steady, *daily, *orphans]

    def encrypted(self, cipher: ProjectCipher) -> "GeneratedStorage":
        """The same: nothing is stored."""
        return self

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """The manifests of a project, or its segments."""
        self.listings += 1
        project = prefix.partition("/")[0]
        if prefix == manifest_folder(project):
            keys = [f"{prefix}{day}.json" for day in range(len(self._manifests))]
        else:
            keys = [key.replace(str(PROJECT), project) for key in self._segments]
        for key in keys:
            yield StoredObject(key, BYTES, LONG_AGO)

    def get(self, key: str) -> bytes:
        """A manifest."""
        self.readings += 1
        project, _, name = key.split("/")
        content = self._manifests[int(name.removesuffix(".json"))]
        return content.replace(str(PROJECT).encode(), project.encode())

    def delete(self, key: str) -> None:
        """It is there again when somebody asks."""
        self.deletions += 1


def _manifest(day: int) -> Manifest:
    names = [f"steady {number}" for number in range(STEADY)]
    names += [f"{day} {number}" for number in range(DAILY)]
    segments = tuple(_segment(name) for name in names)
    return Manifest(
        snapshot_id=uuid.uuid4(),
        project_id=PROJECT,
        prefix="00000000",
        taken_at=LONG_AGO,
        is_full=False,
        postgresql_version="18",
        schema_version=1,
        columns={},
        segments=segments,
        contents=(),
        new_keys=frozenset(segment.key for segment in segments[STEADY:]),
    )


def _segment(name: str) -> Segment:
    digest = hashlib.sha256(name.encode()).hexdigest()
    return Segment(
        table="device",
        key=_key(name),
        sha256=digest,
        rows=10,
        bytes=BYTES,
        logical_bytes=5 * BYTES,
        digest=digest[:32],
    )


def _key(name: str) -> str:
    return f"{PROJECT}/segments/{hashlib.sha256(name.encode()).hexdigest()}"
