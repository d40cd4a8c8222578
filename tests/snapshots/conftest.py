"""A project with a real main database, and a separate storage folder."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backups_portal.projects.database_dsn import PASSWORD_PURPOSE, keyring
from backups_portal.projects.models import Project
from backups_portal.projects.servers import register_server
from snapshots.engine.storage import Storage, open_storage
from tests.factories import make_project_row
from tests.lockserver import LockServer, lock_server
from tests.projectdatabases import add_device, add_rows, main_database, open_database


@pytest.fixture
def stored(settings: Any, tmp_path: Path) -> Storage:
    """The storage that the services use in this test."""
    settings.SNAPSHOT_STORAGE = f"file://{tmp_path / 'storage'}"
    return open_storage(settings.SNAPSHOT_STORAGE)


@pytest.fixture
def live_project(
    db: None, settings: Any, stored: Storage, project_server: str
) -> Iterator[Project]:
    """A project whose main database has one device with ten readings."""
    with main_database() as target:
        with open_database(target) as connection:
            add_device(connection)
            add_rows(connection, 0, 10)
        yield make_project_row(
            prefix=target.prefix,
            database=f"bp_{target.prefix}",
            role=f"bp_{target.prefix}",
            server=register_server("main", project_server),
            sealed_password=keyring().seal("secret", PASSWORD_PURPOSE),
        )


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LockServer]:
    """A server whose buckets can lock objects."""
    with lock_server(tmp_path_factory.mktemp("weed")) as running:
        yield running


@pytest.fixture
def prefix(tmp_path: Path) -> str:
    """A separate folder for this test in the bucket."""
    return f"{tmp_path.parent.name}/{tmp_path.name}"
