"""A project that was shut down can be restored for its grace period, then is gone for good."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.conf import settings
from django.test import Client
from django.utils import timezone

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.billing.models import Charge
from backups_portal.ops import project_removal
from backups_portal.ops.project_removal import remove_if_over
from backups_portal.ops.storage_probe import storage_works
from backups_portal.ops.tasks import sweep
from backups_portal.projects.models import DatabaseServer, Membership, Project
from backups_portal.projects.project_creation import check_name
from backups_portal.projects.shutdown import shut_down, start_again
from restores.models import Restore
from snapshots.engine.errors import StorageError
from snapshots.engine.snapshot_steps import Step
from snapshots.engine.storage import Storage, open_storage
from snapshots.models import Snapshot
from snapshots.retention.holds import place_hold
from snapshots.run.snapshot_run import SnapshotJob, take
from snapshots.schedule.schedule_tick import queue_due
from tests.factories import make_project_row, make_snapshot
from tests.restores.conftest import DUE
from tests.restores.test_restore_run import ask, databases, run


def end(project: Project) -> datetime:
    """Shut it down; return the end of its grace period."""
    row = shut_down(project=project, actor=project.created_by, typed_name=project.name)
    assert row.removed_after is not None
    return row.removed_after


def stored(project: Project) -> list[str]:
    storage = open_storage(settings.SNAPSHOT_STORAGE)
    return [item.key for item in storage.list(f"{project.pk}/")]


def test_after_the_grace_period_nothing_is_left_but_what_was_restored(
    client: Client, project: Project, snapshot: Snapshot, owner: Account
) -> None:
    place_hold(snapshot=snapshot, actor=owner)
    others = databases() - {project.database, f"{project.role} role"}
    over = end(project)
    made = run(ask(snapshot, owner)).project
    assert made is not None, "a project that is shut down can be restored"
    charges = Charge.objects.count()

    assert remove_if_over(project.pk, over)

    assert databases() == {*others, made.database, f"{made.database} role"}
    assert stored(project) == []
    assert not Membership.objects.filter(project=project).exists()
    assert not Snapshot.objects.exclude(state=Snapshot.State.EXPIRED).exists()
    assert Charge.objects.count() == charges
    project.refresh_from_db()
    assert (project.state, bytes(project.sealed_password)) == (Project.State.REMOVED, b"")
    client.force_login(owner)
    assert client.get(f"/projects/{project.slug}/").status_code == 404
    assert "Cold Chain" in client.get(f"/projects/{made.slug}/").content.decode()
    assert check_name("Cold Chain", owner) == "Cold Chain"
    actions = AuditEvent.objects.filter(project_id=project.pk).values_list("action", flat=True)
    assert {"project.removed", "project.data_removed"} <= set(actions)


def test_it_is_removed_once_and_by_the_sweep(
    project: Project, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = end(project)
    monkeypatch.setattr("backups_portal.ops.tasks.sweep.delay", lambda *_: None)
    monkeypatch.setattr("backups_portal.ops.tasks.forget_transfers.delay", lambda *_: None)
    sweep()
    assert stored(project), "its grace period lasts"
    monkeypatch.setattr("backups_portal.ops.tasks.earlier_now", lambda: over)
    sweep()
    sweep()
    assert stored(project) == []
    assert AuditEvent.objects.filter(action="project.data_removed").count() == 1
    assert not remove_if_over(project.pk, over)


def test_until_then_it_can_be_started_again(project: Project, snapshot: Snapshot) -> None:
    over = end(project)
    assert not remove_if_over(project.pk, over - timedelta(seconds=1))
    start_again(project=project, actor=project.created_by)
    assert not remove_if_over(project.pk, over)
    project.refresh_from_db()
    assert project.state == Project.State.ACTIVE
    assert stored(project)


def test_what_is_under_way_is_waited_for(
    project: Project, snapshot: Snapshot, owner: Account
) -> None:
    over, restore = end(project), ask(snapshot, owner)
    assert not remove_if_over(project.pk, over)
    assert run(restore).state == Restore.State.COMPLETED
    assert remove_if_over(project.pk, over)


@pytest.mark.django_db
def test_a_download_is_waited_for() -> None:
    project = make_project_row(state="shut_down", shut_down_at=timezone.now())
    over = project.removed_after
    read_until = over + timedelta(hours=1)
    make_snapshot(project, read_until=read_until)
    for now, state in ((over, "shut_down"), (read_until, "removed")):
        remove_if_over(project.pk, now)
        project.refresh_from_db()
        assert project.state == state


@pytest.mark.django_db
def test_of_a_server_that_was_removed_only_the_backups_are_left_to_delete(
    storage_url: str,
) -> None:
    project = make_project_row(state="shut_down", shut_down_at=timezone.now())
    assert storage_works()
    over = project.removed_after
    open_storage(storage_url).put(f"{project.pk}/segment", b"rows")
    for is_gone in (False, True):
        assert remove_if_over(project.pk, over) is is_gone
        assert bool(stored(project)) is not is_gone
        DatabaseServer.objects.update(removed_at=timezone.now())


@pytest.mark.parametrize("away", ["server", "storage"])
def test_a_server_that_is_away_is_asked_again(
    project: Project, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch, away: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise psycopg.OperationalError("away") if away == "server" else StorageError("away")

    others = databases() - {project.database, f"{project.role} role"}
    over = end(project)
    with monkeypatch.context() as fault:
        if away == "server":
            fault.setattr(project_removal, "drop_database", fail)
        else:
            fault.setattr(Storage, "delete", fail)
        assert not remove_if_over(project.pk, over)
        assert not Membership.objects.filter(project=project).exists(), "nobody gets in meanwhile"
    assert remove_if_over(project.pk, over)
    assert databases() == others
    assert stored(project) == []


def test_an_empty_folder_in_place_of_the_storage_is_no_removal(
    project: Project, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    storage_works()
    over = end(project)
    with monkeypatch.context() as unmounted:
        unmounted.setattr(settings, "SNAPSHOT_STORAGE", f"file://{tmp_path / 'unmounted'}")
        assert not remove_if_over(project.pk, over)
    assert not AuditEvent.objects.filter(action="project.data_removed").exists()
    assert stored(project)
    assert remove_if_over(project.pk, over)
    assert stored(project) == []


def test_shut_down_during_its_snapshot_the_snapshot_is_finished(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It began while the project ran, and is the best backup that there will be."""
    (pk,) = queue_due(DUE)
    reach = SnapshotJob.reach

    def shut_down_meanwhile(job: SnapshotJob, step: str) -> None:
        reach(job, step)
        if step == Step.DESCRIBING:
            end(project)

    monkeypatch.setattr(SnapshotJob, "reach", shut_down_meanwhile)
    take(pk)
    snapshot = Snapshot.objects.get(pk=pk)
    assert (snapshot.state, snapshot.table_rows["variable"]) == (Snapshot.State.COMPLETED, 10)
    assert queue_due(timezone.now() + timedelta(days=3)) == []


def test_shut_down_during_its_restore_the_restore_is_finished(
    project: Project, snapshot: Snapshot, owner: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    from restores import restore_run

    restore, report = ask(snapshot, owner), restore_run._report

    def shut_down_meanwhile(*arguments: Any) -> dict[str, Any]:
        assert not remove_if_over(project.pk, end(project))
        return report(*arguments)

    monkeypatch.setattr(restore_run, "_report", shut_down_meanwhile)
    done = run(restore)
    assert done.state == Restore.State.COMPLETED, done.reason
    assert done.project is not None
    assert done.project.state == Project.State.ACTIVE
