"""Connections to the portal's database are kept between tasks unless one may be broken."""

import pytest
from celery import states
from celery.signals import task_postrun, task_prerun
from django.db import connection

from snapshots.tasks import take_snapshot

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _new_connection() -> None:
    # A connection is replaced after a minute anyway.
    connection.close()


def server_process() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def end_task(state: str) -> None:
    """Send the signals of one task's end and the next one's start, as a worker does."""
    task_postrun.send(sender=take_snapshot, task=take_snapshot, task_id="", state=state)
    task_prerun.send(sender=take_snapshot, task=take_snapshot, task_id="")


def test_the_next_task_has_the_same_connection() -> None:
    before = server_process()
    end_task(states.SUCCESS)
    assert server_process() == before


def test_a_failed_task_leaves_no_connection_behind() -> None:
    before = server_process()
    end_task(states.FAILURE)
    assert server_process() != before


def test_a_connection_that_the_server_ended_is_replaced() -> None:
    before = server_process()
    with connection.copy().cursor() as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [before])
        other.connection.close()
    end_task(states.SUCCESS)
    assert server_process() != before
