"""Resources and variables are loaded in parallel: progress, errors and limits."""

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from backups_portal.lib.leases import LeaseLostError
from backups_portal.lib.thread_pool import StoppedError, check_stopped
from restores import snapshot_loader
from restores.snapshot_loader import Target, UnloadableError, load_rows
from snapshots.engine.manifest import Manifest
from snapshots.engine.run_progress import OnProgress, Progress
from snapshots.engine.storage import Storage, open_storage
from tests.projectdatabases import (
    KEYS,
    Backups,
    add_device,
    add_rows,
    main_database,
    open_database,
    quiet,
)
from tests.softlimit import soft_limit

DAYS, ROWS = 6, 20


@dataclass
class Backup:
    manifest: Manifest
    storage: Storage

    def load(self, target: Target, loaders: int, on_progress: OnProgress = quiet) -> list[Progress]:
        """Load it; return the reported progress."""
        told: list[Progress] = []

        def report(progress: Progress) -> None:
            told.append(progress)
            on_progress(progress)

        load_rows(
            self.manifest,
            self.storage,
            target,
            keys=KEYS,
            loaders=loaders,
            on_progress=report,
        )
        return told


@pytest.fixture(autouse=True)
def _few_rows_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snapshots.engine.segment_plan.TARGET_ROWS", ROWS)
    monkeypatch.setattr(snapshot_loader, "FEW_ROWS", 0)


def taken(storage_url: str, *, days: int) -> Backup:
    """Take a backup of a device with records on some days, each of which is a segment."""
    storage = open_storage(storage_url)
    with main_database() as source:
        with open_database(source) as connection:
            add_device(connection)
            for day in range(days):
                add_rows(connection, day, ROWS)
        return Backup(Backups(source, storage).take(), storage)


@pytest.fixture
def backup(storage_url: str, project_server: str) -> Backup:
    made = taken(storage_url, days=DAYS)
    assert len(made.manifest.of("variable")) == DAYS
    return made


@pytest.fixture
def target(project_server: str) -> Iterator[Target]:
    with main_database() as made:
        yield made


def test_every_connection_is_open_before_the_first_row(
    backup: Backup, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that is refused on a full disk would look like a server that is away."""
    events: list[str] = []

    def noted(name: str) -> None:
        original = getattr(snapshot_loader, name)

        def calling(*arguments: Any) -> Any:
            events.append(name)
            return original(*arguments)

        monkeypatch.setattr(snapshot_loader, name, calling)

    for name in ("_open_loader", "_copy", "_copy_variables"):
        noted(name)
    backup.load(target, loaders=4)
    assert events[:4] == ["_open_loader"] * 4
    assert events.count("_open_loader") == 4
    assert events.count("_copy_variables") == DAYS


def loaders_left() -> int:
    return sum("ThreadPoolExecutor" in thread.name for thread in threading.enumerate())


def rows_of(target: Target, table: str) -> int:
    with open_database(target) as connection:
        (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone() or (0,)
    return int(count)


@pytest.mark.parametrize("loaders", [1, 2, 3])
def test_progress_goes_up_to_the_total(backup: Backup, target: Target, loaders: int) -> None:
    told = backup.load(target, loaders)
    done = [(one.rows_done, one.bytes_done) for one in told]
    assert done == sorted(done)
    assert done[-1] == (told[-1].rows_total, told[-1].bytes_total)
    assert told[-1].rows_total == backup.manifest.rows
    assert rows_of(target, "variable") == DAYS * ROWS


def test_a_backup_without_records(storage_url: str, target: Target) -> None:
    backup = taken(storage_url, days=0)
    told = backup.load(target, 2)[-1]
    assert (told.rows_done, told.bytes_done) == (told.rows_total, told.bytes_total)
    assert rows_of(target, "device") == 1


def is_stopped_soon() -> bool:
    """Wait for the error of another thread, which reaches this one a moment later."""
    for _ in range(3_000):
        try:
            check_stopped()
        except StoppedError:
            return True
        time.sleep(0.01)
    return False


def test_an_error_in_resources_ends_the_other_loaders(
    backup: Backup, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_copying = threading.Event()
    stopped, copy = [], snapshot_loader._copy_variables

    def copying(*arguments: Any) -> None:
        is_copying.set()
        stopped.append(is_stopped_soon())
        copy(*arguments)

    def failing(_connection: Any, _table: str, _rows: Any) -> None:
        assert is_copying.wait(30)
        raise psycopg.errors.UniqueViolation("twice")

    monkeypatch.setattr(snapshot_loader, "_copy_variables", copying)
    monkeypatch.setattr(snapshot_loader, "_copy", failing)
    with pytest.raises(UnloadableError, match=r"^The new database could not be filled: twice$"):
        backup.load(target, 2)
    assert stopped == [True]
    assert loaders_left() == 0
    assert rows_of(target, "device") == 0, "resources come together or not at all"


def test_a_time_limit_ends_all_loaders(
    backup: Backup, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies, copy = [], snapshot_loader._copy_variables
    with soft_limit() as limit:

        def copying(*arguments: Any) -> None:
            copies.append(arguments)
            limit.reach() if len(copies) == 1 else limit.is_over.wait(30)
            copy(*arguments)

        monkeypatch.setattr(snapshot_loader, "_copy_variables", copying)
        backup.load(target, 2)
    assert len(copies) <= 2


def test_a_time_limit_ends_resources_after_the_block_at_hand(
    backup: Backup, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_loader, "BLOCK_ROWS", 1)
    copied, copy = [], snapshot_loader._copy
    with soft_limit() as limit:

        def copying(connection: Any, table: str, rows: Any) -> None:
            copy(connection, table, rows)
            copied.append(table)
            if copied.count("series") == 2:
                limit.reach()

        monkeypatch.setattr(snapshot_loader, "_copy", copying)
        backup.load(target, 1)
    assert copied[-2:] == ["series"] * 2, "and the third series is not loaded"
    assert rows_of(target, "device") == 0


def test_a_lost_lease_ends_resources_after_the_block_at_hand(
    backup: Backup, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_loader, "BLOCK_ROWS", 1)
    told: list[Progress] = []

    def report(progress: Progress) -> None:
        told.append(progress)
        if len(told) == 3:
            raise LeaseLostError("a restore")

    with pytest.raises(LeaseLostError):
        backup.load(target, 1, report)
    assert told[-1].rows_done <= 3


def test_blocks_hold_all_resources(
    backup: Backup, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot_loader, "BLOCK_ROWS", 2)
    backup.load(target, 1)
    assert rows_of(target, "series") == 3
