"""PostgreSQL crashes, Redis is killed or loses everything: work resumes when they return."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from uuid import uuid4

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from pytest_django import Settings
from redis import Redis

from backups_portal.celery import app
from backups_portal.demo.child_processes import Child
from backups_portal.demo.data_folder import DataFolder, opened
from backups_portal.demo.redis import start_redis
from backups_portal.lib.leased_job import send_on_commit
from backups_portal.projects.models import Project
from restores.models import Restore
from restores.tasks import run_restore
from snapshots.models import Snapshot
from snapshots.schedule.schedule_tick import queue_due
from snapshots.tasks import enqueue
from tests.conftest import running_worker
from tests.faults.conftest import DUE, WORKER_ENVIRONMENT, SharedWorker
from tests.faults.laboratory import (
    LEASE_SECONDS,
    Laboratory,
    ask,
    check_that_all_is_well,
    finished,
    send,
    until,
)
from tests.faults.servers import ServerOfThisRun, answers
from tests.forked_modules import ModuleProcess


def crash_postgres() -> None:
    """Kill a backend with SIGKILL: the server ends all others and recovers from its log."""
    with psycopg.connect(settings.PROJECT_DATABASE_URL) as server:
        pid = server.info.backend_pid
        os.kill(pid, signal.SIGKILL)
        with suppress(psycopg.Error):
            server.execute("SELECT pg_sleep(60)")
    until(answers, ticking=False)


@pytest.fixture(autouse=True)
def _own_worker(shared_worker: SharedWorker) -> Iterator[None]:
    """Other tests must not inherit this worker's state."""
    yield
    shared_worker.end()


@pytest.mark.usefixtures("worker")
def test_postgres_crashes_in_the_middle_of_a_snapshot_and_of_a_restore(
    laboratory: Laboratory, snapshot: Snapshot, make_project: Callable[[str], Project]
) -> None:
    make_project("Another")
    (other,) = (Snapshot.objects.get(pk=pk) for pk in queue_due(DUE))
    restore = ask(snapshot, "After the crash")
    held = [laboratory.hold_at(restore.pk, "indexing"), laboratory.hold_at(other.pk, "describing")]
    enqueue([other.pk])
    send(restore)
    for one in held:
        one.wait()
    crash_postgres()
    for one in held:
        one.let_go()
    until(finished([other, restore]))
    other.refresh_from_db()
    restore.refresh_from_db()
    assert other.state == Snapshot.State.COMPLETED, other.reason
    assert restore.state == Restore.State.COMPLETED, restore.reason
    check_that_all_is_well(projects=3)


@pytest.mark.usefixtures("worker")
def test_postgres_is_killed_and_stays_away_for_longer_than_a_lease(
    laboratory: Laboratory, snapshot: Snapshot, make_project: Callable[[str], Project]
) -> None:
    """The portal's own database and those of projects stop together, as in a small installation."""
    make_project("Another")
    (other,) = (Snapshot.objects.get(pk=pk) for pk in queue_due(DUE))
    restore = ask(snapshot, "After the outage")
    held = [laboratory.hold_at(restore.pk, "loading"), laboratory.hold_at(other.pk, "describing")]
    enqueue([other.pk])
    send(restore)
    for one in held:
        one.wait()
    server = ServerOfThisRun()
    server.kill()
    # Neither the failure nor the retry can be recorded.
    for one in held:
        one.let_go()
    time.sleep(LEASE_SECONDS + 1)
    assert not answers()
    server.start()
    for one in (other, restore):
        one.refresh_from_db()
        assert one.state == "running"
    until(finished([other, restore]))
    for one in (other, restore):
        one.refresh_from_db()
        assert (one.state, one.attempts) == ("completed", 2), one.reason
    check_that_all_is_well(projects=3)


class Broker:
    """A Redis for this test alone."""

    def __init__(self, folder: DataFolder) -> None:
        self._folder = folder
        self._child, self.url = self._start()

    def _start(self) -> tuple[Child, str]:
        return start_redis(self._folder, durable=False, say=lambda line: None)

    def kill(self) -> None:
        """Kill it as a power failure would; nothing is saved."""
        os.kill(self._child.pid, signal.SIGKILL)
        until(lambda: self._child.exit_code() is not None, ticking=False)

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Accept connections without answering, as behind a cut network."""
        os.kill(self._child.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._child.pid, signal.SIGCONT)

    @contextmanager
    def full(self) -> Iterator[None]:
        """Refuse commands that need memory; reading and deleting work."""
        with Redis.from_url(self.url) as client:
            client.config_set("maxmemory", 1)
            try:
                yield
            finally:
                client.config_set("maxmemory", 0)

    def start_again(self) -> None:
        """Start it again, empty, at the same address."""
        self._child, _ = self._start()

    def stop(self) -> None:
        self._child.stop()


@pytest.fixture
def broker(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Broker]:
    with opened(tmp_path_factory.mktemp("broker")) as folder:
        broker = Broker(folder)
        with using(broker.url):
            yield broker
        broker.stop()


@contextmanager
def using(url: str) -> Iterator[None]:
    """Send this process's messages there."""
    before = app.conf.broker_url
    _send_to(url)
    try:
        yield
    finally:
        _send_to(before)


