"""Transfers whose actor or project was lost while they waited or ran."""

import uuid
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from pytest_django import Settings

from backups_portal.accounts.models import Account
from backups_portal.lib.failure_causes import Cause
from backups_portal.projects.models import Membership, Project
from backups_portal.transfers import transfer_run
from backups_portal.transfers.models import Transfer
from backups_portal.transfers.transfer_requests import (
    request_transfer,
    request_undo,
    retry_plan,
    start_move,
)
from backups_portal.transfers.transfer_run import run_transfer
from tests import factories
from tests.transfers.projects import START, add_readings, count_rows
from tests.transfers.test_transfer_run import ask, move, run

WORKS = {
    "dry run": {"work": "plan"},
    "move": {"work": "move", "plan": {"x": 1}},
    "continue": {"work": "move", "plan": {"x": 1}, "rows_done": 5},
    "undo": {"work": "undo", "has_ledger": True},
}
Lose = Callable[[Account, Project, Project], Any]


def out_of_source(actor: Account, source: Project, target: Project) -> None:
    Membership.objects.filter(account=actor, project=source).delete()


def out_of_target(actor: Account, source: Project, target: Project) -> None:
    Membership.objects.filter(account=actor, project=target).delete()


def collaborator_of_target(actor: Account, source: Project, target: Project) -> None:
    Membership.objects.filter(account=actor, project=target).update(role="collaborator")


def account_closed(actor: Account, source: Project, target: Project) -> None:
    Account.objects.filter(pk=actor.pk).update(is_active=False)


def source_shut_down(actor: Account, source: Project, target: Project) -> None:
    Project.objects.filter(pk=source.pk).update(state=Project.State.SHUT_DOWN)


def source_gone(actor: Account, source: Project, target: Project) -> None:
    Membership.objects.filter(project=source).delete()
    Project.objects.filter(pk=source.pk).update(state=Project.State.REMOVED)


def source_deleted(actor: Account, source: Project, target: Project) -> None:
    Transfer.objects.update(source=None)


def target_shut_down(actor: Account, source: Project, target: Project) -> None:
    Project.objects.filter(pk=target.pk).update(state=Project.State.SHUT_DOWN)


def target_gone(actor: Account, source: Project, target: Project) -> None:
    Membership.objects.filter(project=target).delete()
    Project.objects.filter(pk=target.pk).update(state=Project.State.REMOVED)


LOST = [
    (out_of_source, Cause.RIGHT_LOST, "no longer owns Backup, so this was stopped"),
    (out_of_target, Cause.RIGHT_LOST, "no longer owns Live, so this was stopped"),
    (collaborator_of_target, Cause.RIGHT_LOST, "no longer owns Live"),
    (account_closed, Cause.RIGHT_LOST, "is closed, so this was stopped"),
    (source_shut_down, Cause.SHUT_DOWN, "Backup is shut down."),
    (source_gone, Cause.REMOVED, "Backup was removed."),
    (source_deleted, Cause.REMOVED, "Backup was removed."),
    (target_shut_down, Cause.SHUT_DOWN, "Live is shut down."),
    (target_gone, Cause.REMOVED, "Live was removed."),
]
# Undoing needs no source.
NOT_NEEDED = {source_shut_down, source_gone, source_deleted}


@pytest.mark.django_db
@pytest.mark.parametrize("work", WORKS)
@pytest.mark.parametrize(("lose", "cause", "reason"), LOST)
def test_what_becomes_of_queued_work(work: str, lose: Lose, cause: Cause, reason: str) -> None:
    """These projects have no database, so opening one would show that the check came too late."""
    actor = factories.make_account()
    source = factories.make_project_row(owner=actor, name="Backup")
    target = factories.make_project_row(owner=actor, name="Live")
    transfer = factories.make_transfer(source, target, requested_by=actor, **WORKS[work])
    lose(actor, source, target)
    run_transfer(transfer.pk)
    transfer.refresh_from_db()
    assert transfer.state == Transfer.State.FAILED
    if work == "undo" and lose in NOT_NEEDED:
        # It has begun.
        assert (transfer.cause, transfer.reason[:28]) == (
            Cause.DATABASE_UNREACHABLE,
            "A database stopped respondin",
        )
        return
    assert transfer.cause == cause
    assert reason in transfer.reason


