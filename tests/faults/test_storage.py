"""A storage that fails now and then, keeps half of what it is given, or is full."""

import itertools
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import obstore
import psycopg
import pytest
from obstore.exceptions import GenericError
from pytest_django import Settings

from backups_portal.projects.connections import admin_dsn
from restores.models import Restore
from restores.services import run_restore
from snapshots.models import Snapshot
from snapshots.queueing import queue_due
from snapshots.taking import take
from tests.faults.conftest import DUE
from tests.faults.laboratory import ask, check_that_all_is_well

pytestmark = pytest.mark.usefixtures("worker")

Call = Callable[..., Any]


def times_out(call: Call, *arguments: Any, **options: Any) -> Any:
    """No answer came."""
    raise GenericError("operation timed out")


def keeps_half(call: Call, store: Any, key: str, content: bytes = b"", **options: Any) -> Any:
    """It says that it wrote, or that this is all there is."""
    if call is not obstore_put:
        return times_out(call, store, key)
    return call(store, key, content[: len(content) // 2], **options)


obstore_put = obstore.put


@contextmanager
def each_third_call(monkeypatch: pytest.MonkeyPatch, fault: Call) -> Iterator[None]:
    """One of three calls to the storage goes wrong, whichever it is."""
    calls = itertools.count(1)

    def now_and_then(call: Call) -> Call:
        def made(*arguments: Any, **options: Any) -> Any:
            if next(calls) % 3:
                return call(*arguments, **options)
            return fault(call, *arguments, **options)

        return made

    with monkeypatch.context() as patched:
        for name in ("put", "get"):
            patched.setattr(obstore, name, now_and_then(getattr(obstore, name)))
        yield
    assert next(calls) > 3


@pytest.mark.parametrize("fault", [times_out, keeps_half])
def test_one_call_of_three_goes_wrong(
    snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch, fault: Call
) -> None:
    (pk,) = queue_due(DUE.replace(day=2))
    restore = ask(snapshot, "From a bad place")
    with each_third_call(monkeypatch, fault):
        for _ in range(4):
            take(pk)
        for _ in range(3):
            run_restore(restore.pk)
    again = Snapshot.objects.get(pk=pk)
    restore.refresh_from_db()
    assert again.state in (Snapshot.State.FAILED, Snapshot.State.COMPLETED)
    if again.state == Snapshot.State.FAILED:
        assert "backup storage" in again.reason or "changed in storage" in again.reason
    assert restore.state in (Restore.State.FAILED, Restore.State.COMPLETED)
    check_that_all_is_well()


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of a megabyte."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system takes root's rights")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_is_a_reason_and_the_next_run_needs_nobody(
    snapshot: Snapshot, settings: Settings, tmp_path: Path
) -> None:
    (pk,) = queue_due(DUE.replace(day=2))
    good = settings.SNAPSHOT_STORAGE
    with psycopg.connect(admin_dsn(snapshot.project), autocommit=True) as source:
        # Noise, of which nothing can be made smaller.
        source.execute(
            """INSERT INTO variable (series_id, time, text_value, group_key)
               SELECT 1, '2026-03-01'::timestamptz + n * interval '1 second',
                      encode(sha512(n::text::bytea), 'base64'), 'g'
               FROM generate_series(1, 20000) n"""
        )
    with small_disk(tmp_path / "small"):
        settings.SNAPSHOT_STORAGE = f"file://{tmp_path / 'small'}"
        for _ in range(4):
            take(pk)
        failed = Snapshot.objects.get(pk=pk)
        assert failed.state == Snapshot.State.FAILED
        assert "No space left on device" in failed.reason
    settings.SNAPSHOT_STORAGE = good
    check_that_all_is_well()
