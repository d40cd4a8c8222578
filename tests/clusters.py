"""PostgreSQL servers for tests and benchmarks, started as the demo does."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from backups_portal.demo.child_processes import Child
from backups_portal.demo.data_folder import DataFolder, opened
from backups_portal.demo.postgres import SUPERUSER, start_postgres
from backups_portal.projectdb.database_url import database_url
from tests.services import postgres


class Cluster:
    """A running server.

    Attributes:
        url: Connects with the portal's role.
    """

    def __init__(self, folder: DataFolder, *, durable: bool = False) -> None:
        self.folder, self._durable = folder, durable
        self._child, self.url = self._start()

    def _start(self) -> tuple[Child, str]:
        return start_postgres(
            self.folder, durable=self._durable, say=lambda line: None, programs=postgres()
        )

    @property
    def pid(self) -> int:
        """Return the postmaster's process id."""
        return self._child.pid

    @property
    def superuser_url(self) -> str:
        """Return the superuser's URL, for operators' work."""
        return superuser_url(self.folder, self.url)

    @property
    def owner(self) -> os.stat_result:
        """Return who owns the files."""
        return (self.folder.path / "postgres" / "data").stat()

    def stop(self) -> None:
        self._child.stop()

    @contextmanager
    def away(self) -> Iterator[None]:
        """Stop the server for the context."""
        self.stop()
        try:
            yield
        finally:
            self._child, _ = self._start()


@contextmanager
def running_cluster(path: Path, *, durable: bool = False) -> Iterator[Cluster]:
    """Run a new server in a folder for the context."""
    with opened(path) as folder:
        cluster = Cluster(folder, durable=durable)
        try:
            yield cluster
        finally:
            cluster.stop()


def superuser_url(folder: DataFolder, url: str) -> str:
    """Return the superuser's URL of a server that was started in a folder."""
    password = folder.keep(SUPERUSER, lambda: "")
    return database_url(url, database=SUPERUSER, user=SUPERUSER, password=password)
