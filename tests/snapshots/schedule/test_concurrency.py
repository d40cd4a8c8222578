"""A database server has a limit of concurrent snapshots; the others wait, and all are taken."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from celery.exceptions import OperationalError
from django.conf import settings
from django.db import connection
from django.utils import timezone

from backups_portal.lib.leased_job import Ran
from backups_portal.projects.database_dsn import PASSWORD_PURPOSE, keyring
from backups_portal.projects.models import DatabaseServer, MainDatabase
from backups_portal.projects.servers import register_server
from snapshots import tasks
from snapshots.models import Snapshot
from snapshots.schedule.concurrency import WAIT, claim, next_in_line
from snapshots.schedule.schedule_tick import heal, queue_due
from tests.at_once import at_once
from tests.conftest import running_worker
from tests.factories import make_project_row, make_server, make_snapshot
from tests.projectdatabases import Target, main_database, open_database

DAY = timedelta(days=1)
QUEUED = Snapshot.State.QUEUED
PATIENCE = 60.0


def queued(number: int) -> list[UUID]:
    """Queue snapshots of as many projects on one server, as the tick does."""
    now = timezone.now()
    for place in range(number):
        due = now - timedelta(minutes=number - place)
        MainDatabase.objects.filter(pk=make_project_row().pk).update(
            next_snapshot_at=due, backup_time=due.time()
        )
    queue_due(now)
    waiting = Snapshot.objects.filter(state=QUEUED).order_by("scheduled_for")
    return list(waiting.values_list("pk", flat=True))


def limit(most: int | None) -> None:
    make_server()
    DatabaseServer.objects.update(max_snapshots=most)


@pytest.mark.django_db
class TestClaim:
    def test_without_a_limit_all_are_taken(self) -> None:
        limit(None)
        assert all(claim(pk) for pk in queued(5))

    def test_who_finds_no_room_waits_and_is_called(self) -> None:
        limit(2)
        first, second, third, fourth = queued(4)
        assert claim(first)
        assert claim(second)
        assert claim(third) is None
        waiting = Snapshot.objects.get(pk=third)
        assert (waiting.state, waiting.lease, waiting.attempts) == (QUEUED, None, 0)
        Snapshot.objects.filter(pk=first).update(state=Snapshot.State.FAILED, reason="x")
        assert next_in_line(first) == [third]
        assert claim(third)
        assert claim(fourth) is None

    def test_the_tick_finds_who_was_not_called(self) -> None:
        limit(1)
        first, second = queued(2)
        assert claim(first)
        assert claim(second) is None
        Snapshot.objects.filter(pk=first).update(state=Snapshot.State.FAILED, reason="x")
        assert second not in heal(timezone.now())
        assert second in heal(timezone.now() + WAIT + timedelta(seconds=1))

    def test_the_tick_sends_nobody_to_a_server_without_room(self) -> None:
        limit(1)
        first, second = queued(2)
        assert claim(first)
        later = timezone.now() + timedelta(hours=1)
        Snapshot.objects.filter(pk=first).update(lease_until=later + settings.LEASE)
        assert heal(later) == []
        DatabaseServer.objects.update(max_snapshots=2)
        assert heal(later) == [second]

    def test_two_that_end_at_once_call_two(self) -> None:
        limit(2)
        first, second, third, fourth = queued(4)
        assert claim(first)
        assert claim(second)
        assert not claim(third)
        assert not claim(fourth)
        assert next_in_line(first) == [third]
        assert next_in_line(second) == [fourth]
        assert next_in_line(second) == []

    def test_who_was_refused_keeps_the_time_of_its_next_try(self) -> None:
        limit(1)
        first, second = queued(2)
        then = timezone.now() + timedelta(minutes=5)
        Snapshot.objects.filter(pk=second).update(
            retry_at=then, lease_until=then, reason="x", failures=1
        )
        assert claim(first)
        assert claim(second) is None
        assert Snapshot.objects.get(pk=second).lease_until == then

    def test_a_lost_worker_takes_no_room(self) -> None:
        limit(1)
        first, second = queued(2)
        assert claim(first)
        Snapshot.objects.filter(pk=first).update(lease_until=timezone.now() - settings.LEASE)
        assert claim(second)

    def test_another_server_has_room_of_its_own(self) -> None:
        limit(1)
        first, second = queued(2)
        other = DatabaseServer.objects.create(name="other", sealed_url=b"", max_snapshots=1)
        project = Snapshot.objects.get(pk=second).project
        project.server = other
        project.save()
        assert claim(first)
        assert claim(second)

    def test_what_is_tried_again_later_is_not_called_before(self) -> None:
        limit(1)
        first, second = queued(2)
        Snapshot.objects.filter(pk=second).update(
            retry_at=timezone.now() + timedelta(minutes=5), reason="x", failures=1
        )
        assert next_in_line(first) == []


def two_of_one_project() -> list[UUID]:
    """Make yesterday's snapshot, made up for after an outage, and today's, which has come due."""
    project, now = make_project_row(), timezone.now()
    days = [make_snapshot(project, taken_at=now - age, state=QUEUED) for age in (DAY, DAY * 0)]
    return [one.pk for one in days]


@pytest.mark.django_db
def test_a_project_is_not_read_by_two_at_once() -> None:
    """Both would forget the same marks of changes, and the later one would fail."""
    earlier, later = two_of_one_project()
    assert claim(earlier)
    assert claim(later) is None
    assert heal(timezone.now()) == []
    assert heal(timezone.now() + WAIT + timedelta(seconds=1)) == [earlier, later]
    # Its worker was lost: no other waits for it.
    Snapshot.objects.filter(pk=earlier).update(lease_until=timezone.now() - settings.LEASE)
    assert claim(later)


@pytest.mark.django_db(transaction=True)
def test_two_workers_at_once_do_not_read_one_project() -> None:
    taken: list[UUID | None] = []
    at_once(*(lambda pk=pk: taken.append(claim(pk)) for pk in two_of_one_project()))
    assert [ticket is None for ticket in taken].count(True) == 1


@pytest.mark.django_db(transaction=True)
def test_many_workers_at_once_do_not_exceed_it() -> None:
    limit(2)
    ids, taken = queued(8), []

    def work(pk: UUID) -> None:
        taken.append(claim(pk))
        connection.close()

    threads = [threading.Thread(target=work, args=[pk]) for pk in ids]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([ticket for ticket in taken if ticket]) == 2


@pytest.fixture
def source_databases(
    transactional_db: None, storage_url: str, project_server: str
) -> Iterator[list[Target]]:
    """Main databases of three projects on a server with a limit of one snapshot."""
    server = register_server("main", project_server)
    DatabaseServer.objects.update(max_snapshots=1)
    with ExitStack() as stack:
        targets = [stack.enter_context(main_database()) for _ in range(3)]
        for target in targets:
            name = f"bp_{target.prefix}"
            make_project_row(
                prefix=target.prefix,
                database=name,
                role=name,
                server=server,
                sealed_password=keyring().seal("secret", PASSWORD_PURPOSE),
            )
        yield targets


def test_workers_call_the_next_without_a_tick_and_ask_no_more_than_once(
    source_databases: list[Target], storage_url: str, tmp_path: Path
) -> None:
    MainDatabase.objects.update(next_snapshot_at=timezone.now())
    log = tmp_path / "worker.log"

    def wait_for(what: str, number: int) -> None:
        deadline = time.monotonic() + PATIENCE
        while log.read_text().count(what) < number:
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)

    with running_worker(storage_url, log, processes=2), ExitStack() as held:
        for target in source_databases:
            source = held.enter_context(open_database(target))
            source.autocommit = False
            source.execute("LOCK TABLE device IN ACCESS EXCLUSIVE MODE")
        tasks.enqueue(queue_due(timezone.now()))
        wait_for("no room on the server", 2)
        # Long enough for hundreds of messages back and forth between the two that wait.
        time.sleep(1)
        assert log.read_text().count("no room on the server") == 2
        held.close()
        wait_for("snapshot step=done", 3)
        deadline = time.monotonic() + PATIENCE
        while Snapshot.objects.exclude(state=Snapshot.State.COMPLETED).exists():
            assert time.monotonic() < deadline
            time.sleep(0.1)


class TestOneMessageForMany:
    @pytest.fixture
    def events(self, monkeypatch: pytest.MonkeyPatch) -> list[object]:
        """Record a worker's actions in order."""
        events: list[object] = []

        def take(pk: object) -> Ran:
            events.append(pk)
            return Ran(is_claimed=True)

        monkeypatch.setattr(tasks, "take", take)
        monkeypatch.setattr(tasks, "next_in_line", lambda pk: [])
        monkeypatch.setattr(tasks.take_snapshot, "delay", lambda *ids: events.append(ids))
        return events

    def test_the_others_go_on_before_the_first_is_taken(self, events: list[object]) -> None:
        first, second, third = (uuid4() for _ in range(3))
        tasks.take_snapshot(str(first), str(second), str(third))
        tasks.take_snapshot(str(third))
        assert events == [(str(second), str(third)), first, third]

    def test_a_broker_that_is_away_keeps_nobody_from_work(
        self, events: list[object], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def away(*_: object) -> None:
            raise OperationalError("away")

        monkeypatch.setattr(tasks.take_snapshot, "delay", away)
        first = uuid4()
        tasks.take_snapshot(str(first), str(uuid4()))
        assert events == [first]

    def test_messages_hold_a_hundred(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sent: list[list[str]] = []
        monkeypatch.setattr(
            tasks.take_snapshot, "apply_async", lambda ids, producer: sent.append(list(ids))
        )
        ids = [uuid4() for _ in range(250)]
        tasks.enqueue(ids)
        assert [len(one) for one in sent] == [100, 100, 50]
        assert [pk for one in sent for pk in one] == [str(pk) for pk in ids]
