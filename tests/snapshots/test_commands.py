"""The commands that operators and beat run."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.utils import timezone
from redis import Redis

from backups_portal.ops.tasks import sweep, tick
from backups_portal.projects.models import MainDatabase, Project
from restores.models import Restore
from snapshots.engine.manifest import Manifest
from snapshots.engine.storage import Storage
from snapshots.models import Snapshot
from snapshots.run.snapshot_run import take
from tests.factories import make_account, make_project_row, make_restore, make_snapshot
from tests.s3 import bucket_url

pytestmark = pytest.mark.django_db
Messages = Callable[[], list[tuple[str, list[str]]]]


def run(*arguments: str) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out)
    return out.getvalue()


@pytest.fixture
def messages(settings: Any) -> Messages:
    """Takes the messages sent to the broker's queue since the last call."""
    broker = Redis.from_url(settings.REDIS_URL)

    def sent() -> list[tuple[str, list[str]]]:
        found = []
        # The newest message is the first of the list.
        while packed := broker.rpop("celery"):
            message = json.loads(packed)
            arguments, _, _ = json.loads(base64.b64decode(message["body"]))
            found.append((message["headers"]["task"], arguments))
        return found

    sent()
    return sent


def due(at: datetime) -> Project:
    project = make_project_row()
    MainDatabase.objects.filter(pk=project.pk).update(next_snapshot_at=at)
    return project


class TestRunSchedule:
    AT = "2026-11-23T03:00"

    def test_due_backups_are_queued_and_sent(self, messages: Messages) -> None:
        due(datetime(2026, 11, 23, 3, tzinfo=UTC))
        printed = run("run_schedule", "--at", self.AT)
        snapshot = Snapshot.objects.get()
        assert f"queued snapshot {snapshot.id}" in printed
        assert messages() == [("snapshots.tasks.take_snapshot", [str(snapshot.id)])]

    def test_json(self, messages: Messages) -> None:
        due(datetime(2026, 11, 23, 3, tzinfo=UTC))
        document = json.loads(run("run_schedule", "--at", "2026-11-23T04:00+01:00", "--json"))
        assert document["queued"] == [str(Snapshot.objects.get().id)]
        assert document["sent_again"] == []

    def test_nothing_due(self, messages: Messages) -> None:
        assert "0 queued, 0 sent again" in run("run_schedule")
        assert messages() == []

    def test_a_time_that_is_none(self) -> None:
        with pytest.raises(CommandError, match="“noon” is not a time"):
            run("run_schedule", "--at", "noon")

    @pytest.mark.parametrize("days", [0, 3])
    def test_a_time_in_the_future_spends_its_day(
        self, messages: Messages, capsys: pytest.CaptureFixture[str], days: int
    ) -> None:
        at = timezone.now() + timedelta(days=days)
        due(at)
        run("run_schedule", "--at", at.isoformat(), "--json")
        assert ("is in the future" in capsys.readouterr().err) == bool(days)
        assert len(messages()) == 1
        if days:
            # Its own day has no run left.
            day = Snapshot.objects.get().local_date
            assert day > timezone.now().date()
            MainDatabase.objects.update(next_snapshot_at=at)
            run("run_schedule", "--at", at.isoformat())
            assert Snapshot.objects.get().local_date == day


class TestTick:
    def test_what_is_due_and_what_was_lost_is_sent(self, messages: Messages) -> None:
        project = due(timezone.now())
        # Two days, because yesterday may still be the local date.
        lost = make_snapshot(
            project, taken_at=timezone.now() - timedelta(days=2), state=Snapshot.State.QUEUED
        )
        tick()
        new = Snapshot.objects.exclude(pk=lost.pk).get()
        name = "snapshots.tasks.take_snapshot"
        assert messages() == [(name, [str(new.id), str(lost.id)])]
        tick()
        assert messages() == []

    def test_a_restore_whose_message_was_lost_is_sent_again(self, messages: Messages) -> None:
        snapshot = make_snapshot(make_project_row())
        waiting = make_restore(snapshot, requested_by=make_account())
        make_restore(snapshot, requested_by=make_account(), state=Restore.State.COMPLETED)
        tick()
        assert messages() == [("restores.tasks.run_restore", [str(waiting.id)])]
        tick()
        assert messages() == []


