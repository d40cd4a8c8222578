"""The tick proves the snapshots that each project's policy requires, a few at a time."""

import uuid
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from backups_portal.ops.tasks import tick
from backups_portal.projects.models import MainDatabase, Project
from restores.models import Proof
from restores.proof_queue import TRY_AGAIN_AFTER, queue_proof, queue_proofs
from snapshots.models import Snapshot
from tests.factories import make_account, make_project_row, make_restore, make_snapshot
from tests.snapshots.test_commands import Messages, messages  # noqa: F401

pytestmark = pytest.mark.django_db
NOW = datetime.fromisoformat("2026-11-23T10:00+00:00")
DAY = timedelta(days=1)


@pytest.fixture
def project() -> Project:
    return make_project_row()


def stored(project: Project, days_ago: float, **fields: Any) -> Snapshot:
    return make_snapshot(project, taken_at=NOW - days_ago * DAY, **fields)


def proven(project: Project, days_ago: float, verdict: str = "passed") -> Snapshot:
    return stored(
        project,
        days_ago,
        verdict=verdict,
        verdict_reason="because" if verdict == "failed" else "",
        proven_at=NOW - days_ago * DAY,
    )


def policy(value: str) -> None:
    MainDatabase.objects.update(proof_policy=value)


def queued() -> list[Snapshot]:
    return [Proof.objects.get(pk=pk).snapshot for pk in queue_proofs(NOW)]


def test_weekly_is_the_default_and_proves_the_newest(project: Project) -> None:
    stored(project, 2)
    newest = stored(project, 1)
    assert project.main_database.proof_policy == "weekly"
    assert queued() == [newest]
    assert queued() == []


def test_weekly_waits_for_a_week(project: Project) -> None:
    proven(project, 6.9)
    newest = stored(project, 0)
    assert queued() == []
    Snapshot.objects.filter(verdict="passed").update(proven_at=NOW - 7 * DAY)
    assert queued() == [newest]


def test_after_a_failure_the_next_is_proven_at_once(project: Project) -> None:
    proven(project, 3)
    proven(project, 1, "failed")
    assert queued() == []
    newest = stored(project, 0)
    assert queued() == [newest]


def test_every_proves_each_new_one(project: Project) -> None:
    policy("every")
    proven(project, 1)
    newest = stored(project, 0)
    assert queued() == [newest]
    Snapshot.objects.filter(pk=newest.pk).update(verdict="passed", proven_at=NOW)
    Proof.objects.update(state=Proof.State.PASSED)
    assert queued() == []


def test_off_proves_nothing(project: Project) -> None:
    policy("off")
    stored(project, 0)
    assert queued() == []


@pytest.mark.parametrize("state", ["queued", "running", "failed", "expired"])
def test_only_stored_snapshots_are_proven(project: Project, state: str) -> None:
    snapshot = stored(project, 0, state=state)
    assert queued() == []
    assert queue_proof(snapshot.pk) is None


def test_a_project_that_was_shut_down_is_left_alone(project: Project) -> None:
    stored(project, 0)
    Project.objects.update(state=Project.State.SHUT_DOWN)
    assert queued() == []


def test_one_that_is_being_restored_is_proven_by_that(project: Project) -> None:
    make_restore(stored(project, 0), requested_by=make_account())
    assert queued() == []


def test_one_that_was_given_up_is_tried_again_later(project: Project) -> None:
    snapshot = stored(project, 0)
    Proof.objects.create(
        snapshot=snapshot, state=Proof.State.GIVEN_UP, reason="away", created_at=NOW
    )
    assert queue_proofs(NOW + TRY_AGAIN_AFTER - timedelta(seconds=1)) == []
    assert len(queue_proofs(NOW + TRY_AGAIN_AFTER + timedelta(seconds=1))) == 1


def test_only_so_many_wait_at_once(project: Project, settings: Any) -> None:
    settings.PROOFS_AT_ONCE = 2
    owner = project.created_by
    oldest_first = [stored(make_project_row(owner=owner), days) for days in (1, 3, 2)]
    assert queued() == [oldest_first[1], oldest_first[2]]
    assert queued() == []
    Proof.objects.filter(snapshot=oldest_first[1]).update(state=Proof.State.PASSED)
    assert queued() == [oldest_first[0]]


def test_looking_takes_as_many_queries_for_many_projects(
    project: Project, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(30):
        proven(make_project_row(owner=project.created_by), 1)
    with django_assert_num_queries(2):
        assert queue_proofs(NOW) == []


def test_a_snapshot_has_one_proof_at_a_time(project: Project) -> None:
    snapshot = stored(project, 0)
    assert queue_proof(snapshot.pk) is not None
    assert queue_proof(snapshot.pk) is None
    with pytest.raises(IntegrityError, match="proof_once_at_a_time"), transaction.atomic():
        Proof.objects.create(snapshot=snapshot)


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"state": "failed"}, "proof_failed_has_reason"),
        ({"state": "passed", "is_kept": True}, "proof_kept_has_passed"),
        ({"state": "failed", "reason": "x", "is_kept": True}, "proof_kept_has_passed"),
    ],
)
def test_rows_that_cannot_be(project: Project, fields: dict[str, Any], constraint: str) -> None:
    snapshot = stored(project, 0)
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        Proof.objects.create(snapshot=snapshot, **fields)


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"verdict": "failed", "proven_at": NOW}, "snapshot_verdict_failed_has_reason"),
        ({"verdict": "passed"}, "snapshot_verdict_has_moment"),
    ],
)
def test_verdicts_that_cannot_be(project: Project, fields: dict[str, Any], constraint: str) -> None:
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        stored(project, 0, **fields)


class TestTick:
    NAME = "restores.tasks.run_proof"

    def test_it_sends_what_it_queues_once(self, project: Project, messages: Messages) -> None:  # noqa: F811
        make_snapshot(project)
        tick()
        proof = Proof.objects.get()
        assert messages() == [(self.NAME, [str(proof.pk)])]
        tick()
        assert messages() == []

    def test_one_whose_worker_was_lost_is_sent_again(
        self,
        project: Project,
        messages: Messages,  # noqa: F811
    ) -> None:
        proof = queue_proof(make_snapshot(project).pk)
        assert proof is not None
        Proof.objects.update(
            state=Proof.State.RUNNING,
            lease=uuid.uuid4(),
            lease_until=timezone.now() - timedelta(seconds=1),
        )
        tick()
        assert messages() == [(self.NAME, [str(proof.pk)])]

    def test_leftovers_are_dropped_by_a_worker(
        self,
        project: Project,
        messages: Messages,  # noqa: F811
    ) -> None:
        policy("off")
        Proof.objects.create(
            snapshot=make_snapshot(project), state=Proof.State.PASSED, prefix="0badf00d"
        )
        tick()
        assert messages() == [("restores.tasks.drop_leftovers", [])]
