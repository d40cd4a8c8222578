"""Snapshots in a bucket: a real S3 server on this machine, from the first backup to its removal."""

import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.utils import timezone

from backups_portal.demo.ports import LOOPBACK, free_port, is_free
from backups_portal.projects.connections import project_dsn
from backups_portal.projects.models import Project
from restores.loading import Target
from snapshots.cataloguing import rebuild_each
from snapshots.engine.errors import MissingObjectError
from snapshots.engine.storage import Storage, open_storage
from snapshots.expiry import prune
from snapshots.models import Snapshot
from snapshots.orphans import sweep_project
from snapshots.taking import take
from snapshots.verification import verify
from tests.factories import make_account, make_snapshot
from tests.projectdatabases import add_rows, open_database

pytestmark = pytest.mark.django_db
KEY, SECRET = "0123456789abcdef", "0123456789abcdef0123456789abcdef"
PATIENCE = 20.0


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an S3 server with an empty bucket."""
    folder, port = tmp_path_factory.mktemp("s3"), free_port()
    (folder / "bucket").mkdir()
    server = subprocess.Popen(
        [
            *(str(Path(sys.executable).with_name("rclone")), "serve", "s3"),
            *("--addr", f"{LOOPBACK}:{port}", "--auth-key", f"{KEY},{SECRET}", str(folder)),
        ],
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + PATIENCE
    while is_free(port) and time.monotonic() < deadline:
        assert server.poll() is None
        time.sleep(0.05)
    yield f"http://{LOOPBACK}:{port}"
    server.terminate()
    server.wait()


@pytest.fixture
def bucket(
    stored: Storage,
    endpoint: str,
    settings: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Storage:
    """A folder of this test's own in the bucket, as the settings of a deployment name it."""
    for name, value in (
        ("ACCESS_KEY_ID", KEY),
        ("SECRET_ACCESS_KEY", SECRET),
        ("REGION", "us-east-1"),
        ("ENDPOINT_URL", endpoint),
        ("ALLOW_HTTP", "true"),
    ):
        monkeypatch.setenv(f"AWS_{name}", value)
    settings.SNAPSHOT_STORAGE = f"s3://bucket/{tmp_path.name}"
    return open_storage(settings.SNAPSHOT_STORAGE)


def taken(project: Project, days_ago: int) -> Snapshot:
    moment = timezone.now() - timedelta(days=days_ago)
    snapshot = make_snapshot(project, taken_at=moment, state=Snapshot.State.QUEUED)
    take(snapshot.id)
    snapshot.refresh_from_db()
    assert snapshot.state == Snapshot.State.COMPLETED, snapshot.reason
    return snapshot


def test_a_snapshot_is_stored_read_and_removed(live_project: Project, bucket: Storage) -> None:
    first = taken(live_project, 1)
    with open_database(Target(project_dsn(live_project), live_project.prefix)) as connection:
        add_rows(connection, 10, 5)
    second = taken(live_project, 0)
    assert not second.is_full
    assert (verify(first).rows, verify(second).rows) == (first.rows, second.rows)

    Snapshot.objects.filter(pk=first.pk).update(taken_at=timezone.now() - timedelta(days=99))
    assert [item.snapshot_id for item in prune(timezone.now()) if item.goes] == [first.id]
    with pytest.raises(MissingObjectError):
        bucket.get(first.manifest)
    swept = sweep_project(live_project.id)
    assert swept is not None
    assert swept.missing == ()
    assert verify(second).rows == second.rows


def test_the_catalogue_comes_back_out_of_a_bucket(live_project: Project, bucket: Storage) -> None:
    snapshot = taken(live_project, 0)
    Project.objects.all().delete()
    rebuilt = [item for item in rebuild_each(bucket, make_account()) if item.added]
    assert [item.project_id for item in rebuilt] == [live_project.id]
    assert verify(Snapshot.objects.get(pk=snapshot.pk)).rows == snapshot.rows


def test_a_bucket_that_is_away_is_a_reason(
    live_project: Project, bucket: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x" * 32)
    snapshot = make_snapshot(live_project, state=Snapshot.State.QUEUED)
    take(snapshot.id)
    snapshot.refresh_from_db()
    assert snapshot.state == Snapshot.State.FAILED
    assert "The backup storage could not" in snapshot.reason
    with psycopg.connect(project_dsn(live_project)) as connection:
        assert connection.execute("SELECT count(*) FROM variable").fetchone() == (10,)
