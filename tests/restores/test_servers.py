"""A project can move between two servers, and an outage affects one server's projects only."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from django.test import Client
from django.utils import timezone

from backups_portal.projects.database_dsn import project_dsn
from backups_portal.projects.models import DatabaseServer, Project
from backups_portal.projects.servers import check_servers, register_server
from restores.models import Restore
from restores.restore_requests import NewProject, request_restore
from restores.restore_run import run_restore
from snapshots.models import Snapshot
from snapshots.run.snapshot_run import take
from snapshots.schedule.schedule_tick import queue_due
from tests.clusters import Cluster, running_cluster
from tests.projectdatabases import Target, contents


@pytest.fixture
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A separate PostgreSQL server that can be away for a while."""
    with running_cluster(tmp_path_factory.mktemp("second")) as cluster:
        yield cluster


def restore(snapshot: Snapshot, name: str, server: DatabaseServer | None = None) -> Restore:
    asked = request_restore(
        snapshot=snapshot,
        actor=snapshot.project.created_by,
        wanted=NewProject(
            name=name,
            accepted_charges=True,
            server=server,
        ),
    )
    run_restore(asked.pk)
    return Restore.objects.select_related("project__server").get(pk=asked.pk)


def backup(project: Project, *, days: int) -> Snapshot:
    """Take the schedule's backup of a project after this many days."""
    queue_due(timezone.now() + timedelta(days=days))
    for waiting in Snapshot.objects.filter(state=Snapshot.State.QUEUED):
        take(waiting.pk)
    return Snapshot.objects.filter(project=project).latest("scheduled_for")


@pytest.mark.server_version
def test_a_project_moves_to_another_server_and_one_that_is_away_hurts_only_its_own(
    second: Cluster, project: Project, snapshot: Snapshot, client: Client, tmp_path: Path
) -> None:
    other = register_server("second", second.url)

    moved = restore(snapshot, "Recovered", other).project
    assert moved is not None
    assert moved.server.name == "second"
    assert records(moved) == records(project)

    with second.away():
        assert check_servers()["second"]
        assert backup(project, days=1).state == Snapshot.State.COMPLETED
        failed = backup(moved, days=2)
        assert (failed.state, "has not answered since" in failed.reason) == ("failed", True)
        elsewhere = restore(snapshot, "Beside it").project
        assert elsewhere is not None
        assert elsewhere.server == project.server
        refused = restore(snapshot, "Nowhere", other)
        assert (refused.state, refused.project) == (Restore.State.FAILED, None)
        assert "“second” is not responding" in refused.reason

    assert not any(check_servers().values())
    stored = backup(moved, days=3)
    assert stored.state == Snapshot.State.COMPLETED, stored.reason
    back = restore(stored, "And back", project.server).project
    assert back is not None
    assert records(back) == records(project)


def records(project: Project) -> list[str]:
    project = Project.objects.select_related("server").get(pk=project.pk)
    return contents(Target(project_dsn(project), project.prefix))
