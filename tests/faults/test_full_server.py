"""A database server with a full disk fails with a reason, leaves nothing, and recovers."""

import os
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from backups_portal.demo.system_user import SystemUser, make_reachable
from backups_portal.projectdb.cluster_names import template_name
from backups_portal.projectdb.provisioning import prepare_server
from backups_portal.projects.database_dsn import server_url
from backups_portal.projects.models import DatabaseServer
from backups_portal.projects.project_creation import installation
from backups_portal.projects.servers import register_server
from restores.models import Restore
from snapshots.models import Snapshot
from snapshots.run.snapshot_run import take
from snapshots.schedule.schedule_tick import queue_due
from tests.clusters import Cluster, running_cluster
from tests.faults.conftest import DUE
from tests.faults.laboratory import (
    add_noise,
    ask,
    check_that_all_is_well,
    databases,
    finished,
    send,
    small_disk,
    until,
)

# Free bytes on the disk, and the reported reason: an empty database takes up to 9 MB.
TOO_LITTLE = {
    1 << 20: "The database server has no space left.",
    10 << 20: "The database server has no space left for the new project.",
}


@pytest.fixture
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("disk") / "small"
    with small_disk(folder, megabytes=64):
        yield folder


@pytest.fixture
def server(disk: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DatabaseServer]:
    """A server that creates databases on the small disk."""
    with running_cluster(tmp_path_factory.mktemp("second")) as cluster:
        prepare_server(cluster.url, installation())
        _move_template(cluster, disk)
        yield register_server("small", cluster.url)


def _move_template(cluster: Cluster, disk: Path) -> None:
    user = SystemUser(cluster.owner.st_uid, cluster.owner.st_gid)
    user.take(disk)
    make_reachable(user, [disk], lambda line: None)
    with psycopg.connect(cluster.superuser_url, autocommit=True) as superuser:
        superuser.execute(
            sql.SQL("CREATE TABLESPACE small LOCATION {}").format(sql.Literal(str(disk)))
        )
        superuser.execute(
            sql.SQL("ALTER DATABASE {} SET TABLESPACE small").format(
                sql.Identifier(template_name(installation()))
            )
        )


@pytest.mark.usefixtures("worker")
def test_a_restore_that_finds_no_room(
    snapshot: Snapshot, server: DatabaseServer, disk: Path
) -> None:
    add_noise(snapshot.project, rows=60_000)
    (pk,) = queue_due(DUE.replace(day=2))
    take(pk)
    noisy = Snapshot.objects.select_related("project").get(pk=pk)
    ballast = disk / "ballast"
    for room, said in TOO_LITTLE.items():
        _fill(disk, ballast, room)
        restore = restored(noisy, f"With {room} bytes", server)
        assert (restore.state, restore.reason) == (Restore.State.FAILED, said)
        # The operator is notified now, because no retry would find more room by itself.
        assert restore.attempts == 1
        until(lambda: databases(server_url(server)) == set(), ticking=False)
        ballast.unlink()
    restore = restored(noisy, "With room", server)
    assert restore.state == Restore.State.COMPLETED, restore.reason
    check_that_all_is_well(projects=2)


def restored(snapshot: Snapshot, name: str, server: DatabaseServer) -> Restore:
    """Run a restore in the worker and return its final state."""
    restore = ask(snapshot, name, server)
    send(restore)
    # A tick would queue a proof, which needs room on the same disk.
    until(finished([restore]), ticking=False)
    restore.refresh_from_db()
    return restore


def _fill(disk: Path, ballast: Path, room: int) -> None:
    """Leave this much free space, in bytes."""
    found = os.statvfs(disk)
    ballast.write_bytes(bytes(found.f_bavail * found.f_frsize - room))
