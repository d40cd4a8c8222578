"""Imports beside a move or an undo: no record is stored twice, and none is lost."""

import io
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.db import connection
from pytest_django import Settings

from backups_portal.accounts.models import Account
from backups_portal.lib import pgsession
from backups_portal.projectdb.duplicate_records import Duplicates
from backups_portal.projectdb.files import put_file
from backups_portal.projectdb.import_turns import exclude_imports
from backups_portal.projects.models import Project
from backups_portal.transfers.csv_files.csv_import import Imported
from backups_portal.transfers.csv_files.csv_import_export import export_csv, import_csv
from backups_portal.transfers.csv_files.csv_job import run_csv as run_waiting
from backups_portal.transfers.errors import TransferRefusedError
from backups_portal.transfers.models import CsvRequest, Transfer
from backups_portal.transfers.move import move_run, transfer_undo
from backups_portal.transfers.transfer_requests import request_undo, start_move
from tests.transfers.projects import (
    DEVICE,
    START,
    add_readings,
    add_truck,
    count_rows,
    open_project,
    run_csv,
)
from tests.transfers.test_transfer_run import ask, move, run

SECONDS = 20
WAITING = """SELECT count(*) FROM pg_locks JOIN pg_database ON pg_database.oid = database
    WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted"""
Started = Callable[[Callable[[], Any]], "Future[Any]"]


@pytest.fixture
def beside() -> Iterator[Started]:
    """Return a function that starts another process' work in a thread."""

    def working(work: Callable[[], Any]) -> Any:
        try:
            return work()
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as thread:
        yield lambda work: thread.submit(working, work)


def until_it_waits(work: "Future[Any]", project: Project) -> None:
    """Return once the other work waits for this one, or has ended."""
    end = time.monotonic() + SECONDS
    with open_project(project) as watcher:
        watcher.autocommit = True
        while not work.done() and not watcher.execute(WAITING).fetchone()[0]:
            assert time.monotonic() < end, "it neither waits nor ends"
            time.sleep(0.02)


def once(patch: pytest.MonkeyPatch, module: Any, name: str, act: Callable[[], None]) -> None:
    """Act once, when a function has returned."""
    original = getattr(module, name)

    def then_act(*arguments: Any, **options: Any) -> Any:
        result = original(*arguments, **options)
        patch.setattr(module, name, original)
        act()
        return result

    patch.setattr(module, name, then_act)


@pytest.fixture
def file(backup: Project, owner: Account) -> bytes:
    """The ten records of the backup."""
    return "".join(export_csv(backup, DEVICE, actor=owner)).encode()


def import_into(project: Project, owner: Account, file: bytes) -> Imported:
    return import_csv(project, DEVICE, io.BytesIO(file), actor=owner)


def test_a_batch_waits_for_an_import(
    backup: Project,
    live: Project,
    owner: Account,
    file: bytes,
    beside: Started,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add_truck(live)
    transfer = run(ask(backup, live, owner))
    start_move(transfer=transfer, actor=owner)
    moves: list[Future[Transfer]] = []

    def start() -> None:
        moves.append(beside(lambda: run(transfer)))
        until_it_waits(moves[0], live)

    # It has looked up what the device has, and not stored the rest yet.
    once(monkeypatch, Duplicates, "new_of", start)
    assert import_into(live, owner, file).rows == 10
    moved = moves[0].result(SECONDS)
    assert (moved.state, moved.summary["present"], count_rows(live)) == ("completed", 10, 10)


def test_an_import_waits_for_a_batch(
    backup: Project,
    live: Project,
    owner: Account,
    file: bytes,
    beside: Started,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add_truck(live)
    imports: list[Future[Imported]] = []

    def start() -> None:
        imports.append(beside(lambda: import_into(live, owner, file)))
        until_it_waits(imports[0], live)

    once(monkeypatch, move_run, "move_batch", start)
    assert move(backup, live, owner).state == "completed"
    imported = imports[0].result(SECONDS)
    assert (imported.rows, imported.known, count_rows(live)) == (0, 10, 10)


def test_a_page_says_for_what_an_import_would_wait(
    live: Project, owner: Account, file: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_truck(live)
    monkeypatch.setattr(pgsession, "PAGE", {"lock_timeout": "100ms"})
    with open_project(live) as moving:
        exclude_imports(moving)
        with pytest.raises(TransferRefusedError) as refused:
            import_into(live, owner, file)
    assert refused.value.message == (
        "Nothing was imported: a transfer into this project is under way. Import the file once it "
        "has ended."
    )
    assert import_into(live, owner, file).rows == 10


def test_a_job_that_would_wait_is_tried_again(
    live: Project, owner: Account, file: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_truck(live)
    with open_project(live) as uploading:
        put_file(uploading, path="lost.csv", content=file)
    monkeypatch.setattr(pgsession, "LOCK_LIMIT", {"lock_timeout": "100ms"})
    with open_project(live) as moving:
        exclude_imports(moving)
        ran = run_csv(live, "import", "lost.csv")
    again = "It will be tried again in a few minutes."
    assert ran.failure == f"A transfer into this project is under way. {again}"
    waiting = CsvRequest.objects.get()
    assert waiting.state == "queued"
    assert run_waiting(waiting.pk).failure == ""
    assert count_rows(live) == 10


def test_imports_into_two_devices_do_not_wait(
    live: Project, owner: Account, file: bytes, beside: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = "b" * 24
    add_truck(live)
    add_truck(live, other, name="Van")
    imports: list[Future[Imported]] = []

    def start() -> None:
        work = partial(import_csv, live, other, io.BytesIO(file), actor=owner)
        imports.append(beside(work))
        assert imports[0].result(SECONDS).rows == 10

    once(monkeypatch, Duplicates, "new_of", start)
    assert import_into(live, owner, file).rows == 10


def test_an_import_waits_for_the_end_of_an_undo(
    backup: Project,
    live: Project,
    owner: Account,
    beside: Started,
    monkeypatch: pytest.MonkeyPatch,
    settings: Settings,
) -> None:
    add_truck(live)
    settings.TRANSFER_BATCH_ROWS = 10
    add_readings(backup, 5, time=START + timedelta(days=2))
    file = "".join(export_csv(backup, DEVICE, actor=owner)).encode()
    done = move(backup, live, owner)
    request_undo(transfer=done, actor=owner)
    imports: list[Future[Imported]] = []

    def start() -> None:
        imports.append(beside(lambda: import_into(live, owner, file)))
        until_it_waits(imports[0], live)

    # Of two batches, the first one's records are still there.
    once(monkeypatch, transfer_undo, "_take_back", start)
    assert run(done).state == "undone"
    imported = imports[0].result(SECONDS)
    assert (imported.rows, imported.known, count_rows(live)) == (15, 0, 15)
