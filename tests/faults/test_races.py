"""Races: workers with the same task, retention and a restore, a restore and a proof."""

from datetime import timedelta

import pytest
from django.utils import timezone

from restores.models import Proof, Restore
from restores.proof_queue import queue_proof
from snapshots.models import Snapshot
from snapshots.retention.expiry import prune_project
from snapshots.run.snapshot_run import take
from snapshots.schedule.schedule_tick import queue_due
from snapshots.tasks import enqueue
from tests.faults.laboratory import (
    Laboratory,
    ask,
    check_that_all_is_well,
    check_what_is_there,
    finished,
    send,
    until,
)

pytestmark = pytest.mark.usefixtures("worker")


def test_two_workers_with_the_same_messages(laboratory: Laboratory, snapshot: Snapshot) -> None:
    (again,) = (Snapshot.objects.get(pk=pk) for pk in queue_due(timezone.now() + timedelta(days=1)))
    restore = ask(snapshot, "Once")
    held = [laboratory.hold_at(restore.pk, "loading"), laboratory.hold_at(again.pk, "describing")]
    enqueue([again.pk])
    send(restore)
    for one in held:
        one.wait()
    # Both run while their messages are delivered again and again.
    enqueue([again.pk] * 3)
    send(restore, restore, restore)
    for one in held:
        one.let_go()
    until(finished([again, restore]))
    again.refresh_from_db()
    restore.refresh_from_db()
    assert (again.state, again.attempts) == (Snapshot.State.COMPLETED, 1)
    assert (restore.state, restore.attempts) == (Restore.State.COMPLETED, 1)
    check_that_all_is_well(projects=2)


def test_retention_waits_for_the_restore_of_what_it_wants_to_remove(
    laboratory: Laboratory, snapshot: Snapshot
) -> None:
    (newer,) = queue_due(timezone.now() + timedelta(days=1))
    take(newer)
    restore = ask(snapshot, "In time")
    held = laboratory.hold_at(restore.pk, "loading")
    send(restore)
    held.wait()
    late = timezone.now() + timedelta(days=400)
    prune_project(snapshot.project_id, late)
    snapshot.refresh_from_db()
    assert snapshot.state == Snapshot.State.COMPLETED
    held.let_go()
    until(finished([restore]))
    restore.refresh_from_db()
    assert restore.state == Restore.State.COMPLETED, restore.reason
    check_that_all_is_well(projects=2)
    prune_project(snapshot.project_id, late)
    snapshot.refresh_from_db()
    assert snapshot.state == Snapshot.State.EXPIRED
    check_what_is_there(projects=2)


def test_a_restore_of_a_snapshot_that_is_being_proven(
    laboratory: Laboratory, snapshot: Snapshot
) -> None:
    queue_proof(snapshot.pk)
    proof = Proof.objects.get(snapshot=snapshot)
    held = laboratory.hold_at(proof.pk, "loading")
    until(lambda: held.is_reached)
    restore = ask(snapshot, "Beside its proof")
    send(restore)
    until(finished([restore]))
    held.let_go()
    until(lambda: not Proof.objects.filter(state__in=Proof.UNFINISHED).exists())
    restore.refresh_from_db()
    proof.refresh_from_db()
    assert restore.state == Restore.State.COMPLETED, restore.reason
    assert proof.state == Proof.State.PASSED, proof.reason
    check_that_all_is_well(projects=2)
