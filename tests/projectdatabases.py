"""Real main databases for tests, dropped afterwards, and their contents."""

import json
import secrets
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import psycopg
from django.conf import settings

from backups_portal.lib.crypto import Keyring
from backups_portal.projectdb.database_url import database_url
from backups_portal.projectdb.provisioning import (
    create_database,
    database_name,
    drop_database,
    settle_database,
)
from restores.compared_build import complete_and_compare
from restores.snapshot_loader import Target, load_rows
from snapshots.engine.manifest import Manifest
from snapshots.engine.run_progress import OnProgress
from snapshots.engine.snapshot_writer import Destination, Listener, Source, take_snapshot
from snapshots.engine.storage import Storage

KEYS = Keyring(b"k" * 32)
START = datetime(2026, 3, 1, tzinfo=UTC)
DEVICE = "d" * 24
PASSWORD = "secret"

Connection = psycopg.Connection[tuple[object, ...]]


@contextmanager
def main_database(server: str = "", owner: str = "") -> Iterator[Target]:
    """Create an empty main database without a project; drop it afterwards.

    Args:
        server: A server's URL; the settings' by default.
        owner: The installation that it belongs to; the settings' by default.
    """
    prefix = secrets.token_hex(4)
    server = server or settings.PROJECT_DATABASE_URL
    create_database(
        server,
        prefix=prefix,
        password=PASSWORD,
        project_name="Test",
        installation=owner or _installation(),
    )
    settle_database(server, prefix=prefix)
    try:
        yield Target(database_url(server, database=database_name(prefix)), prefix)
    finally:
        drop_database(server, prefix=prefix)


def _installation() -> str:
    # The engine's benchmarks run without Django.
    from backups_portal.projects.project_creation import installation

    return installation()


def open_database(target: Target) -> Connection:
    """Open a connection in autocommit mode."""
    return psycopg.connect(target.dsn, autocommit=True)


def add_device(connection: Connection, *, series: int = 3) -> None:
    """Add a device with numeric series 1, 2, …"""
    connection.execute(
        "INSERT INTO device (id, name, type) VALUES (%s, 'Truck', 'mutable')", [DEVICE]
    )
    for number in range(1, series + 1):
        connection.execute(
            "INSERT INTO series (id, device_id, variable, type, unit)"
            " VALUES (%s, %s, %s, 'number', 'C')",
            [number, DEVICE, f"temperature_{number}"],
        )
    connection.execute("SELECT setval(pg_get_serial_sequence('series', 'id'), %s)", [series])


def add_rows(connection: Connection, day: int, count: int, *, series: int = 1) -> None:
    """Add readings of one day, counted from START, a minute apart."""
    with connection.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO variable (series_id, time, number_value, group_key)"
            " VALUES (%s, %s, %s, 'g')",
            [
                (series, START + timedelta(days=day, minutes=minute), minute / 8)
                for minute in range(count)
            ],
        )


def contents(target: Target) -> list[str]:
    """Return every record without its id, sorted, to compare two databases."""
    with open_database(target) as connection:
        rows = connection.execute(
            'SELECT device, variable, value, unit, "group", time, location, metadata::text,'
            " created_at FROM variable_record"
        ).fetchall()
    return sorted(json.dumps(row, default=str) for row in rows)


def quiet(_: object) -> None:
    """Ignore progress."""


def restore_into(
    target: Target, manifest: Manifest, storage: Storage, *, keys: Keyring = KEYS
) -> None:
    """Load a snapshot into a new database and compare every row, as restores do."""
    bare = load_rows(manifest, storage, target, keys=keys, loaders=2, on_progress=quiet)
    complete_and_compare(manifest, target, bare, workers=2, on_progress=quiet)


@dataclass
class Backups:
    """The snapshots of one database in one storage, each built upon the previous one."""

    source: Target
    storage: Storage
    project_id: uuid.UUID = field(default_factory=uuid.uuid4)
    newest: Manifest | None = None

    def take(
        self, *, full: bool = False, on_progress: OnProgress = quiet, readers: int = 2
    ) -> Manifest:
        """Take the next snapshot."""
        self.newest = take_snapshot(
            Source(self.source.dsn, readers, self.newest, full),
            Destination(self.storage, self.project_id, uuid.uuid4()),
            Listener(on_progress),
        )
        return self.newest

    @contextmanager
    def restored(self, manifest: Manifest) -> Iterator[Target]:
        """Create a new database, load the snapshot into it, and compare them."""
        with main_database() as target:
            restore_into(target, manifest, self.storage)
            yield target

    def contents_of(self, manifest: Manifest) -> list[str]:
        """Return the records of a restored snapshot."""
        with self.restored(manifest) as target:
            return contents(target)
