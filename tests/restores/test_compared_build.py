"""A loaded database is completed and compared over few connections."""

import uuid
from typing import Any

import pytest

from backups_portal.lib import pgsession
from backups_portal.lib.leases import LeaseLostError
from restores import proof_check
from restores.build_steps import Step
from restores.compared_build import complete_and_compare
from restores.proof_check import ProofProgress
from restores.snapshot_loader import load_rows
from snapshots.engine.digest import row_words
from snapshots.engine.run_progress import Progress
from snapshots.engine.storage import open_storage
from tests.manifests import make_manifest
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
from tests.softlimit import soft_limit

pytestmark = pytest.mark.usefixtures("project_server")

# One holds the instant, one builds, and one reads.
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


def test_a_time_limit_ends_the_comparison_within_a_piece(
    storage_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All tables except the variables are one piece."""
    read = []
    with main_database() as source, main_database() as target:
        with open_database(source) as connection:
            add_device(connection)
        storage = open_storage(storage_url)
        manifest = Backups(source, storage).take()
        bare = load_rows(manifest, storage, target, keys=KEYS, loaders=1, on_progress=quiet)
        with soft_limit() as limit:

            def reading(*arguments: Any) -> Any:
                read.append(arguments)
                limit.reach()
                return row_words(*arguments)

            monkeypatch.setattr(proof_check, "row_words", reading)
            complete_and_compare(manifest, target, bare, workers=1, on_progress=quiet)
    assert len(read) == 1


def test_a_lost_lease_ends_a_comparison_while_indexes_are_built() -> None:
    def report(progress: Progress) -> None:
        assert progress.step == Step.INDEXING
        raise LeaseLostError("a restore")

    progress = ProofProgress(make_manifest(uuid.uuid4()), report)
    with pytest.raises(LeaseLostError):
        progress.add(1)
