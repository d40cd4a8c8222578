"""A PostgreSQL cluster for one run of a benchmark: as the portal starts it for itself."""

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from backups_portal.demo.data_folder import opened
from backups_portal.demo.postgres import SUPERUSER, binaries, start_postgres
from backups_portal.projectdb.database_url import database_url
from backups_portal.projectdb.provisioning import create_database, database_name, drop_database
from tests.benchmarks.machine import INSTALLATION, tree_cpu_seconds


@dataclass(frozen=True)
class Cluster:
    """A running cluster.

    Attributes:
        url: With the role that the portal has.
        superuser_url: For what only a benchmark does, such as checkpoints at a chosen moment.
        pid: Of the postmaster.
        scratch: A folder for files of this run.
    """

    url: str
    superuser_url: str
    pid: int
    scratch: Path

    def program(self, name: str) -> str:
        """One of PostgreSQL's programs, of the server's version."""
        return str(binaries().folder / name)

    def database(self, name: str) -> str:
        """The URL of a database."""
        return database_url(self.url, database=name)

    def settle(self) -> None:
        """Write out what earlier steps have left to be written, so that no measurement pays it."""
        with psycopg.connect(self.superuser_url, autocommit=True) as connection:
            connection.execute("CHECKPOINT")

    def cpu(self) -> float:
        """Processor time that the server has used so far, in seconds."""
        return tree_cpu_seconds(self.pid)

    @contextmanager
    def scratch_database(self) -> Iterator[str]:
        """The URL of a database to come, whose name is free; dropped afterwards."""
        name = f"scratch_{secrets.token_hex(4)}"
        try:
            yield self.database(name)
        finally:
            drop = sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            with psycopg.connect(self.url, autocommit=True) as connection:
                connection.execute(drop)


@dataclass(frozen=True)
class Source:
    """A main database to measure with."""

    cluster: Cluster
    prefix: str

    @property
    def dsn(self) -> str:
        """With the role that the portal has."""
        return self.cluster.database(database_name(self.prefix))

    @property
    def superuser_dsn(self) -> str:
        """With the right to keep triggers from firing in a session."""
        return database_url(self.cluster.superuser_url, database=database_name(self.prefix))

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        """A connection in which every statement is a transaction."""
        return psycopg.connect(self.dsn, autocommit=True)


@contextmanager
def running_cluster() -> Iterator[Cluster]:
    """A new cluster in a temporary folder, removed afterwards.

    Its settings are those of the demo's durable cluster (fsync on), but for autovacuum: whether it
    starts in somebody's measurement would be luck, so it is off for everybody.
    """
    folder = Path(tempfile.mkdtemp(prefix="backups-portal-benchmark-"))
    try:
        with opened(folder) as data:
            child, url = start_postgres(data, durable=True, say=lambda line: None)
            try:
                password = data.keep(SUPERUSER, lambda: "")
                superuser = database_url(url, database=SUPERUSER, user=SUPERUSER, password=password)
                with psycopg.connect(superuser, autocommit=True) as connection:
                    connection.execute("ALTER SYSTEM SET autovacuum = off")
                    connection.execute("SELECT pg_reload_conf()")
                yield Cluster(url, superuser, child.pid, data.sub("scratch"))
            finally:
                child.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def empty_source(cluster: Cluster) -> Iterator[Source]:
    """A new, empty main database; dropped afterwards."""
    prefix = secrets.token_hex(4)
    create_database(
        cluster.url,
        prefix=prefix,
        password="unused",
        project_name="Benchmark",
        installation=INSTALLATION,
    )
    try:
        yield Source(cluster, prefix)
    finally:
        drop_database(cluster.url, prefix=prefix)
