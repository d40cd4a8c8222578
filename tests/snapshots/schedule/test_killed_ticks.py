"""A tick that is killed, and one that a wrong clock has made, cost no backup."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone
from pytest_django import Settings

from backups_portal.celery import app
from backups_portal.lib.leases import message_counts_for
from snapshots.models import Snapshot
from snapshots.schedule.schedule_tick import heal
from snapshots.tasks import run_schedule
from tests.conftest import database_of_this_test
from tests.factories import make_project_row, make_snapshot
from tests.faults.serving import messages
from tests.killed import is_command_killed
from tests.snapshots.schedule.test_schedule_tick import DUE, MINUTE, make_due

PROJECTS = 3
YEAR = timedelta(days=365)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("place", "stored", "sent"),
    [
        ("before snapshots.schedule.schedule_tick._plan", 0, 0),
        ("behind snapshots.tasks.queue_due", PROJECTS, 0),
        ("before snapshots.tasks.enqueue", PROJECTS, 0),
        # One message has all of them.
        ("behind snapshots.tasks.enqueue", PROJECTS, 1),
    ],
)
def test_the_next_tick_goes_on_where_one_was_killed(place: str, stored: int, sent: int) -> None:
    for _ in range(PROJECTS):
        make_due()
    app.control.purge()
    tick = ("run_schedule", "--at", DUE.isoformat())
    assert is_command_killed(database_of_this_test(), [place], *tick)
    assert (Snapshot.objects.count(), messages()) == (stored, sent)
    soon = run_schedule(DUE + MINUTE)
    # What may still arrive is waited for.
    assert (len(soon.queued), soon.sent_again) == (PROJECTS - stored, [])
    late = run_schedule(DUE + message_counts_for() + 2 * MINUTE)
    assert (late.queued, len(late.sent_again)) == ([], PROJECTS)
    assert Snapshot.objects.count() == PROJECTS
    app.control.purge()


@pytest.mark.django_db
@pytest.mark.parametrize("state", ["queued", "running"])
def test_what_a_clock_that_ran_ahead_has_put_off_is_done_today(
    settings: Settings, state: str
) -> None:
    """The machine was started again to set its clock: its workers were lost."""
    now = timezone.now()
    ahead = {"lease_until": now + YEAR, "retry_at": now + YEAR}
    snapshot = make_snapshot(
        make_project_row(), state=state, lease=uuid4() if state == "running" else None, **ahead
    )
    assert heal(now) == [snapshot.pk]
    assert Snapshot.objects.all().without_early(now).claim(snapshot.pk, lease=settings.LEASE)


@pytest.mark.django_db
def test_what_waits_for_its_turn_or_has_a_worker_is_left_alone(settings: Settings) -> None:
    now = timezone.now()
    waiting = make_snapshot(make_project_row(), state="queued", lease_until=now + settings.LEASE)
    Snapshot.objects.update(retry_at=now + settings.LEASE)
    held = make_snapshot(
        make_project_row(), state="running", lease=uuid4(), lease_until=now + settings.LEASE
    )
    assert heal(now) == []
    for one in (waiting, held):
        rows = Snapshot.objects.all().without_early(now)
        assert rows.claim(one.pk, lease=settings.LEASE) is None
