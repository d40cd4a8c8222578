"""Beat continues regardless of changes to the machine's clock."""

import os
import time
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from celery.beat import Scheduler
from kombu.utils.imports import symbol_by_name

from backups_portal.celery import app

HOUR = 3600.0
ENTRIES = {
    "tick": {"task": "tick", "schedule": 60.0},
    "sweep": {"task": "sweep", "schedule": timedelta(hours=6)},
}


class World:
    """A wall clock that can be set, and a monotonic one that cannot."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.steady, self.wall = 1000.0, datetime(2026, 11, 23, tzinfo=UTC)
        self.sent: list[tuple[str, float]] = []
        self.file = folder / "schedule"
        monkeypatch.setattr(time, "monotonic", lambda: self.steady)
        monkeypatch.setattr(app, "now", lambda: self.wall)
        # The class that `celery beat` loads.
        kind: type[Scheduler] = symbol_by_name(app.conf.beat_scheduler)
        monkeypatch.setattr(kind, "producer", None)
        monkeypatch.setattr(kind, "apply_entry", self._note)
        self.scheduler = kind(app, schedule={}, schedule_filename=str(self.file), lazy=True)
        self.scheduler.update_from_dict(ENTRIES)

    def _note(self, entry: Any, producer: object = None) -> None:
        self.sent.append((entry.task, self.steady))

    def live(self, seconds: float) -> None:
        """Let time pass while beat runs."""
        end = self.steady + seconds
        while self.steady < end:
            step = max(self.scheduler.tick(), 0.001)
            self.steady += step
            self.wall += timedelta(seconds=step)

    def gaps(self, task: str) -> list[float]:
        """Return the seconds between a task's messages."""
        moments = [at for name, at in self.sent if name == task]
        return [later - at for at, later in pairwise(moments)]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> World:
    return World(monkeypatch, tmp_path)


@pytest.mark.parametrize("hours", [-1, 1, -1000])
def test_a_clock_that_is_set_delays_nothing_and_hurries_nothing(world: World, hours: int) -> None:
    world.live(HOUR / 2)
    world.wall += timedelta(hours=hours)
    world.live(HOUR / 2)
    gaps = world.gaps("tick")
    assert len(gaps) >= 58
    assert min(gaps) > 59
    assert max(gaps) < 61


def test_the_tick_begins_at_once_and_the_long_round_within_the_first_hour(world: World) -> None:
    begun = world.steady
    world.live(24 * HOUR)
    assert world.sent[0] == ("tick", begun)
    assert begun < next(at for name, at in world.sent if name == "sweep") < begun + HOUR
    assert world.gaps("sweep") == pytest.approx([6 * HOUR] * 3, abs=60)


def test_what_was_missed_is_not_made_up_for(world: World) -> None:
    world.live(60)
    world.steady += 10 * HOUR
    world.sent.clear()
    world.live(59)
    assert [name for name, _ in world.sent] == ["tick", "sweep"]


def test_its_file_says_that_it_lives(world: World) -> None:
    world.live(1)
    os.utime(world.file, (0, 0))
    world.live(60)
    assert world.file.stat().st_mtime > 0


def test_a_signal_in_the_middle_of_a_message_closes_nothing_under_its_hands(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Connection:
        released = 0

        def release(self) -> None:
            self.released += 1

    connection = Connection()
    world.scheduler.__dict__["connection"] = connection

    def signalled(*_: object, **__: object) -> None:
        world.scheduler.close()
        raise SystemExit

    monkeypatch.setattr(world.scheduler, "apply_entry", signalled)
    with pytest.raises(SystemExit):
        world.scheduler.tick()
    assert connection.released == 0
    world.scheduler.close()
    assert connection.released == 1


def test_a_file_that_cannot_be_written_ends_beat_with_a_sentence(tmp_path: Path) -> None:
    scheduler: type[Scheduler] = symbol_by_name(app.conf.beat_scheduler)
    file = tmp_path / "gone" / "schedule"
    with pytest.raises(SystemExit, match=f"beat cannot write {file}: No such file or directory"):
        scheduler(app, schedule_filename=str(file), lazy=True)
