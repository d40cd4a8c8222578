"""Retention applied: what is removed, what is kept, and concurrent use."""

import uuid
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from backups_portal.audit.models import AuditEvent
from backups_portal.projects.models import MainDatabase, Project
from restores.errors import RestoreRefusedError
from restores.models import Proof, Restore
from restores.restore_requests import NewProject, request_restore
from snapshots.engine.layout import MARKER, segment_key
from snapshots.engine.storage import Storage
from snapshots.errors import HoldRefusedError
from snapshots.integrity.orphan_objects import sweep_project
from snapshots.models import Snapshot
from snapshots.retention import expiry, retention_rules
from snapshots.retention.expiry import each_project_id, preview_retention, prune_each
from snapshots.retention.holds import place_hold, release_hold
from snapshots.retention.retention_preview import preview_shortening
from tests.at_once import at_once
from tests.factories import (
    make_account,
    make_project_row,
    make_restore,
    make_snapshot,
)
from tests.manifests import make_manifest
from tests.takensnapshots import prune

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)
State = Snapshot.State


@pytest.fixture(autouse=True)
def storage(stored: Storage) -> Storage:
    return stored


def aged(project: Project, days: float, storage: Storage | None = None, **fields: Any) -> Snapshot:
    """Make a snapshot of this age, with a manifest if there is a storage."""
    snapshot = make_snapshot(project, taken_at=NOW - days * DAY, **fields)
    if storage:
        storage.put(snapshot.manifest, b"{}")
    return snapshot


def keys(storage: Storage) -> set[str]:
    return {item.key for item in storage.list("")} - {MARKER}


def states() -> dict[uuid.UUID, str]:
    return dict(Snapshot.objects.values_list("id", "state"))


def test_what_is_past_its_period_goes_from_the_list_and_from_storage(storage: Storage) -> None:
    project = make_project_row()
    old, young = aged(project, 7, storage), aged(project, 6, storage)
    (pruned,) = prune(NOW)
    assert (pruned.snapshot_id, pruned.goes, pruned.reason) == (old.id, True, retention_rules.OLD)
    assert states() == {old.id: State.EXPIRED, young.id: State.COMPLETED}
    assert keys(storage) == {young.manifest}
    old.refresh_from_db()
    assert old.removed_at == NOW
    event = AuditEvent.objects.get()
    assert (event.action, event.account_id, event.project_id) == (
        "snapshot.expired",
        None,
        project.id,
    )


def test_a_second_round_does_nothing(storage: Storage) -> None:
    project = make_project_row()
    aged(project, 8, storage), aged(project, 0, storage)
    prune(NOW)
    assert prune(NOW + timedelta(hours=1)) == []
    assert AuditEvent.objects.count() == 1


def test_each_project_has_its_own_period() -> None:
    short, long = make_project_row(), make_project_row()
    MainDatabase.objects.filter(pk=long.pk).update(retention_days=30)
    for project in (short, long):
        aged(project, 10), aged(project, 0)
    assert [item.project_id for item in prune(NOW)] == [short.id]


def test_the_newest_good_one_stays_whatever_its_age() -> None:
    project = make_project_row()
    newest = aged(project, 100)
    failure = aged(project, 50, state=State.FAILED)
    reasons = {item.snapshot_id: (item.goes, item.reason) for item in prune(NOW)}
    assert reasons == {
        newest.id: (False, retention_rules.NEWEST),
        failure.id: (True, retention_rules.OLD_FAILURE),
    }


@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING])
def test_what_is_not_finished_is_not_retentions_business(state: str) -> None:
    project = make_project_row()
    aged(project, 30, state=state), aged(project, 0)
    assert prune(NOW) == []


def test_a_dry_run_only_tells(storage: Storage) -> None:
    project = make_project_row()
    old = aged(project, 8, storage)
    aged(project, 0, storage)
    (pruned,) = prune_each(NOW, dry_run=True)
    assert pruned.goes
    assert states()[old.id] == State.COMPLETED
    assert old.manifest in keys(storage)
    assert not AuditEvent.objects.exists()


