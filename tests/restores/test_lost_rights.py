"""Restores and proofs whose actor, or project, was lost while they waited."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from django.db import connection, transaction
from django.test import Client

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.billing.models import Charge
from backups_portal.lib.failure_causes import Cause
from backups_portal.projects.members import remove
from backups_portal.projects.models import Membership, Project
from backups_portal.projects.shutdown import shut_down
from restores import restore_run
from restores.errors import RestoreRefusedError
from restores.models import Restore
from restores.proof_queue import queue_proof
from restores.proof_run import run_proof
from restores.restore_requests import NewProject, request_restore, retry_restore
from restores.warm_restores import switch_warm_restore
from snapshots.models import Snapshot
from tests import factories
from tests.restores.test_restore_run import ask, databases, run

Lose = Callable[[Project, Account], Any]


@pytest.fixture
def colleague(project: Project) -> Account:
    """Another owner of the project."""
    account = factories.make_account()
    factories.make_membership(project, account, Membership.Role.OWNER)
    return account


def membership_of(project: Project, account: Account) -> Any:
    return Membership.objects.filter(project=project, account=account)


def removed(project: Project, account: Account) -> None:
    (membership,) = membership_of(project, account)
    remove(project=project, actor=account, member_id=membership.pk)


def demoted(project: Project, account: Account) -> None:
    membership_of(project, account).update(role=Membership.Role.COLLABORATOR)


def closed(project: Project, account: Account) -> None:
    Account.objects.filter(pk=account.pk).update(is_active=False)


def gone(project: Project, account: Account) -> None:
    Membership.objects.filter(project=project).delete()
    Project.objects.filter(pk=project.pk).update(state=Project.State.REMOVED)


def ended(project: Project, account: Account) -> None:
    shut_down(project=project, actor=account, typed_name=project.name)


def nothing(project: Project, account: Account) -> None:
    pass


def before_it_begins(monkeypatch: pytest.MonkeyPatch, lose: Callable[[], None]) -> None:
    lose()


def before_it_is_published(monkeypatch: pytest.MonkeyPatch, lose: Callable[[], None]) -> None:
    report = restore_run._report

    def losing(*values: Any) -> dict[str, Any]:
        lose()
        return report(*values)

    monkeypatch.setattr(restore_run, "_report", losing)


STOPPED = "no longer owns Cold Chain, so this was stopped."
WHAT_BECOMES_OF_A_RESTORE = [
    (before_it_begins, removed, STOPPED),
    (before_it_is_published, removed, STOPPED),
    (before_it_begins, demoted, STOPPED),
    (before_it_is_published, demoted, STOPPED),
    (before_it_begins, closed, "is closed"),
    (before_it_is_published, closed, "is closed"),
    (before_it_begins, gone, STOPPED),
    # Its backups can be restored until its grace period ends.
    (before_it_begins, ended, ""),
    (before_it_is_published, nothing, ""),
]


@pytest.mark.parametrize(("when", "lose", "reason"), WHAT_BECOMES_OF_A_RESTORE)
def test_what_becomes_of_a_restore(
    project: Project,
    snapshot: Snapshot,
    owner: Account,
    colleague: Account,
    monkeypatch: pytest.MonkeyPatch,
    when: Callable[[pytest.MonkeyPatch, Callable[[], None]], None],
    lose: Lose,
    reason: str,
) -> None:
    before, charges = databases(), Charge.objects.count()
    restore = ask(snapshot, owner)
    when(monkeypatch, lambda: lose(project, owner))

    done = run(restore)

    if not reason:
        assert done.state == Restore.State.COMPLETED, done.reason
        assert membership_of(done.project, owner).exists()
        return
    assert (done.state, done.cause) == (Restore.State.FAILED, Cause.RIGHT_LOST)
    assert reason in done.reason
    assert owner.email in done.reason
    assert (databases(), Charge.objects.count()) == (before, charges)
    assert Project.objects.count() == 1
    assert AuditEvent.objects.filter(action="restore.failed", project_id=project.pk).count() == 1


def test_a_kept_database_is_not_given_to_a_former_owner(
    project: Project,
    snapshot: Snapshot,
    owner: Account,
    colleague: Account,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A warm restore stops like a cold one, and the database that it took over is dropped."""
    before = databases()
    switch_warm_restore(project, on=True)
    proof = queue_proof(snapshot.pk)
    assert proof is not None
    run_proof(proof.pk)
    assert databases() > before
    before_it_is_published(monkeypatch, lambda: removed(project, owner))
    done = run(ask(snapshot, owner))
    assert (done.state, done.cause) == (Restore.State.FAILED, Cause.RIGHT_LOST)
    assert Project.objects.count() == 1
    assert databases() == before