def _send_to(url: str) -> None:
    app.conf.broker_url = app.conf.broker_read_url = app.conf.broker_write_url = url
    # This discards the earlier connections and producers.
    app._after_fork()


def test_a_click_does_not_wait_for_a_redis_that_hangs(
    db: None, broker: Broker, settings: Settings
) -> None:
    def click() -> None:
        send_on_commit(run_restore, uuid4())
        connection.close()

    settings.REDIS_URL = broker.url
    run_restore.delay(str(uuid4()))
    with broker.hanging():
        clicking = Thread(target=click, daemon=True)
        clicking.start()
        clicking.join(5)
        is_waiting = clicking.is_alive()
    clicking.join()
    assert not is_waiting
    with app.connection_for_write() as queue:
        client = queue.default_channel.client
        # Messages between workers have a timeout, too.
        assert client.connection_pool.connection_kwargs["socket_timeout"] == 5


def test_a_click_is_taken_while_redis_is_full(
    transactional_db: None, broker: Broker, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.REDIS_URL = broker.url
    with broker.full():
        clicked = time.monotonic()
        send_on_commit(run_restore, uuid4())
    assert time.monotonic() - clicked < 2
    assert "broker is away, to be sent later" in caplog.text


def test_redis_is_full_then_killed_and_comes_back_empty(
    broker: Broker,
    laboratory: Laboratory,
    snapshot: Snapshot,
    make_project: Callable[[str], Project],
    tmp_path: Path,
) -> None:
    make_project("Another")
    (other,) = (Snapshot.objects.get(pk=pk) for pk in queue_due(DUE))
    restore = ask(snapshot, "Asked before")
    Snapshot.objects.filter(pk=other.pk).update(lease_until=DUE)
    held = laboratory.hold_at(restore.pk, "loading")
    log = tmp_path / "worker.log"
    faults = {"FAULTS": str(laboratory.folder), "REDIS_URL": broker.url}
    with running_worker(
        settings.SNAPSHOT_STORAGE,
        log,
        application="tests.faults.faulty",
        environment={**WORKER_ENVIRONMENT, **faults},
    ) as worker:
        # It receives a message whose receipt it cannot record, and survives.
        os.kill(worker.pid, signal.SIGSTOP)
        enqueue([other.pk])
        with broker.full():
            os.kill(worker.pid, signal.SIGCONT)
            until(lambda: "OutOfMemoryError" in log.read_text(), ticking=False)
        # One runs, the other waits in its queue.
        send(restore)
        until(lambda: held.is_reached or worker.poll() is not None, ticking=False)
        assert held.is_reached
        enqueue([other.pk])
        broker.kill()
        held.let_go()
        until(finished([restore]), ticking=False)
        broker.start_again()
        until(finished([other]))
        other.refresh_from_db()
        restore.refresh_from_db()
        assert worker.poll() is None
        assert other.state == Snapshot.State.COMPLETED, other.reason
        assert restore.state == Restore.State.COMPLETED, restore.reason
        check_that_all_is_well(projects=3)


def test_the_queue_is_emptied(
    laboratory: Laboratory, snapshot: Snapshot, worker: ModuleProcess
) -> None:
    restore, waiting = ask(snapshot, "First"), ask(snapshot, "Second")
    behind = ask(snapshot, "Third")
    held = [laboratory.hold_at(one.pk, "loading") for one in (restore, waiting)]
    send(restore, waiting, behind)
    for one in held:
        one.wait()
    with app.connection_for_write() as broker:
        broker.default_channel.client.flushall()
    for one in held:
        one.let_go()
    Restore.objects.filter(pk=behind.pk).update(lease_until=DUE)
    until(finished([restore, waiting, behind]))
    check_that_all_is_well(projects=4)
    assert worker.poll() is None
