"""Real sensor and server series go through the whole path, and every row comes back."""

from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest

from backups_portal.accounts.models import Account
from backups_portal.demo.csv_seed import fill_archive
from backups_portal.demo.fleet import fill_fleet
from backups_portal.demo.story_checks import (
    common_values,
    compare_records,
    excluded_values,
    search_snapshot,
)
from backups_portal.projects.database_dsn import keyring, project_dsn
from backups_portal.projects.models import Project
from restores.models import Restore
from restores.restore_run import run_restore
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import open_storage
from snapshots.models import Snapshot
from snapshots.run.snapshot_run import take
from snapshots.schedule.schedule_tick import queue_due
from tests.restores.conftest import DUE
from tests.restores.test_restore_run import ask

SERIES = Path(__file__).parents[3] / "shared" / "data" / "nab" / "data"


def back_up_and_restore(project: Project, owner: Account) -> tuple[Snapshot, Project]:
    """Tick at the due time, and run a worker's services."""
    (snapshot_id,) = queue_due(DUE)
    take(snapshot_id)
    snapshot = Snapshot.objects.get(pk=snapshot_id)
    assert snapshot.state == Snapshot.State.COMPLETED, snapshot.reason
    restore = ask(snapshot, owner)
    run_restore(restore.pk)
    restore = Restore.objects.select_related("project").get(pk=restore.pk)
    assert restore.project is not None, restore.reason
    return snapshot, restore.project


def assert_new_identity(source: Project, restored: Project) -> None:
    both = project_dsn(source), project_dsn(restored)
    assert not common_values(*both, "SELECT id FROM variable_record")
    assert not common_values(*both, "SELECT hash FROM token")
    assert common_values(*both, "SELECT id::text FROM device")


@pytest.mark.skipif(not SERIES.is_dir(), reason="the NAB series are not beside the project")
def test_every_row_of_real_series_comes_back(
    project: Project, owner: Account, storage_url: str
) -> None:
    with psycopg.connect(project_dsn(project)) as connection:
        count = fill_archive(connection, keys=keyring(), folder=SERIES)
    _, restored = back_up_and_restore(project, owner)
    assert count > 100_000
    assert compare_records(project_dsn(project), project_dsn(restored)) == count + 10
    assert_new_identity(project, restored)


def test_every_resource_of_a_fleet_comes_back_and_nothing_excluded_does(
    project: Project, owner: Account, storage_url: str
) -> None:
    start, end = datetime(2026, 3, 2, tzinfo=UTC), datetime(2026, 3, 3, tzinfo=UTC)
    with psycopg.connect(project_dsn(project)) as connection:
        fill_fleet(connection, keys=keyring(), start=start, end=end)
    snapshot, restored = back_up_and_restore(project, owner)
    storage = open_storage(storage_url)
    secrets = excluded_values(project_dsn(project), keys=keyring())
    assert len(secrets) > 40
    assert search_snapshot(Manifest.load(storage, snapshot.manifest), storage, secrets) > 0
    compare_records(project_dsn(project), project_dsn(restored))
    assert_new_identity(project, restored)
    with psycopg.connect(project_dsn(restored)) as connection:
        for table in ("analysis_script", "analysis_console", "file", "attachment"):
            assert connection.execute(f"SELECT count(*) FROM {table}").fetchone() == (0,)
        for table in ("analysis", "dashboard", "widget", "action", "run_user", "secret", "entity"):
            (found,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone() or (0,)
            assert found > 0, table
    report = Restore.objects.get(project=restored).report
    assert report["missing"]["analyses"] == ["Cold chain alert", "Weekly report"]
    assert report["missing"]["files"][0]["path"] == "depot/floor-plan.svg"
