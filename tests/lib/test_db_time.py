"""Code that deletes takes its time from the database."""

from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from backups_portal.lib.db_time import database_now
from backups_portal.ops.tasks import sweep
from snapshots.models import Snapshot
from tests.factories import make_project_row, make_snapshot

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage_url")]


def test_it_is_now() -> None:
    assert abs(database_now() - timezone.now()) < timedelta(minutes=1)


@pytest.mark.parametrize("prune", [sweep, lambda: call_command("prune_snapshots")])
def test_a_worker_whose_clock_runs_ahead_removes_nothing(
    prune: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    project, now = make_project_row(), timezone.now()
    for days in (1, 2, 3):
        make_snapshot(project, taken_at=now - timedelta(days=days))
    monkeypatch.setattr(timezone, "now", lambda: now + timedelta(days=365))
    prune()  # type: ignore[operator]
    assert {row.state for row in Snapshot.objects.all()} == {Snapshot.State.COMPLETED}