def test_the_preview_of_a_shorter_period_tells_what_it_would_remove() -> None:
    project = make_project_row()
    old = [aged(project, days).id for days in (6, 5, 4)]
    aged(project, 0)
    going = [item for item in preview_retention(project.id, 4, NOW) if item.goes]
    assert [item.snapshot_id for item in going] == old
    assert set(states().values()) == {State.COMPLETED}


def read_it(snapshot: Snapshot) -> None:
    Snapshot.objects.filter(pk=snapshot.pk).update(read_until=NOW + timedelta(hours=1))


def restore_it(snapshot: Snapshot) -> None:
    make_restore(snapshot, requested_by=snapshot.project.created_by, state="running")


def prove_it(snapshot: Snapshot) -> None:
    Proof.objects.create(snapshot=snapshot, state="running")


@pytest.mark.parametrize("use", [read_it, restore_it, prove_it])
def test_what_is_only_in_use_is_agreed_to_as_well(use: Callable[[Snapshot], None]) -> None:
    project = make_project_row()
    MainDatabase.objects.filter(pk=project.pk).update(retention_days=30)
    use(aged(project, 20))
    aged(project, 0)
    shortening = preview_shortening(MainDatabase.objects.get(pk=project.pk), 7, NOW)
    assert shortening
    assert shortening.answer == "7:1"


@pytest.mark.parametrize("state", ["queued", "running"])
def test_a_snapshot_that_is_being_restored_stays(state: str) -> None:
    project = make_project_row()
    old = aged(project, 8)
    aged(project, 0)
    make_restore(old, requested_by=project.created_by, state=state)
    (pruned,) = prune(NOW)
    assert (pruned.goes, pruned.reason) == (False, retention_rules.IN_USE)
    Restore.objects.update(state="completed")
    assert prune(NOW)[0].goes


def test_a_hold_keeps_a_snapshot_until_it_is_released() -> None:
    project = make_project_row()
    old = aged(project, 8)
    aged(project, 0)
    for _ in range(2):
        place_hold(snapshot=old, actor=project.created_by)
    assert prune(NOW)[0].reason == retention_rules.HELD
    for _ in range(2):
        release_hold(snapshot=old, actor=project.created_by)
    assert prune(NOW)[0].goes
    actions = list(AuditEvent.objects.order_by("id").values_list("action", flat=True))
    assert actions == ["snapshot.held", "snapshot.released", "snapshot.expired"]


@pytest.mark.parametrize("state", [State.QUEUED, State.FAILED, State.EXPIRED])
def test_what_is_not_stored_cannot_be_held(state: str) -> None:
    project = make_project_row()
    snapshot = aged(project, 1, state=state)
    with pytest.raises(HoldRefusedError, match="Only a stored backup"):
        place_hold(snapshot=snapshot, actor=project.created_by)


def test_a_storage_that_is_away_is_asked_again_next_time(
    storage: Storage, settings: Any, tmp_path: Any
) -> None:
    project = make_project_row()
    old = aged(project, 8, storage)
    aged(project, 0, storage)
    working = settings.SNAPSHOT_STORAGE
    (tmp_path / "file").write_text("in the way")
    settings.SNAPSHOT_STORAGE = f"file://{tmp_path / 'file' / 'storage'}"
    assert prune(NOW)[0].goes
    settings.SNAPSHOT_STORAGE = working
    old.refresh_from_db()
    assert (old.state, old.removed_at) == (State.EXPIRED, None)
    prune(NOW)
    assert old.manifest not in keys(storage)


