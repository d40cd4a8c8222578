"""A loaded database is completed and compared with few connections."""

from typing import Any

import pytest

from backups_portal.lib import pgsession
from restores.compared_build import complete_and_compare
from restores.snapshot_loader import load_rows
from snapshots.engine.storage import open_storage
from tests.projectdatabases import (
    KEYS,
    Backups,
    add_device,
    add_rows,
    contents,
    main_database,
    open_database,
    quiet,
)

# What holds the moment, what builds, and what reads.
CONNECTIONS = 3


def test_a_thread_builds_all_its_indexes_in_one_session(
    storage_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    connect = pgsession.connect

    def noting(dsn: str, **options: Any) -> Any:
        opened.append(dsn)
        return connect(dsn, **options)

    with main_database() as source, main_database() as target:
        with open_database(source) as connection:
            add_device(connection)
            add_rows(connection, 0, 20)
        storage = open_storage(storage_url)
        manifest = Backups(source, storage).take()
        bare = load_rows(manifest, storage, target, keys=KEYS, loaders=1, on_progress=quiet)
        assert len(bare.indexes) > 1
        with monkeypatch.context() as patched:
            patched.setattr(pgsession, "connect", noting)
            complete_and_compare(manifest, target, bare, workers=1, on_progress=quiet)
        assert len(opened) == CONNECTIONS
        assert contents(source) == contents(target)
