"""A database server takes so many snapshots at a time; the others wait, and none is forgotten."""

import threading
from datetime import timedelta
from uuid import UUID, uuid4

import pytest
from celery.exceptions import OperationalError
from django.conf import settings
from django.db import connection
from django.utils import timezone

from backups_portal.projects.models import DatabaseServer
from snapshots import tasks
from snapshots.admitting import WAIT, claim, next_in_line
from snapshots.models import Snapshot
from snapshots.queueing import heal
from tests.factories import make_project_row, make_server, make_snapshot

QUEUED = Snapshot.State.QUEUED


def queued(number: int) -> list[UUID]:
    """As many snapshots that wait, each of a project of its own on the same server."""
    now = timezone.now()
    return [
        make_snapshot(
            make_project_row(),
            state=QUEUED,
            lease_until=now,
            scheduled_for=now + timedelta(seconds=place),
        ).pk
        for place in range(number)
    ]


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
        assert second not in heal(timezone.now())
        assert second in heal(timezone.now() + WAIT + timedelta(seconds=1))

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


class TestOneMessageForMany:
    @pytest.fixture
    def events(self, monkeypatch: pytest.MonkeyPatch) -> list[object]:
        """What a worker did, in its order."""
        events: list[object] = []
        monkeypatch.setattr(tasks, "take", events.append)
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
