"""A storage with as many objects as wanted: they are made when somebody asks for them."""

import hashlib
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from obstore.store import MemoryStore

from backups_portal.projectdb.catalogue import VARIABLE
from snapshots.engine.contents_index import CELLS
from snapshots.engine.encryption import ProjectCipher
from snapshots.engine.layout import manifest_folder, manifest_key, segment_key
from snapshots.engine.manifest import Manifest, Segment
from snapshots.engine.storage import Storage, StoredObject

# Of a small project: what never changes, what a day adds, and what no manifest names.
STEADY, DAILY, ORPHANS = 6, 2, 2
BYTES = 2_000
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
PROJECT = uuid.UUID(int=0)
# What a snapshot of any day has; the segments and an object of contents.
ROWS, LOGICAL_BYTES = 10 * (STEADY + DAILY - 1), 5 * BYTES * (STEADY + DAILY - 1)
STORED_BYTES = BYTES * (STEADY + DAILY)


def snapshot_id(project: str, day: int) -> uuid.UUID:
    """The id of a snapshot; PostgreSQL makes the same by SNAPSHOT_ID."""
    name = f"{project}/{day}".encode()
    return uuid.UUID(hashlib.md5(name, usedforsecurity=False).hexdigest())


# Of project `p` and the day `n`, which are counted from 1 there.
SNAPSHOT_ID = "md5(p.id || '/' || n - 1)::uuid"


class GeneratedStorage(Storage):
    """The backups of any project, one a day, and two orphans that a sweep finds.

    Attributes:
        listings, readings, deletions: How often that was asked for.
    """

    def __init__(self, days: int, now: datetime) -> None:
        super().__init__(MemoryStore())
        self.listings = self.readings = self.deletions = 0
        self._days = days
        self._manifests = [
            _manifest(day, now - timedelta(days=day + 1)).to_json() for day in range(days)
        ]
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
            ids = [snapshot_id(project, day) for day in range(self._days)]
            keys = [manifest_key(uuid.UUID(project), pk) for pk in ids]
        else:
            keys = [key.replace(str(PROJECT), project) for key in self._segments]
        for key in keys:
            yield StoredObject(key, BYTES, LONG_AGO)

    def get(self, key: str) -> bytes:
        """A manifest."""
        self.readings += 1
        project, _, name = key.split("/")
        ids = [f"{snapshot_id(project, day)}.json" for day in range(self._days)]
        day = ids.index(name)
        content = self._manifests[day]
        for was, wanted in ((PROJECT, project), (snapshot_id(str(PROJECT), day), name[:-5])):
            content = content.replace(str(was).encode(), str(wanted).encode())
        return content

    def delete(self, key: str) -> None:
        """It is there again when somebody asks."""
        self.deletions += 1


def _manifest(day: int, taken_at: datetime) -> Manifest:
    names = [f"steady {number}" for number in range(STEADY)]
    names += [f"{day} {number}" for number in range(DAILY)]
    segments = tuple(_segment(name) for name in names[1:])
    return Manifest(
        snapshot_id=snapshot_id(str(PROJECT), day),
        project_id=PROJECT,
        prefix="00000000",
        taken_at=taken_at,
        is_full=False,
        postgresql_version="18",
        schema_version=1,
        columns={VARIABLE.name: ("series_id", "time")},
        segments=segments,
        contents=(_segment(names[0], CELLS),),
        new_keys=frozenset(segment.key for segment in segments[STEADY - 1 :]),
    )


def _segment(name: str, table: str = VARIABLE.name) -> Segment:
    digest = hashlib.sha256(name.encode()).hexdigest()
    return Segment(
        table=table,
        key=_key(name),
        sha256=digest,
        rows=10,
        bytes=BYTES,
        logical_bytes=5 * BYTES,
        digest=digest[:32],
        chunk_rows={0: 10} if table == VARIABLE.name else {},
    )


def _key(name: str) -> str:
    return segment_key(PROJECT, hashlib.sha256(name.encode()).hexdigest())
