"""A main database and a storage folder for the engine's tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from snapshots.engine.storage import Storage, open_storage
from tests.projectdatabases import Backups, Connection, add_device, main_database, open_database


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return open_storage(f"file://{tmp_path / 'storage'}")


@pytest.fixture
def backups(storage: Storage, project_server: str) -> Iterator[Backups]:
    with main_database() as source:
        yield Backups(source, storage)


@pytest.fixture
def source(backups: Backups) -> Iterator[Connection]:
    """A connection to the source, which has a device with three series."""
    with open_database(backups.source) as connection:
        add_device(connection)
        yield connection
