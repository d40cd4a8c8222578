"""With two beats each ticks, and a due project gets one snapshot."""

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from backups_portal.projects.models import MainDatabase, Project
from snapshots.models import Snapshot
from tests.faults.conftest import DUE
from tests.faults.laboratory import check_that_all_is_well, finished, until
from tests.faults.serving import running_beat, ticks_of

TICKS = 3


@pytest.mark.usefixtures("worker")
def test_one_project_is_due_for_two_beats(
    make_project: Callable[[str], Project], storage_url: str, tmp_path: Path
) -> None:
    project = make_project("Cold Chain")
    assert project.main_database.next_snapshot_at < DUE
    logs = [tmp_path / "one.log", tmp_path / "other.log"]
    with ExitStack() as stack:
        for log in logs:
            stack.enter_context(running_beat(storage_url, log))
        until(lambda: all(ticks_of(log) >= TICKS for log in logs), ticking=False)
        # It has been due for months, as after an outage.
        until(lambda: Snapshot.objects.exists(), ticking=False)
        snapshot = Snapshot.objects.get()
        until(finished([snapshot]), ticking=False)
        seen = max(map(ticks_of, logs))
        until(lambda: all(ticks_of(log) > seen for log in logs), ticking=False)
    snapshot.refresh_from_db()
    assert (snapshot.state, snapshot.attempts) == (Snapshot.State.COMPLETED, 1), snapshot.reason
    assert Snapshot.objects.count() == 1
    assert MainDatabase.objects.get().next_snapshot_at > snapshot.scheduled_for
    check_that_all_is_well(projects=1)
