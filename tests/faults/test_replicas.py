"""A replica, such as after a failover, responds but counts as unavailable."""

import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psycopg
import pytest

from backups_portal.projects.models import DatabaseServer
from backups_portal.projects.servers import READ_ONLY, check_servers, register_server
from tests.clusters import Cluster, running_cluster
from tests.faults.laboratory import until


@pytest.fixture
def replica(tmp_path: Path) -> Iterator[Cluster]:
    """A server in recovery, which waits for a primary that is lost."""
    with running_cluster(tmp_path) as cluster:
        (cluster.folder.path / "postgres" / "data" / "standby.signal").touch()
        with psycopg.connect(cluster.url) as connection:
            # If one of its processes crashes, all of them restart.
            os.kill(connection.info.backend_pid, signal.SIGKILL)
        until(partial(is_replica, cluster), ticking=False)
        yield cluster


def is_replica(cluster: Cluster) -> bool:
    """Tell whether it is one yet; for a moment after the crash it still answers as before."""
    try:
        with psycopg.connect(cluster.url) as connection:
            return connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)
    except psycopg.OperationalError:
        return False


@pytest.mark.django_db
def test_it_counts_as_away_until_it_is_promoted(replica: Cluster) -> None:
    register_server("second", replica.url)
    assert check_servers() == {"second": READ_ONLY}
    assert DatabaseServer.objects.get().down_since
    with psycopg.connect(replica.superuser_url, autocommit=True) as superuser:
        superuser.execute("SELECT pg_promote()")
    assert check_servers() == {"second": ""}
    assert DatabaseServer.objects.get().down_since is None