class TestSweep:
    def test_a_round_visits_every_project_and_ends(
        self, messages: Messages, stored: Storage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("backups_portal.ops.tasks.PROJECTS_AT_A_TIME", 2)
        owner = make_account()
        for _ in range(3):
            project = make_project_row(owner=owner)
            for days in (8, 0):
                make_snapshot(project, taken_at=timezone.now() - timedelta(days=days))
        sweep()
        rounds = 1
        while sent := [
            arguments for name, arguments in messages() if name == "backups_portal.ops.tasks.sweep"
        ]:
            (arguments,) = sent
            sweep(*arguments)
            rounds += 1
        assert rounds == 3
        assert Snapshot.objects.filter(state=Snapshot.State.EXPIRED).count() == 3

    def test_one_damaged_project_does_not_stop_the_others(
        self, messages: Messages, stored: Storage, caplog: pytest.LogCaptureFixture
    ) -> None:
        owner = make_account()
        for _ in range(2):
            project = make_project_row(owner=owner)
            stored.put(f"{project.id}/manifests/damaged.json", b"{")
            for days in (8, 0):
                make_snapshot(project, taken_at=timezone.now() - timedelta(days=days))
        sweep()
        assert Snapshot.objects.filter(state=Snapshot.State.EXPIRED).count() == 2
        assert str(project.id) in caplog.text


class TestPruneSnapshots:
    @pytest.fixture(autouse=True)
    def snapshots(self, stored: Storage) -> None:
        project = make_project_row(name="Trucks")
        for days in (8, 0):
            make_snapshot(project, taken_at=timezone.now() - timedelta(days=days))
        make_snapshot(make_project_row(), taken_at=timezone.now() - timedelta(days=9))

    def test_it_prints_what_it_removed_and_why_the_rest_stays(self) -> None:
        printed = run("prune_snapshots")
        old = Snapshot.objects.get(state=Snapshot.State.EXPIRED)
        assert f"removed {old.id} of Trucks ({old.local_date}): older than" in printed
        assert "the newest good backup" in printed
        assert "1 removed, 1 kept past retention" in printed

    def test_it_says_what_is_in_storage_still(self, settings: Any, tmp_path: Path) -> None:
        settings.SNAPSHOT_STORAGE = f"file://{tmp_path / 'unmounted'}"
        said = StringIO()
        call_command("prune_snapshots", stdout=StringIO(), stderr=said)
        assert "Still in storage, until a later sweep: 1 removed backup." in said.getvalue()
        document = json.loads(run("prune_snapshots", "--json"))
        assert document["left_in_storage"] == 1

    def test_a_dry_run_removes_nothing(self) -> None:
        assert "1 would be removed" in run("prune_snapshots", "--dry-run")
        assert Snapshot.objects.completed().count() == 3

    def test_json(self) -> None:
        document = json.loads(run("prune_snapshots", "--json", "--dry-run"))
        assert document["dry_run"] is True
        assert [item["project_name"] for item in document["removed"]] == ["Trucks"]
        assert [item["reason"] for item in document["kept"]] == ["the newest good backup"]


class TestVerifySnapshot:
    @pytest.fixture
    def snapshot(self, live_project: Project) -> Snapshot:
        snapshot = make_snapshot(live_project, state=Snapshot.State.QUEUED)
        take(snapshot.id)
        snapshot.refresh_from_db()
        return snapshot

    def test_a_good_one(self, snapshot: Snapshot) -> None:
        assert "), as recorded" in run("verify_snapshot", str(snapshot.id))
        document = json.loads(run("verify_snapshot", str(snapshot.id), "--json"))
        assert document["ok"] is True
        assert document["rows"] == snapshot.rows

    def test_one_changed_byte(self, snapshot: Snapshot, stored: Storage) -> None:
        key = Manifest.load(stored, snapshot.manifest).of("variable")[0].key
        content = bytearray(stored.get(key))
        content[len(content) // 2] ^= 1
        stored.put(key, bytes(content))
        with pytest.raises(CommandError, match="cannot be restored"):
            run("verify_snapshot", str(snapshot.id))

    def test_a_lost_object(self, snapshot: Snapshot, stored: Storage) -> None:
        stored.delete(Manifest.load(stored, snapshot.manifest).segments[0].key)
        with pytest.raises(CommandError, match="lacks"):
            run("verify_snapshot", str(snapshot.id), "--json")

    def test_all_of_them(self, snapshot: Snapshot, stored: Storage) -> None:
        moment = timezone.now() + timedelta(days=1)
        other = make_snapshot(snapshot.project, taken_at=moment, state=Snapshot.State.QUEUED)
        take(other.id)
        assert run("verify_snapshot", "--all") == "2 backups read, 0 of them not as recorded\n"
        other.refresh_from_db()
        stored.delete(Manifest.load(stored, other.manifest).contents[0].key)
        before = list(Snapshot.objects.order_by("id").values())
        out = StringIO()
        with pytest.raises(CommandError, match=r"^2 of 2 .* restored from this storage\.$"):
            call_command("verify_snapshot", "--all", stdout=out)
        assert f"snapshot {other.id} of {other.project} cannot be restored" in out.getvalue()
        assert list(Snapshot.objects.order_by("id").values()) == before

    @pytest.mark.parametrize(
        "place", ["file:///{}/unmounted", bucket_url("http://127.0.0.1:1", "p", max_retries="0")]
    )
    def test_a_storage_that_is_away_says_nothing_about_a_backup(
        self, snapshot: Snapshot, settings: Any, tmp_path: Path, place: str
    ) -> None:
        settings.SNAPSHOT_STORAGE = place.format(tmp_path)
        with pytest.raises(CommandError, match=f"{snapshot.id} could not be read"):
            run("verify_snapshot", str(snapshot.id))
        out = StringIO()
        with pytest.raises(CommandError, match=r"^1 of 1 backup could not be read\.$"):
            call_command("verify_snapshot", "--all", stdout=out)
        assert f"snapshot {snapshot.id} of {snapshot.project} could not be read" in out.getvalue()
        assert "0 backups read, 0 of them not as recorded" in out.getvalue()
        with pytest.raises(CommandError, match=r"^No backup that could be read has a device"):
            run("snapshots", "find", snapshot.project.slug, "Truck")

    def test_a_storage_that_is_away_ends_the_reading_of_all(
        self, snapshot: Snapshot, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each backup would wait for all retries."""
        moment = timezone.now() + timedelta(days=1)
        make_snapshot(snapshot.project, taken_at=moment)
        settings.SNAPSHOT_STORAGE = bucket_url("http://127.0.0.1:1", "p", max_retries="0")
        with pytest.raises(CommandError, match="cannot be read: 1 backup not checked") as raised:
            run("verify_snapshot", "--all")
        assert "1 of 1 backup could not be read." in str(raised.value)

    def test_one_unreadable_object_ends_no_reading_of_all(
        self, snapshot: Snapshot, tmp_path: Path, stored: Storage
    ) -> None:
        moment = timezone.now() + timedelta(days=1)
        other = make_snapshot(snapshot.project, taken_at=moment, state=Snapshot.State.QUEUED)
        take(other.id)
        # Reading a link to itself fails, and the rest of the storage answers.
        manifest = tmp_path / "storage" / snapshot.manifest
        manifest.unlink()
        manifest.symlink_to(manifest)
        out = StringIO()
        with pytest.raises(CommandError, match=r"^1 of 2 backups could not be read\.$"):
            call_command("verify_snapshot", "--all", stdout=out)
        assert "1 backup read, 0 of them" in out.getvalue()

    def test_one_that_is_not_stored(self) -> None:
        snapshot = make_snapshot(make_project_row(), state=Snapshot.State.EXPIRED)
        with pytest.raises(CommandError, match="is expired, not stored"):
            run("verify_snapshot", str(snapshot.id))

    def test_one_that_is_not_there(self) -> None:
        with pytest.raises(CommandError, match="There is no snapshot"):
            run("verify_snapshot", "00000000-0000-4000-8000-000000000000")
