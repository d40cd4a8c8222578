"""A built project with its storage, and the engine's tasks on it."""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from backups_portal.projectdb.database_url import database_url
from restores.snapshot_loader import Target
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import open_storage
from tests.benchmarks.engine.worker import Task
from tests.benchmarks.fleet import Connection, Fleet, Marks, built, scalar
from tests.benchmarks.machine import folder_bytes
from tests.benchmarks.servers import Cluster
from tests.projectdatabases import open_database


@dataclass
class Setup:
    """The setup shared by all measurements of a run.

    Attributes:
        rows: Variables of the built project.
        readers: Readers and loaders of the engine, and of the lower bound.
        encrypted: Whether tasks encrypt what they store.
        with_peers: Whether peers are measured, too.
    """

    cluster: Cluster
    source: Target
    fleet: Fleet
    rows: int
    marks: Marks
    readers: int
    with_peers: bool = True
    project_id: uuid.UUID = field(default_factory=uuid.uuid4)
    newest: str | None = None
    encrypted: bool = False

    @property
    def storage(self) -> Path:
        return self.cluster.scratch / "storage"

    @property
    def stored_bytes(self) -> int:
        return folder_bytes(self.storage)

    def connect(self) -> Connection:
        return open_database(self.source)

    def connect_as_superuser(self) -> Connection:
        name = psycopg.conninfo.conninfo_to_dict(self.source.dsn)["dbname"]
        url = database_url(self.cluster.superuser_url, database=str(name))
        return psycopg.connect(url, autocommit=True)

    def forget_snapshots(self) -> None:
        shutil.rmtree(self.storage, ignore_errors=True)
        self.newest = None
        with self.connect() as connection:
            self.marks.reset(connection)

    def start(self, task: str, *, threads: int = 0, profile: bool = False) -> Task:
        """Start a worker on a task; without a base snapshot, the next one is the first."""
        return Task(
            task,
            server=self.cluster.url,
            dsn=self.source.dsn,
            storage=self.storage.as_uri(),
            encrypted=self.encrypted,
            project_id=str(self.project_id),
            manifest=self.newest,
            threads=threads or self.readers,
            profile=profile,
            postmaster=self.cluster.pid,
        )

    def snapshot(self, *, full: bool = False, **options: Any) -> dict[str, Any]:
        """Take a snapshot: a full one, or an incremental one."""
        if full:
            self.forget_snapshots()
        self.cluster.settle()
        result = self.start("snapshot", **options).finish()
        self.newest = str(result["manifest"])
        return result

    def restore(self, **options: Any) -> dict[str, Any]:
        """Restore the newest snapshot into a new database, and drop it."""
        self.cluster.settle()
        return self.start("restore", **options).finish()

    def prove(self, **options: Any) -> dict[str, Any]:
        """Restore the newest snapshot, compare every row, and drop the database."""
        self.cluster.settle()
        return self.start("prove", **options).finish()

    def manifest(self) -> Manifest:
        return Manifest.load(open_storage(self.storage.as_uri()), str(self.newest))


@contextmanager
def project(cluster: Cluster, rows: int, readers: int, *, with_peers: bool) -> Iterator[Setup]:
    """Build a project, and drop it afterwards."""
    fleet = Fleet(rows)
    with built(cluster, fleet) as source:
        with open_database(source) as connection:
            rows, marks = scalar(connection, "SELECT count(*) FROM variable"), Marks(connection)
        yield Setup(cluster, source, fleet, rows, marks, readers, with_peers)
