"""A storage with any number of objects, which are generated on reading."""

import hashlib
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from obstore.store import MemoryStore

from snapshots.engine.contents_index import CELLS
from snapshots.engine.encryption import ProjectCipher
from snapshots.engine.layout import manifest_folder, manifest_key
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import Storage, StoredObject
from tests.manifests import key_of, make_manifest, make_segment

# Objects of a small project: constant ones, new ones per day, and orphans.
STEADY, DAILY, ORPHANS = 6, 2, 2
BYTES = 2_000
LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
PROJECT = uuid.UUID(int=0)
# A snapshot of any day has these segments and one object of contents.
ROWS, LOGICAL_BYTES = 10 * (STEADY + DAILY - 1), 5 * BYTES * (STEADY + DAILY - 1)
STORED_BYTES = BYTES * (STEADY + DAILY)


def snapshot_id(project: str, day: int) -> uuid.UUID:
    """Return the id of a snapshot; SNAPSHOT_ID computes the same in PostgreSQL."""
    name = f"{project}/{day}".encode()
    return uuid.UUID(hashlib.md5(name, usedforsecurity=False).hexdigest())


# For project `p` and day `n`, which are counted from 1 in SQL.
SNAPSHOT_ID = "md5(p.id || '/' || n - 1)::uuid"


class GeneratedStorage(Storage):
    """The daily backups of any project, with two orphans for a sweep.

    Attributes:
        readings, deletions: How often objects were read and deleted.
    """

    def __init__(self, days: int, now: datetime) -> None:
        super().__init__(MemoryStore())
        self.readings = self.deletions = 0
        self._days = days
        steady = [f"steady {number}" for number in range(STEADY)]
        daily = [[f"{day} {number}" for number in range(DAILY)] for day in range(days)]
        orphans = [f"orphan {number}" for number in range(ORPHANS)]
        names = [*steady, *(name for of_a_day in daily for name in of_a_day), *orphans]
        self._segments = [key_of(PROJECT, name) for name in names]
        self._manifests = [
            _manifest(day, [*steady, *daily[day]], now - timedelta(days=day + 1)).to_json()
            for day in range(days)
        ]

    def encrypted(self, cipher: ProjectCipher) -> "GeneratedStorage":
        """Return the same storage, because nothing is stored."""
        return self

    def list(self, prefix: str) -> Iterator[StoredObject]:
        project = prefix.partition("/")[0]
        if prefix == manifest_folder(project):
            ids = [snapshot_id(project, day) for day in range(self._days)]
            keys = [manifest_key(uuid.UUID(project), pk) for pk in ids]
        else:
            keys = [key.replace(str(PROJECT), project) for key in self._segments]
        for key in keys:
            yield StoredObject(key, BYTES, LONG_AGO)

    def get(self, key: str) -> bytes:
        self.readings += 1
        project, _, name = key.split("/")
        ids = [f"{snapshot_id(project, day)}.json" for day in range(self._days)]
        day = ids.index(name)
        content = self._manifests[day]
        for was, wanted in ((PROJECT, project), (snapshot_id(str(PROJECT), day), name[:-5])):
            content = content.replace(str(was).encode(), str(wanted).encode())
        return content

    def delete(self, key: str) -> None:
        """Count the deletion; the object is generated again at the next reading."""
        self.deletions += 1


def _manifest(day: int, names: list[str], taken_at: datetime) -> Manifest:
    contents = make_segment(PROJECT, names[0], {}, table=CELLS, size=BYTES)
    segments = [make_segment(PROJECT, name, {0: 10}, size=BYTES) for name in names[1:]]
    return make_manifest(
        PROJECT,
        snapshot_id=snapshot_id(str(PROJECT), day),
        taken_at=taken_at,
        is_full=False,
        segments=tuple(segments),
        contents=(contents,),
        new_keys=frozenset(segment.key for segment in segments[STEADY - 1 :]),
    )
