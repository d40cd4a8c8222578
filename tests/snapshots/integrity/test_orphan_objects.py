"""The sweep reports missing objects, and deletes nothing that may still be needed."""

import os
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.utils import timezone

from backups_portal.audit.models import AuditEvent
from backups_portal.ops import sweep_state, tasks
from backups_portal.ops.metrics import exposition
from backups_portal.projects.models import Project
from snapshots.engine.errors import StorageError
from snapshots.engine.layout import keys_folder, segment_key
from snapshots.engine.manifest import Manifest
from snapshots.engine.object_sweep import GONE, IN_PARTS, Swept, destroy_project
from snapshots.engine.storage import Storage
from snapshots.integrity.orphan_objects import sweep_project
from snapshots.integrity.verification import verify_all
from snapshots.models import Snapshot
from snapshots.run.snapshot_run import take
from tests.factories import make_project_row, make_snapshot

Verdict = Snapshot.Verdict
LOST = "snapshot.objects_missing"


@pytest.fixture(autouse=True)
def _no_grace(settings: Any) -> None:
    """Objects that no manifest names are deleted at once."""
    settings.ORPHAN_GRACE = timedelta(seconds=-5)


ORPHAN = "0" * 64


@pytest.fixture
def pair(live_project: Project, settings: Any) -> list[Snapshot]:
    """Two stored snapshots that share only objects of unchanged rows."""
    settings.SNAPSHOT_FULL_EVERY = timedelta(0)
    rows = [
        make_snapshot(
            live_project,
            taken_at=timezone.now() - timedelta(days=days),
            state=Snapshot.State.QUEUED,
        )
        for days in (1, 0)
    ]
    for row in rows:
        take(row.pk)
        row.refresh_from_db()
        assert row.state == Snapshot.State.COMPLETED, row.reason
    return rows


def swept(project: Project) -> Swept:
    found = sweep_project(project.pk)
    assert found is not None
    return found


def verdicts(pair: list[Snapshot]) -> list[str]:
    for row in pair:
        row.refresh_from_db()
    return [row.verdict for row in pair]


def segments(storage: Storage, project: Project) -> int:
    return len(list(storage.list(f"{project.pk}/segments/")))


def figure(name: str) -> str:
    lines = exposition().decode().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(f"backups_portal_{name} "))


def test_what_is_whole_is_left_alone(
    pair: list[Snapshot], live_project: Project, stored: Storage
) -> None:
    stored.put(segment_key(live_project.pk, ORPHAN), b"rows")
    found = swept(live_project)
    assert (found.removed, found.missing, dict(found.broken)) == (1, (), {})
    assert verdicts(pair) == [Verdict.UNPROVEN] * 2


