"""Work that waits for its time goes by the database's clock, deletions by the earlier one."""

from collections.abc import Callable
from datetime import timedelta
from uuid import uuid4

import pytest
from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from backups_portal.lib.db_time import database_now
from backups_portal.ops.tasks import sweep, tick
from backups_portal.projects.models import MainDatabase, Project
from backups_portal.projects.shutdown import shut_down
from snapshots.models import Snapshot
from snapshots.schedule.concurrency import claim
from tests.factories import make_project_row, make_snapshot

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage_url")]


def test_it_is_now() -> None:
    assert abs(database_now() - timezone.now()) < timedelta(minutes=1)


def set_own_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    now = timezone.now()
    monkeypatch.setattr(timezone, "now", lambda: now + timedelta(days=365))


def set_database_clock(_: pytest.MonkeyPatch) -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE SCHEMA wrong")
        cursor.execute(
            "CREATE FUNCTION wrong.clock_timestamp() RETURNS timestamptz LANGUAGE sql"
            " RETURN pg_catalog.clock_timestamp() + interval '365 days'"
        )
        cursor.execute("SET LOCAL search_path TO wrong, pg_catalog, public")


@pytest.mark.parametrize("set_clock", [set_own_clock, set_database_clock])
@pytest.mark.parametrize("prune", [sweep, lambda: call_command("prune_snapshots")])
def test_a_clock_that_runs_ahead_removes_nothing(
    prune: Callable[[], None],
    set_clock: Callable[[pytest.MonkeyPatch], None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    project, now = make_project_row(), timezone.now()
    for days in (1, 2, 3):
        make_snapshot(project, taken_at=now - timedelta(days=days))
    over = make_project_row(name="Shut down", state=Project.State.SHUT_DOWN, shut_down_at=now)
    set_clock(monkeypatch)
    prune()
    assert {row.state for row in Snapshot.objects.all()} == {Snapshot.State.COMPLETED}
    over.refresh_from_db()
    assert over.state == Project.State.SHUT_DOWN
    assert "clocks of this machine and of the portal's database differ" in caplog.text


def test_a_clock_that_runs_behind_ends_no_grace_period(monkeypatch: pytest.MonkeyPatch) -> None:
    project, now = make_project_row(), timezone.now()
    with monkeypatch.context() as patch:
        patch.setattr(timezone, "now", lambda: now - timedelta(days=365))
        shut_down(project=project, actor=project.created_by, typed_name=project.name)
    sweep()
    project.refresh_from_db()
    assert project.state == Project.State.SHUT_DOWN


@pytest.mark.parametrize("schedule", [tick, lambda: call_command("run_schedule")])
def test_a_schedule_whose_clock_runs_ahead_starts_nothing_early(
    schedule: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = timezone.now()
    make_project_row()
    MainDatabase.objects.update(next_snapshot_at=now + timedelta(minutes=30))
    monkeypatch.setattr(timezone, "now", lambda: now + timedelta(hours=1))
    schedule()  # type: ignore[operator]
    assert not Snapshot.objects.exists()


@pytest.mark.parametrize("hours", [-1, 1], ids=["behind", "ahead"])
def test_a_worker_whose_clock_is_wrong_takes_what_is_due_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, hours: int
) -> None:
    now = database_now()
    moments = {
        "due": {"retry_at": now},
        "waits": {"retry_at": now + timedelta(minutes=5)},
        "taken": {"state": "running", "lease": uuid4(), "lease_until": now + settings.LEASE},
        "lost": {"state": "running", "lease": uuid4(), "lease_until": now},
    }
    ids = {}
    for name, fields in moments.items():
        snapshot = make_snapshot(make_project_row(), state=Snapshot.State.QUEUED)
        Snapshot.objects.filter(pk=snapshot.pk).update(**fields)
        ids[name] = snapshot.pk
    monkeypatch.setattr(timezone, "now", lambda: now + timedelta(hours=hours))
    assert {name for name, pk in ids.items() if claim(pk)} == {"due", "lost"}
    held = Snapshot.objects.get(pk=ids["due"]).lease_until
    assert held
    assert settings.LEASE <= held - now < settings.LEASE + timedelta(minutes=1)