def test_a_removal_that_races_the_publication_comes_first(
    project: Project,
    snapshot: Snapshot,
    owner: Account,
    colleague: Account,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The removal is uncommitted when the restore checks, so the restore has to wait for it."""
    restore, under_way, finish = ask(snapshot, owner), threading.Event(), threading.Event()

    def remove_slowly() -> None:
        try:
            with transaction.atomic():
                removed(project, owner)
                under_way.set()
                finish.wait(10)
        finally:
            connection.close()

    thread = threading.Thread(target=remove_slowly)
    ask_right = restore_run.hold_right

    def asking(*values: Any) -> None:
        if thread.ident:
            threading.Timer(0.3, finish.set).start()
        ask_right(*values)

    def losing() -> None:
        thread.start()
        assert under_way.wait(10)

    before_it_is_published(monkeypatch, losing)
    monkeypatch.setattr(restore_run, "hold_right", asking)
    done = run(restore)
    thread.join()
    assert (done.state, done.cause) == (Restore.State.FAILED, Cause.RIGHT_LOST)
    assert Project.objects.count() == 1


def test_another_owners_try_is_theirs(
    client: Client, project: Project, snapshot: Snapshot, owner: Account, colleague: Account
) -> None:
    restore = ask(snapshot, owner)
    removed(project, owner)
    assert run(restore).state == Restore.State.FAILED
    client.force_login(colleague)
    page = client.get(f"/restores/{restore.pk}/").content.decode()
    assert "the new project is yours" in page
    assert client.post(f"/restores/{restore.pk}/retry/").status_code == 302

    done = run(restore)

    assert done.state == Restore.State.COMPLETED, done.reason
    assert done.project is not None
    assert done.requested_by == colleague
    assert [one.account for one in done.project.memberships.all()] == [colleague]
    page = client.get(f"/restores/{restore.pk}/").content.decode()
    assert f"/projects/{done.project.slug}/" in page
    assert client.get(f"/projects/{done.project.slug}/").status_code == 200
    client.force_login(owner)
    assert client.get(f"/projects/{done.project.slug}/").status_code == 404
    (event,) = AuditEvent.objects.filter(action="restore.completed")
    assert event.account_id == colleague.pk


def test_who_asks_once_more_after_another_owners_try_gets_no_second_project(
    snapshot: Snapshot, owner: Account, colleague: Account
) -> None:
    wanted = NewProject(name="Recovered", accepted_charges=True)
    restore = request_restore(snapshot=snapshot, actor=owner, wanted=wanted)
    Restore.objects.update(state=Restore.State.FAILED, reason="because")
    restore.refresh_from_db()
    retry_restore(restore=restore, actor=colleague)
    assert request_restore(snapshot=snapshot, actor=owner, wanted=wanted) == restore
    assert Restore.objects.get().requested_by == colleague


def test_a_try_needs_a_name_that_is_free_for_who_presses(
    project: Project, snapshot: Snapshot, owner: Account, colleague: Account
) -> None:
    restore = ask(snapshot, owner)
    Restore.objects.update(state=Restore.State.FAILED, reason="because")
    restore.refresh_from_db()
    other = factories.make_project_row(owner=colleague, name="Recovered")
    with pytest.raises(RestoreRefusedError, match="already have a project"):
        retry_restore(restore=restore, actor=colleague)
    # It has no database that could be dropped.
    other.delete()
    restore.refresh_from_db()
    assert (restore.requested_by, restore.state) == (owner, Restore.State.FAILED)


@pytest.mark.parametrize(
    ("lose", "state"), [(removed, "passed"), (closed, "passed"), (ended, "passed")]
)
def test_a_proof_is_nobodys(
    project: Project, snapshot: Snapshot, owner: Account, colleague: Account, lose: Lose, state: str
) -> None:
    """The schedule requests it, so no person can lose the right to it."""
    before = databases()
    proof = queue_proof(snapshot.pk)
    assert proof is not None
    lose(project, owner)
    run_proof(proof.pk)
    proof.refresh_from_db()
    assert proof.state == state
    assert databases() == before
