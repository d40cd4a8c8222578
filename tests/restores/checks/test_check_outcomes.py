"""A proof runs the owner's checks; failures are reported, and the backup stays proven."""

from datetime import datetime, timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from backups_portal.audit.models import AuditEvent
from backups_portal.projects.models import MainDatabase, Project
from restores import proof_run
from restores.checks.check_results import CheckResult, Outcome, results_of
from restores.models import Check, Proof
from restores.orphan_databases import drop_leftovers
from snapshots.models import CheckTally, Snapshot
from tests.factories import make_project_row
from tests.projectdatabases import DEVICE
from tests.restores.test_proof_run import prove
from tests.restores.test_restore_run import databases


def add(project: Project, kind: str, **fields: object) -> Check:
    return Check.objects.create(project=project, kind=kind, **fields)


def young(project: Project, hours: int = 26, device: str = DEVICE) -> Check:
    return add(project, "newest", device_id=device, device_name="Truck 07", hours=hours)


def test_a_failed_check_is_no_failed_proof(project: Project, snapshot: Snapshot) -> None:
    before = databases()
    # The readings are from March, and the snapshot is from today.
    old, gone = young(project), young(project, device="a" * 24)
    fine = add(project, "devices", at_least=1)
    other = make_project_row()
    elsewhere = add(other, "devices", at_least=99)
    proof = prove(snapshot)
    # It has no database that the fixture could drop.
    other.delete()
    assert (proof.state, snapshot.verdict) == (Proof.State.PASSED, Snapshot.Verdict.PASSED)
    assert databases() == before

    assert snapshot.checks == CheckTally(3, 1, 1)
    assert str(snapshot.checks) == "1 of 3 checks failed, 1 could not be run"
    results = {result.check_id: result for result in results_of(snapshot)}
    assert [result.outcome for result in results_of(snapshot)] == [
        *(Outcome.FAILED, Outcome.NOT_RUN, Outcome.PASSED)
    ]
    assert results[str(old.pk)].sentence == "Truck has a record younger than 26 hours"
    assert "older than the backup" in results[str(old.pk)].finding
    assert results[str(gone.pk)].finding == "this backup has no such device"
    assert results[str(fine.pk)].finding == "the backup has 1"
    assert str(elsewhere.pk) not in results
    old.refresh_from_db()
    assert old.device_name == "Truck"

    event = AuditEvent.objects.get(action="check.failed")
    assert (event.project_id, event.details["failed"], event.details["not_run"]) == (
        *(project.pk, 1, 1),
    )
    assert event.details["reason"].startswith("“Truck has a record younger than 26 hours”: its")
    assert event.details["reason"].endswith("26 hours”: this backup has no such device.")


def test_age_is_counted_from_the_backup(project: Project, snapshot: Snapshot) -> None:
    taken = snapshot.taken_at
    assert taken is not None
    hours = (taken - datetime.fromisoformat("2026-03-01T00:09Z")) // timedelta(hours=1)
    for one in (hours, hours + 1):
        young(project, one)
    prove(snapshot)
    assert snapshot.checks == CheckTally(2, 1, 0)


def test_checks_that_pass_are_told_to_nobody(project: Project, snapshot: Snapshot) -> None:
    add(project, "devices", at_least=1)
    prove(snapshot)
    assert (snapshot.checks, str(snapshot.checks)) == (CheckTally(1, 0, 0), "1 check passed")
    assert not AuditEvent.objects.filter(action="check.failed").exists()


def test_without_checks_nothing_is_said(snapshot: Snapshot) -> None:
    prove(snapshot)
    assert snapshot.checks is None
    assert results_of(snapshot) == []


def test_the_newest_proof_counts(project: Project, snapshot: Snapshot) -> None:
    check = add(project, "devices", at_least=2)
    prove(snapshot)
    assert snapshot.checks == CheckTally(1, 1, 0)
    Check.objects.filter(pk=check.pk).update(at_least=1)
    prove(snapshot)
    assert snapshot.checks == CheckTally(1, 0, 0)
    (found,) = results_of(snapshot)
    assert found.sentence == "At least 1 device"
    check.delete()
    prove(snapshot)
    assert snapshot.checks is None


def test_a_check_that_is_removed_meanwhile_is_still_told_of(
    project: Project, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(project, "devices", at_least=2)
    run = proof_run.run_checks

    def removed(*args: object, **kwargs: object) -> object:
        Check.objects.all().delete()
        return run(*args, **kwargs)

    monkeypatch.setattr(proof_run, "run_checks", removed)
    assert prove(snapshot).state == Proof.State.PASSED
    assert snapshot.checks == CheckTally(1, 1, 0)


def test_a_kept_database_knows_nothing_of_checks(project: Project, snapshot: Snapshot) -> None:
    MainDatabase.objects.update(warm_restore=True)
    add(project, "devices", at_least=1)
    proof = prove(snapshot)
    assert proof.is_kept
    assert not {name for name in databases() if "checks" in name}
    Proof.objects.update(is_kept=False)
    assert drop_leftovers(timezone.now()) == [proof.database]


def test_a_database_in_which_something_may_be_left_is_not_kept(
    project: Project, snapshot: Snapshot, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = databases()
    MainDatabase.objects.update(warm_restore=True)
    add(project, "devices", at_least=1)
    run = proof_run.run_checks

    def unclean(*args: object, **kwargs: object) -> object:
        done = run(*args, **kwargs)
        done.is_clean = False
        return done

    monkeypatch.setattr(proof_run, "run_checks", unclean)
    proof = prove(snapshot)
    assert (proof.state, proof.is_kept) == (Proof.State.PASSED, False)
    assert databases() == before


def test_a_result_is_read_as_it_was_stored() -> None:
    found = CheckResult("1", "At least 1 device", Outcome.NOT_RUN, "it took too long")
    assert CheckResult.from_json(found.as_json()) == found
    assert str(found) == "“At least 1 device”: it took too long."


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("newest", {"hours": 3}),
        ("newest", {"device_id": DEVICE}),
        ("devices", {}),
        ("between", {"variable": "t", "low": 1}),
        ("between", {"low": 1, "high": 2}),
        ("between", {"variable": "t", "low": 2, "high": 1}),
    ],
)
@pytest.mark.django_db
def test_half_a_check_cannot_be_stored(kind: str, fields: dict[str, object]) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        add(make_project_row(), kind, **fields)


@pytest.mark.django_db
def test_the_same_check_cannot_be_stored_twice() -> None:
    project = make_project_row()
    add(project, "devices", at_least=3)
    add(project, "devices", at_least=4)
    with pytest.raises(IntegrityError), transaction.atomic():
        add(project, "devices", at_least=3)