def test_a_sweep_deletes_nothing_once_a_snapshot_is_being_taken(
    pair: list[Snapshot], live_project: Project, stored: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could be if the control database, and with it the lock, is lost for a moment."""
    for digit in "012":
        stored.put(segment_key(live_project.pk, digit * 64), b"rows")
    delete = Storage.delete

    def begin_then_delete(storage: Storage, key: str) -> None:
        tomorrow = timezone.now() + timedelta(days=Snapshot.objects.count())
        make_snapshot(live_project, taken_at=tomorrow, state=Snapshot.State.RUNNING)
        delete(storage, key)

    monkeypatch.setattr(Storage, "delete", begin_then_delete)
    assert swept(live_project).removed == 1


def test_a_backup_that_expires_while_all_are_read_is_not_damaged(
    pair: list[Snapshot], live_project: Project, stored: Storage
) -> None:
    found = verify_all()
    next(found)
    Snapshot.objects.filter(pk=pair[1].pk).update(state=Snapshot.State.EXPIRED)
    stored.delete(pair[1].manifest)
    assert list(found) == []


def test_what_a_killed_writer_left_goes_after_a_day(
    pair: list[Snapshot], live_project: Project, tmp_path: Path
) -> None:
    """A listing hides the temporary files of the storage's library."""
    folder = tmp_path / "storage"
    key = segment_key(live_project.pk, ORPHAN)
    old, new, other = (folder / name for name in (f"{key}#1", f"{key}#2", f"{key}.notes#1"))
    manifest = folder / f"{pair[0].manifest}#12"
    old.parent.mkdir(exist_ok=True)
    for path in (old, new, other, manifest):
        path.write_bytes(b"half")
        age = timedelta(hours=23 if path == new else 25)
        moment = (timezone.now() - age).timestamp()
        os.utime(path, (moment, moment))
    found = swept(live_project)
    assert (found.removed, found.removed_bytes) == (2, 8)
    assert [path.exists() for path in (old, new, other, manifest)] == [False, True, True, False]
    assert verdicts(pair) == [Verdict.UNPROVEN] * 2


def test_a_removed_project_leaves_no_temporary_file(
    pair: list[Snapshot], live_project: Project, stored: Storage, tmp_path: Path
) -> None:
    folder = tmp_path / "storage"
    for key in (segment_key(live_project.pk, ORPHAN), f"{keys_folder(live_project.pk)}one.json"):
        (folder / f"{key}#1").parent.mkdir(exist_ok=True, parents=True)
        (folder / f"{key}#1").write_bytes(b"half")
    destroy_project(stored, live_project.pk)
    left = (folder / str(live_project.pk)).rglob("*")
    assert [path for path in left if path.is_file()] == []


def test_a_manifest_that_is_missing_costs_no_segment_and_is_said(
    pair: list[Snapshot], live_project: Project, stored: Storage
) -> None:
    before = segments(stored, live_project)
    stored.put(segment_key(live_project.pk, ORPHAN), b"rows")
    stored.delete(pair[0].manifest)
    assert swept(live_project).removed == 0
    assert segments(stored, live_project) == before + 1
    assert verdicts(pair) == [Verdict.FAILED, Verdict.UNPROVEN]
    assert pair[0].verdict_reason == GONE
    event = AuditEvent.objects.get(action=LOST)
    assert event.details == {"snapshot": str(pair[0].pk), "reason": GONE}
    assert figure("snapshots_damaged") == "1.0"
    swept(live_project)
    assert AuditEvent.objects.filter(action=LOST).count() == 1


def test_a_manifest_that_is_damaged_blocks_nothing_but_deleting(
    pair: list[Snapshot], live_project: Project, stored: Storage
) -> None:
    lost = Manifest.load(stored, pair[0].manifest).of("variable")[0].key
    stored.put(pair[1].manifest, b"{")
    stored.delete(lost)
    stored.put(segment_key(live_project.pk, ORPHAN), b"rows")
    found = swept(live_project)
    assert (found.removed, found.missing) == (0, (lost,))
    assert verdicts(pair) == [Verdict.FAILED, Verdict.FAILED]
    assert pair[0].verdict_reason == IN_PARTS
    assert "changed in storage" in pair[1].verdict_reason


def test_the_manifest_of_no_snapshot_is_a_doubt(
    pair: list[Snapshot], live_project: Project, stored: Storage
) -> None:
    stored.put(f"{live_project.pk}/manifests/other.json", b"{")
    stored.put(segment_key(live_project.pk, ORPHAN), b"rows")
    found = swept(live_project)
    assert (found.removed, found.is_doubtful) == (0, True)
    assert verdicts(pair) == [Verdict.UNPROVEN] * 2


def test_a_project_of_which_nothing_is_there_is_reported_and_not_condemned(
    pair: list[Snapshot], live_project: Project, stored: Storage
) -> None:
    tasks.look_at_storage()
    for row in pair:
        stored.delete(row.manifest)
    before = segments(stored, live_project)
    tasks.sweep()
    assert segments(stored, live_project) == before
    assert verdicts(pair) == [Verdict.UNPROVEN] * 2
    assert figure("projects_in_doubt") == "1.0"
    Snapshot.objects.update(state=Snapshot.State.EXPIRED, removed_at=timezone.now())
    tasks.sweep()
    assert figure("projects_in_doubt") == "NaN"
    # The message after the last project's.
    tasks.sweep(str(UUID(int=(1 << 128) - 1)))
    assert figure("projects_in_doubt") == "0.0"


def test_another_storage_condemns_nobody_and_is_not_written_to(
    pair: list[Snapshot], live_project: Project, settings: Any, tmp_path: Any
) -> None:
    settings.SNAPSHOT_STORAGE = f"file://{tmp_path / 'unmounted'}"
    Snapshot.objects.filter(pk=pair[0].pk).update(local_date="2001-01-01")
    today = make_snapshot(
        live_project, taken_at=timezone.now() + timedelta(days=1), state=Snapshot.State.QUEUED
    )
    take(today.pk)
    today.refresh_from_db()
    assert today.state == Snapshot.State.FAILED
    assert "none of the earlier backups" in today.reason
    with pytest.raises(StorageError, match="the right one"):
        sweep_project(live_project.pk)
    assert verdicts(pair) == [Verdict.UNPROVEN] * 2
    assert not [file for file in (tmp_path / "unmounted").rglob("*") if file.is_file()]


@pytest.mark.django_db
class TestOneProjectsTrouble:
    @pytest.mark.parametrize("error", [StorageError("away"), ZeroDivisionError()])
    def test_is_logged_and_costs_nobody_else_their_turn(
        self,
        stored: Storage,
        error: Exception,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        projects = sorted([make_project_row() for _ in range(3)], key=lambda row: row.pk)
        visited = []

        def visit(project_id: object) -> None:
            visited.append(project_id)
            if project_id == projects[0].pk:
                raise error

        monkeypatch.setattr(tasks, "sweep_project", visit)
        monkeypatch.setattr(tasks.sweep, "delay", lambda *_: None)
        tasks.sweep()
        assert visited == [row.pk for row in projects]
        assert str(projects[0].pk) in caplog.text
        assert sweep_state.doubts() == 1


@pytest.mark.django_db
class TestRounds:
    @pytest.fixture(autouse=True)
    def sent(self, monkeypatch: pytest.MonkeyPatch, stored: Storage) -> list[tuple[Any, ...]]:
        """The sweep's messages, which are not delivered."""
        sent: list[tuple[Any, ...]] = []
        monkeypatch.setattr(tasks.sweep, "delay", lambda *arguments: sent.append(arguments))
        monkeypatch.setattr(tasks.forget_transfers, "delay", lambda *_: None)
        monkeypatch.setattr(tasks.drop_strays, "delay", lambda *_: None)
        monkeypatch.setattr(tasks, "PROJECTS_AT_A_TIME", 1)
        return sent

    def test_the_next_does_not_begin_while_one_goes_around(self, sent: list[Any]) -> None:
        make_project_row()
        tasks.begin_sweep()
        tasks.begin_sweep()
        assert len(sent) == 1
        while sent:
            tasks.sweep(*sent.pop())
        tasks.begin_sweep()
        assert len(sent) == 1

    def test_a_second_delivery_does_not_go_around_as_well(self, sent: list[Any]) -> None:
        for _ in range(2):
            make_project_row()
        tasks.begin_sweep()
        first = sent.pop()
        tasks.sweep(*first)
        assert len(sent) == 1
        tasks.sweep(*first)
        assert len(sent) == 1

    def test_a_worker_that_was_lost_in_the_middle_is_made_up_for(
        self, sent: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        make_project_row()
        tasks.begin_sweep()
        first = sent.pop()
        with monkeypatch.context() as patch:
            patch.setattr(tasks, "project_ids", lambda **_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                tasks.sweep(*first)
        tasks.sweep(*first)
        assert len(sent) == 1
