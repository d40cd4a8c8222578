"""A built project with its storage, and the engine's tasks on it."""

import secrets
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import open_storage
from tests.benchmarks.build import Fleet, Marks
from tests.benchmarks.cluster import Source
from tests.benchmarks.machine import folder_bytes
from tests.benchmarks.tasks import Task


@dataclass
class Setup:
    """What all measurements of a run share.

    Attributes:
        rows: Of variables, as built.
        readers: Readers and loaders of the engine, and of the floor.
        encrypted: Whether tasks encrypt what they store.
    """

    source: Source
    fleet: Fleet
    rows: int
    marks: Marks
    readers: int
    project_id: uuid.UUID = field(default_factory=uuid.uuid4)
    newest: str | None = None
    encrypted: bool = False

    @property
    def scratch(self) -> Path:
        """A folder for files of this run."""
        return self.source.cluster.scratch

    @contextmanager
    def scratch_path(self) -> Iterator[Path]:
        """Where a file or folder may be made; removed afterwards."""
        path = self.scratch / secrets.token_hex(4)
        try:
            yield path
        finally:
            if path.is_dir():
                shutil.rmtree(path)
            path.unlink(missing_ok=True)

    @property
    def storage(self) -> Path:
        """The folder in which snapshots are stored."""
        return self.scratch / "storage"

    @property
    def stored_bytes(self) -> int:
        """Bytes of all objects in storage."""
        return folder_bytes(self.storage)

    def forget_snapshots(self) -> None:
        """An empty storage, and a database that was never backed up."""
        shutil.rmtree(self.storage, ignore_errors=True)
        self.newest = None
        with self.source.connect() as connection:
            self.marks.reset(connection)

    def start_snapshot(self, *, readers: int | None = None, profile: bool = False) -> Task:
        """A worker that takes the next snapshot."""
        return Task(
            {
                "task": "snapshot",
                "dsn": self.source.dsn,
                "storage": self.storage.as_uri(),
                "encrypted": self.encrypted,
                "project_id": str(self.project_id),
                "base": self.newest,
                "readers": readers or self.readers,
                "profile": profile,
                "postmaster": self.source.cluster.pid,
            }
        )

    def snapshot(self, *, profile: bool = False, readers: int | None = None) -> dict[str, Any]:
        """Take the next snapshot: the first one reads everything, others what has changed."""
        self.source.cluster.settle()
        result = self.start_snapshot(profile=profile, readers=readers).finish()
        self.newest = str(result["manifest"])
        return result

    def restore(self, *, profile: bool = False, loaders: int | None = None) -> dict[str, Any]:
        """Restore the newest snapshot into a new database, prove it, and drop it."""
        self.source.cluster.settle()
        return Task(
            {
                "task": "restore",
                "server": self.source.cluster.url,
                "storage": self.storage.as_uri(),
                "encrypted": self.encrypted,
                "manifest": self.newest,
                "loaders": loaders or self.readers,
                "profile": profile,
                "postmaster": self.source.cluster.pid,
            }
        ).finish()

    def manifest(self) -> Manifest:
        """The newest snapshot's."""
        return Manifest.load(open_storage(self.storage.as_uri()), str(self.newest))