@pytest.mark.parametrize("lose", [out_of_source, out_of_target, account_closed])
def test_no_batch_is_stored_after_the_right_was_lost(
    backup: Project, live: Project, owner: Account, settings: Settings, lose: Lose
) -> None:
    """The right is lost during later batches: these roll back, the first one can be undone."""
    settings.TRANSFER_BATCH_ROWS = 4
    for day in (1, 2):
        add_readings(backup, 4, time=START + timedelta(days=day))
    colleague = factories.make_account()
    for project in (backup, live):
        factories.make_membership(project, colleague, Membership.Role.OWNER)
    transfer = run(ask(backup, live, owner))
    start_move(transfer=transfer, actor=owner)

    run_transfer(transfer.pk, lambda done, _: lose(owner, backup, live) if done else None)

    transfer.refresh_from_db()
    assert (transfer.state, transfer.cause) == (Transfer.State.FAILED, Cause.RIGHT_LOST)
    # Two batches, of ten and of four, were written in parallel.
    stored = count_rows(live)
    assert stored in (4, 10)
    assert transfer.rows_done == stored
    # Another owner of both continues, and becomes the actor.
    start_move(transfer=transfer, actor=colleague)
    done = run(transfer)
    assert (done.state, done.requested_by) == (Transfer.State.COMPLETED, colleague)
    assert count_rows(live) == 18


def test_nothing_is_taken_back_after_the_right_was_lost(
    backup: Project, live: Project, owner: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    transfer = move(backup, live, owner)
    request_undo(transfer=transfer, actor=owner)
    count = transfer_run.count_stored

    def losing(*values: Any) -> int:
        out_of_target(owner, backup, live)
        return count(*values)

    monkeypatch.setattr(transfer_run, "count_stored", losing)
    done = run(transfer)
    assert (done.state, done.cause) == (Transfer.State.FAILED, Cause.RIGHT_LOST)
    assert count_rows(live) == 10
    assert done.has_ledger


@pytest.mark.django_db
def test_keys_of_two_accounts_do_not_meet() -> None:
    key = uuid.uuid4()
    made = []
    for name in ("stranger", "owner"):
        actor = factories.make_account(f"{name}@example.com")
        pair = [factories.make_project_row(owner=actor) for _ in range(2)]
        transfer = factories.make_transfer(*pair, requested_by=actor)
        for _ in range(2):
            made.append(
                request_transfer(
                    source=pair[0],
                    target=pair[1],
                    actor=actor,
                    choice=transfer.chosen(),
                    request_key=key,
                )
            )
    assert made[0] == made[1] != made[2] == made[3]


@pytest.mark.django_db
def test_who_asks_once_more_after_another_owners_press_gets_no_second_transfer() -> None:
    owner, colleague = (factories.make_account(f"{n}@example.com") for n in ("owner", "colleague"))
    source, target = (factories.make_project_row(owner=owner) for _ in range(2))
    for project in (source, target):
        factories.make_membership(project, colleague, "owner")
    choice = factories.make_transfer(source, target, requested_by=owner).chosen()
    asked = partial(request_transfer, choice=choice, request_key=uuid.uuid4())
    transfer = asked(source=source, target=target, actor=owner)
    Transfer.objects.filter(pk=transfer.pk).update(state=Transfer.State.FAILED, reason="because")
    transfer.refresh_from_db()
    retry_plan(transfer=transfer, actor=colleague)
    assert asked(source=source, target=target, actor=owner) == transfer
    transfer.refresh_from_db()
    assert transfer.requested_by == colleague
