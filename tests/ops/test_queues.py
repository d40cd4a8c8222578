"""The schedule continues while every worker is busy with backups of hours."""

import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.conf import settings
from redis import Redis

from backups_portal.celery import app
from backups_portal.lib import liveness
from backups_portal.ops import tasks
from snapshots.tasks import copy_snapshot, take_snapshot
from tests.brokers import waiting_messages
from tests.conftest import running_worker

PATIENCE = 30.0
BACKUPS, SYSTEM = "celery", settings.SYSTEM_QUEUE


@pytest.fixture
def queues() -> Iterator["Redis"]:
    """The broker, without other tests' messages and signs of life."""
    app.control.purge()
    with Redis.from_url(settings.REDIS_URL, decode_responses=True) as broker:
        broker.delete(*(liveness._key(sign) for sign in (liveness.WORKER, liveness.SCHEDULE)))
        yield broker
    app.control.purge()


def queue_of(task: str) -> str:
    return app.amqp.router.route({}, task)["queue"].name


def wait_for(sign: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while liveness.last_sign(sign) is None:
        assert time.monotonic() < deadline, f"no {sign}"
        time.sleep(0.1)


def test_short_tasks_have_a_queue_of_their_own_and_all_of_them_exist() -> None:
    app.loader.import_default_modules()
    ours = {name for name in app.tasks if not name.startswith("celery.")}
    assert {name for name in ours if queue_of(name) == SYSTEM} == set(settings.SYSTEM_TASKS)
    assert queue_of("snapshots.tasks.take_snapshot") == BACKUPS
    assert queue_of("backups_portal.ops.tasks.sweep") == BACKUPS
    for name, seconds in settings.SYSTEM_TASKS.items():
        assert app.tasks[name].time_limit == seconds


@pytest.mark.usefixtures("queues")
def test_what_waits_is_counted_in_every_queue_and_priority() -> None:
    tasks.tick.delay()
    for task in (take_snapshot, copy_snapshot):
        task.delay(str(uuid.uuid4()))
    with app.connection_for_read() as broker:
        assert waiting_messages(broker) == 3


@pytest.mark.usefixtures("queues")
def test_a_backup_does_not_wait_behind_copies_to_a_slow_storage() -> None:
    for task in (copy_snapshot, copy_snapshot, take_snapshot):
        task.delay(str(uuid.uuid4()))
    with app.connection_for_read() as connection, connection.SimpleQueue(BACKUPS) as queue:
        names = []
        for _ in range(3):
            message = queue.get(timeout=5)
            message.ack()
            names.append(message.headers["task"])
    assert names == [take_snapshot.name, copy_snapshot.name, copy_snapshot.name]


def test_what_beat_sends_each_minute_goes_there() -> None:
    each_minute = {
        entry["task"] for entry in settings.CELERY_BEAT_SCHEDULE.values() if entry["schedule"] == 60
    }
    assert each_minute <= set(settings.SYSTEM_TASKS)


@pytest.mark.usefixtures("transactional_db")
def test_a_worker_of_short_tasks_takes_nothing_else_and_is_no_sign_of_workers(
    queues: "Redis", storage_url: str, tmp_path: Path
) -> None:
    tasks.sweep.delay()
    tasks.tick.delay()
    assert (queues.llen(BACKUPS), queues.llen(SYSTEM)) == (1, 1)
    with running_worker(storage_url, tmp_path / "system.log", queues=SYSTEM, purge=False):
        wait_for(liveness.SCHEDULE)
    assert queues.llen(BACKUPS) == 1
    assert liveness.last_sign(liveness.WORKER) is None


@pytest.mark.usefixtures("transactional_db")
def test_a_worker_that_names_no_queue_takes_both(
    queues: "Redis", storage_url: str, tmp_path: Path
) -> None:
    tasks.sweep.delay()
    tasks.tick.delay()
    with running_worker(storage_url, tmp_path / "worker.log", purge=False):
        wait_for(liveness.SCHEDULE)
        wait_for(liveness.WORKER)
        deadline = time.monotonic() + PATIENCE
        while queues.llen(BACKUPS):
            assert time.monotonic() < deadline
            time.sleep(0.1)


@pytest.mark.django_db
def test_a_tick_that_fails_is_no_sign_of_the_schedule(
    queues: "Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object) -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        patch.setattr(tasks, "run_schedule", fail)
        with pytest.raises(ZeroDivisionError):
            tasks.tick()
    assert liveness.last_sign(liveness.SCHEDULE) is None
    tasks.tick()
    assert liveness.last_sign(liveness.SCHEDULE) is not None
