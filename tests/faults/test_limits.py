"""Work that hangs is ended with a reason."""

from datetime import timedelta
from pathlib import Path

import pytest
from django.conf import settings
from pytest_django import Settings

from backups_portal.billing.models import Charge
from restores.database_build import target_of
from restores.models import Restore
from restores.tasks import run_restore
from snapshots.engine.errors import EngineError
from snapshots.engine.source_database import source_errors
from snapshots.models import Snapshot
from snapshots.schedule.schedule_tick import queue_due
from snapshots.tasks import take_snapshot
from tests.conftest import running_worker
from tests.faults.conftest import DUE, WORKER_ENVIRONMENT
from tests.faults.laboratory import Laboratory, ask, check_that_all_is_well, finished, until
from tests.projectdatabases import open_database


def test_a_snapshot_and_a_restore_that_hang(
    laboratory: Laboratory,
    snapshot: Snapshot,
    storage_url: str,
    tmp_path: Path,
) -> None:
    for task in (take_snapshot, run_restore):
        assert task.soft_time_limit == settings.TASK_LIMIT.total_seconds()
        assert task.time_limit == task.soft_time_limit + 60
    (hanging,) = (Snapshot.objects.get(pk=pk) for pk in queue_due(DUE.replace(day=2)))
    restore = ask(snapshot, "Hangs")
    laboratory.hold_at(hanging.pk, "describing")
    laboratory.hold_at(restore.pk, "creating")
    environment = {
        **WORKER_ENVIRONMENT,
        "FAULTS": str(laboratory.folder),
        "TASK_LIMIT_SECONDS": "4",
    }
    with running_worker(
        storage_url,
        tmp_path / "worker.log",
        application="tests.faults.faulty",
        processes=2,
        environment=environment,
    ):
        # A message carries its sender's limit.
        take_snapshot.apply_async([str(hanging.pk)], soft_time_limit=4)
        run_restore.apply_async([str(restore.pk)], soft_time_limit=4)
        until(finished([hanging, restore]))
        hanging.refresh_from_db()
        restore.refresh_from_db()
        assert hanging.state == Snapshot.State.FAILED
        assert restore.state == Restore.State.FAILED
        for reason in (hanging.reason, restore.reason):
            assert "took longer than 4.0" in reason
        assert not Charge.objects.filter(project_name="Hangs").exists()
        check_that_all_is_well(projects=1)


def test_the_server_itself_ends_a_statement(snapshot: Snapshot, settings: Settings) -> None:
    settings.TASK_LIMIT = timedelta(seconds=1)
    project = snapshot.project
    with (
        open_database(target_of(project.server, project.prefix)) as connection,
        pytest.raises(EngineError, match="statement timeout"),
        source_errors(),
    ):
        connection.execute("SELECT pg_sleep(20)")
