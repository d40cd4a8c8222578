"""The log lines of a snapshot that succeeds, and of one that fails."""

import logging
import time
from pathlib import Path
from typing import Any

import pytest

from backups_portal.projects.models import Project
from snapshots.engine import instant_reader
from snapshots.engine.column_reader import IrregularError
from snapshots.engine.storage import Storage
from snapshots.models import Snapshot
from snapshots.run.snapshot_run import take
from snapshots.tasks import enqueue
from tests.conftest import running_worker
from tests.factories import make_project_row, make_snapshot
from tests.projects.test_servers import server

SECONDS = 30.0


def values_of(caplog: pytest.LogCaptureFixture, beginning: str) -> dict[str, Any]:
    """Return the values of the only line with this beginning."""
    (line,) = [one for one in caplog.records if one.getMessage().startswith(beginning)]
    return dict(line.values)  # type: ignore[attr-defined]


@pytest.mark.django_db
def test_the_line_of_a_failure_names_everything(
    storage_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    project = make_project_row(server=server("away"))
    snapshot = make_snapshot(project, state=Snapshot.State.QUEUED)
    ran = take(snapshot.pk)
    snapshot.refresh_from_db()
    assert snapshot.state == Snapshot.State.FAILED
    assert values_of(caplog, "snapshot failed") == {
        "snapshot": snapshot.pk,
        "project": project.pk,
        "server": "away",
        "step": "starting",
        "cause": snapshot.cause,
        "reason": snapshot.reason,
    }
    assert (ran.is_claimed, ran.failure) == (True, snapshot.reason)


@pytest.mark.django_db
def test_lines_of_reading_have_ids(
    live_project: Project,
    stored: Storage,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The engine does not know the ids, and reads in other threads."""

    def irregular(*_: object) -> None:
        raise IrregularError

    monkeypatch.setattr(instant_reader, "read_arrays", irregular)
    snapshot = make_snapshot(live_project, state=Snapshot.State.QUEUED)
    with caplog.at_level(logging.INFO):
        assert not take(snapshot.pk).failure
    assert values_of(caplog, "variables from") == {
        "snapshot": snapshot.pk,
        "project": live_project.pk,
        "server": live_project.server.name,
    }


@pytest.mark.django_db(transaction=True)
def test_celery_does_not_call_a_failure_a_success(storage_url: str, tmp_path: Path) -> None:
    snapshot = make_snapshot(make_project_row(server=server("away")), state=Snapshot.State.QUEUED)
    log = tmp_path / "worker.log"
    environment = {"SNAPSHOT_RETRY_MINUTES": ""}
    with running_worker(storage_url, log, environment=environment):
        enqueue([snapshot.pk])
        deadline = time.monotonic() + SECONDS
        while "raised expected: JobFailedError" not in log.read_text():
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
    snapshot.refresh_from_db()
    assert snapshot.state == Snapshot.State.FAILED
    assert "take_snapshot" in log.read_text()
    assert "succeeded" not in log.read_text()