def test_an_empty_folder_in_place_of_the_storage_is_no_removal(
    storage: Storage, settings: Any, tmp_path: Any
) -> None:
    project = make_project_row()
    old = aged(project, 8, storage)
    aged(project, 0, storage)
    working = settings.SNAPSHOT_STORAGE
    settings.SNAPSHOT_STORAGE = f"file://{tmp_path / 'unmounted'}"
    prune(NOW)
    settings.SNAPSHOT_STORAGE = working
    old.refresh_from_db()
    assert (old.state, old.removed_at) == (State.EXPIRED, None)
    prune(NOW)
    assert old.manifest not in keys(storage)


def test_all_projects_get_their_turn_in_small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    owner = make_account()
    projects = {make_project_row(owner=owner).id for _ in range(5)}
    monkeypatch.setattr(expiry.project_ids, "__kwdefaults__", {"limit": 2})
    assert set(each_project_id()) == projects
    assert len(list(each_project_id())) == 5


def test_a_project_takes_the_same_queries_with_one_old_snapshot_and_with_many(
    django_assert_max_num_queries: Any,
) -> None:
    project = make_project_row()
    for days in range(60):
        aged(project, days)
    with django_assert_max_num_queries(6):
        list(prune_each(NOW, dry_run=True))


@pytest.mark.django_db(transaction=True)
class TestRaces:
    """Retention and an owner use the same snapshot at the same moment."""

    def test_a_restore_keeps_the_snapshot_or_is_refused(self, storage: Storage) -> None:
        owner = make_account()
        for _ in range(10):
            project = make_project_row(owner=owner)
            old = aged(project, 8, storage)
            storage.put(old.manifest, manifest_of(old))
            aged(project, 0, storage)
            self.race(old)
            old.refresh_from_db()
            restoring = Restore.objects.filter(snapshot=old).exists()
            assert old.state == (State.COMPLETED if restoring else State.EXPIRED)
            assert (old.manifest in keys(storage)) == restoring

    def race(self, old: Snapshot) -> None:
        def restore() -> None:
            wanted = NewProject(name=f"Copy {old.id}", accepted_charges=True)
            with suppress(RestoreRefusedError):
                request_restore(snapshot=old, actor=old.project.created_by, wanted=wanted)

        at_once(restore, lambda: expiry.prune_project(old.project_id, NOW))

    def test_two_rounds_at_once_remove_each_snapshot_once(self) -> None:
        project = make_project_row()
        for days in range(20):
            aged(project, days)
        at_once(*[lambda: expiry.prune_project(project.id, NOW)] * 3)
        assert Snapshot.objects.completed().count() == 7
        assert AuditEvent.objects.filter(action="snapshot.expired").count() == 13


def manifest_of(snapshot: Snapshot) -> bytes:
    """Return a manifest that names nothing."""
    return make_manifest(
        snapshot.project_id,
        snapshot_id=snapshot.id,
        prefix=snapshot.project.prefix,
        taken_at=NOW,
    ).to_json()


def test_a_sweep_removes_what_no_manifest_names(settings: Any, storage: Storage) -> None:
    settings.ORPHAN_GRACE = timedelta(0)
    project, other = make_project_row(), make_project_row()
    orphans = [segment_key(item.id, "0" * 64) for item in (project, other)]
    for key in orphans:
        storage.put(key, b"rows")
    swept = sweep_project(project.id)
    assert swept is not None
    assert (swept.removed, swept.removed_bytes) == (1, 4)
    assert keys(storage) == {orphans[1]}


def test_a_sweep_waits_for_its_grace(storage: Storage) -> None:
    project = make_project_row()
    storage.put(segment_key(project.id, "0" * 64), b"rows")
    swept = sweep_project(project.id)
    assert swept is not None
    assert swept.removed == 0


def test_no_sweep_while_a_snapshot_is_being_taken(settings: Any, storage: Storage) -> None:
    settings.ORPHAN_GRACE = timedelta(0)
    project = make_project_row()
    aged(project, 0, state=State.RUNNING)
    storage.put(segment_key(project.id, "1" * 64), b"rows")
    assert sweep_project(project.id) is None
    assert keys(storage) == {segment_key(project.id, "1" * 64)}
