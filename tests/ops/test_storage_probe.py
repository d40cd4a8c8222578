"""Probing the backup storages, and the leftovers of a probe whose process was killed."""

from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from celery import Task
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone
from pytest_django import Settings

from backups_portal.ops import tasks
from backups_portal.ops.storage_probe import (
    MAX_PROBE_TIME,
    copies_work,
    forget_probes,
    storage_works,
)
from snapshots.engine.layout import PROBES
from snapshots.engine.storage import Storage
from snapshots.replication.copy_sweep import note_away
from snapshots.storages.configured_storages import copy_storage, snapshot_storage

pytestmark = pytest.mark.django_db
LEFT = f"{PROBES}/left"


@pytest.fixture(autouse=True, params=["", f"a:{'ab' * 32}"], ids=["open", "encrypted"])
def _keys(
    request: pytest.FixtureRequest, settings: Settings, storage_url: str, tmp_path: Path
) -> None:
    settings.SNAPSHOT_MASTER_KEYS = request.param
    settings.SNAPSHOT_COPY_STORAGE = f"file://{tmp_path / 'copies'}"


def rotate() -> None:
    with pytest.raises(CommandError, match="could not be finished"):
        call_command("rotate_keys", stdout=StringIO(), stderr=StringIO())


def probes(storage: Storage) -> set[str]:
    return {item.key for item in storage.list(f"{PROBES}/")}


@pytest.mark.parametrize(
    ("opened", "works"), [(snapshot_storage, storage_works), (copy_storage, copies_work)]
)
def test_what_a_killed_try_has_left_goes_when_it_is_old(
    opened: Callable[[], Storage], works: Callable[[], bool]
) -> None:
    assert works()
    storage = opened()
    keys = probes(storage)
    storage.put(LEFT, b"behind")
    now = timezone.now()

    assert forget_probes(storage, now) == 0
    assert probes(storage) == {*keys, LEFT}
    assert forget_probes(storage, now + MAX_PROBE_TIME + timedelta(minutes=1)) == 1
    assert probes(storage) == keys
    assert works()


def test_each_round_of_the_sweep_tidies_both_storages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backups_portal.ops.storage_probe.MAX_PROBE_TIME", -timedelta(minutes=1))
    first, second = snapshot_storage(), copy_storage()
    assert second
    for storage, works in ((first, storage_works), (second, copies_work)):
        assert works()
        storage.put(LEFT, b"behind")
    for task in (tasks.forget_transfers, tasks.forget_deliveries, tasks.drop_strays, tasks.sweep):
        monkeypatch.setattr(task, "delay", lambda *_: None)
    for task in (tasks.tidy_storage, tasks.tidy_copies):
        monkeypatch.setattr(task, "delay", task)
    tasks.begin_sweep()
    assert LEFT not in {*probes(first), *probes(second)}


def test_a_second_storage_that_is_away_keeps_no_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("backups_portal.ops.storage_probe.MAX_PROBE_TIME", -timedelta(minutes=1))
    storage = copy_storage()
    assert storage
    storage.put(LEFT, b"behind")
    note_away()
    tasks.tidy_copies()
    assert LEFT in probes(storage)


@pytest.mark.parametrize("task", [tasks.tidy_storage, tasks.tidy_copies])
def test_no_storage_keeps_a_worker_for_hours(task: Task) -> None:
    """A round that is ended keeps its deletions, and the next one continues."""
    assert task.time_limit


@pytest.mark.parametrize("look", [tasks.look_at_storage, tasks.look_at_copies, rotate])
def test_a_storage_that_cannot_be_used_is_a_line_without_a_traceback(
    look: Callable[[], object],
    settings: Settings,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The log has one every minute, and the reason explains itself."""
    (tmp_path / "file").touch()
    settings.SNAPSHOT_STORAGE = settings.SNAPSHOT_COPY_STORAGE = f"file://{tmp_path}/file/below"
    settings.SNAPSHOT_MASTER_KEYS = f"a:{'ab' * 32}"
    look()
    lines = [one for one in caplog.records if one.levelname == "ERROR"]
    assert lines
    assert {one.exc_info for one in lines} == {None}
    assert "Not a directory" in caplog.text
