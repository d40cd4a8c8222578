"""Transfers into one target take turns, or records would be stored twice."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import Client
from django.utils import timezone
from psycopg import Connection

from backups_portal.accounts.models import Account
from backups_portal.audit.models import AuditEvent
from backups_portal.ops.tasks import send_overlooked
from backups_portal.projects.models import Membership, Project
from backups_portal.transfers import transfer_run
from backups_portal.transfers.commit_guard import Guard, guarded
from backups_portal.transfers.models import Transfer
from backups_portal.transfers.move import parallel_batches, transfer_undo
from backups_portal.transfers.plan.dry_run import Plan
from backups_portal.transfers.transfer_requests import request_undo, start_move, stop_move
from backups_portal.transfers.transfer_run import TransferJob, run_transfer
from backups_portal.ui.eta import Pace
from tests.factories import make_account, make_membership
from tests.transfers.projects import START, add_readings, add_truck, count_rows, make_project
from tests.transfers.test_transfer_run import ask, move, run

WAITS = "Another transfer into Cold Chain is under way. This one begins once that has ended."


@pytest.fixture
def first(backup: Project, live: Project, owner: Account) -> Transfer:
    return started(backup, live, owner)


@pytest.fixture
def second(backup: Project, live: Project, owner: Account, first: Transfer) -> Transfer:
    """The same move from another tab; its dry run found no record either."""
    return started(backup, live, owner)


def started(source: Project, target: Project, owner: Account) -> Transfer:
    transfer = run(ask(source, target, owner))
    assert Plan.from_json(transfer.plan).cost
    start_move(transfer=transfer, actor=owner)
    return transfer


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[], object]], None]:
    """Return a function that acts once, when a worker begins to move or undo."""

    def do(step: str, act: Callable[[], object]) -> None:
        work = getattr(transfer_run, step)

        def then_work(*arguments: Any, **options: Any) -> Any:
            monkeypatch.setattr(transfer_run, step, work)
            act()
            return work(*arguments, **options)

        monkeypatch.setattr(transfer_run, step, then_work)

    return do


Meanwhile = Callable[[str, Callable[[], object]], None]


def test_the_second_move_begins_after_the_first(
    client: Client, first: Transfer, second: Transfer, live: Project, meanwhile: Meanwhile
) -> None:
    meanwhile("move", lambda: run_transfer(second.pk))
    assert run(first).summary["add"] == 10
    second.refresh_from_db()
    assert (second.state, second.reason, second.attempts) == ("queued", WAITS, 0)
    client.force_login(second.requested_by)
    page = client.get(f"/projects/{live.slug}/transfers/{second.pk}/").text
    assert WAITS in page
    assert not any(words in page for words in ("as soon as a worker is free", "try again"))
    # The tick sends it, but not before its time.
    assert send_overlooked(Transfer, timezone.now()) == []
    later = timezone.now() + timedelta(minutes=2)
    assert send_overlooked(Transfer, later) == [second.pk]
    second = run(second)
    assert (second.state, second.reason, count_rows(live)) == ("completed", "", 10)
    assert [second.summary[fate] for fate in ("add", "present", "is_equal")] == [0, 10, True]


def test_an_undo_waits_for_a_move_and_a_move_for_an_undo(
    backup: Project, live: Project, owner: Account, meanwhile: Meanwhile
) -> None:
    add_truck(live)
    done = move(backup, live, owner)
    again = run(ask(backup, live, owner))
    start_move(transfer=again, actor=owner)
    request_undo(transfer=done, actor=owner)
    meanwhile("move", lambda: run_transfer(done.pk))
    assert run(again).summary["present"] == 10
    done.refresh_from_db()
    assert (done.state, done.work, count_rows(live)) == ("queued", "undo", 10)

    later = run(ask(backup, live, owner))
    start_move(transfer=later, actor=owner)
    meanwhile("undo", lambda: run_transfer(later.pk))
    assert run(done).state == "undone"
    later.refresh_from_db()
    assert (later.state, later.reason) == ("queued", WAITS)
    later = run(later)
    assert (later.state, later.reason) == ("completed", "")
    assert (later.summary["add"], count_rows(live)) == (10, 10)


def test_it_waits_for_neither_a_lost_worker_nor_another_target(
    backup: Project, live: Project, owner: Account, first: Transfer, second: Transfer
) -> None:
    other = started(backup, make_project(owner, "Elsewhere"), owner)
    busy = {"state": "running", "moving_since": timezone.now()}
    now = timezone.now()
    Transfer.objects.filter(pk=other.pk).update(**busy, lease_until=now + timedelta(hours=1))
    Transfer.objects.filter(pk=first.pk).update(**busy, lease_until=now - timedelta(seconds=1))
    assert run(second).state == "completed"


def test_one_that_waits_can_be_cancelled(
    first: Transfer, second: Transfer, owner: Account, meanwhile: Meanwhile
) -> None:
    meanwhile("move", lambda: run_transfer(second.pk))
    run(first)
    second.refresh_from_db()
    stop_move(transfer=second, actor=owner, for_good=True)
    second = run(second)
    assert (second.state, second.reason) == ("cancelled", "")


def test_an_undo_that_waits_can_be_cancelled_and_requested_again(
    client: Client, backup: Project, live: Project, owner: Account, meanwhile: Meanwhile
) -> None:
    add_truck(live)
    done = move(backup, live, owner)
    again = run(ask(backup, live, owner))
    start_move(transfer=again, actor=owner)
    request_undo(transfer=done, actor=owner)
    meanwhile("move", lambda: run_transfer(done.pk))
    run(again)
    client.force_login(owner)
    address = f"/projects/{live.slug}/transfers/{done.pk}/"
    assert f'action="{address}cancel/"' in client.get(address).text
    client.post(f"{address}cancel/")
    done = run(done)
    assert (done.state, done.headline, count_rows(live)) == ("cancelled", "Undo cancelled", 10)
    assert "Nothing was undone" in client.get(address).text
    event = AuditEvent.objects.filter(action="transfer.undo_cancelled", project_id=live.pk)
    assert event.get().account_id == owner.pk
    request_undo(transfer=done, actor=owner)
    assert (run(done).state, count_rows(live)) == ("undone", 0)


def test_an_undo_in_progress_ends_after_its_batch(
    client: Client,
    backup: Project,
    live: Project,
    owner: Account,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "TRANSFER_BATCH_ROWS", 10)
    add_readings(backup, 5, time=START + timedelta(days=2))
    done = move(backup, live, owner)
    request_undo(transfer=done, actor=owner)
    take_back, other = transfer_undo._take_back, make_account()
    for project in (backup, live):
        make_membership(project, other, Membership.Role.OWNER)

    def and_cancel(*arguments: Any, **options: Any) -> int:
        removed = take_back(*arguments, **options)
        if removed:
            stop_move(transfer=done, actor=other, for_good=True)
            # A second click, or the other owner's: it was requested already.
            stop_move(transfer=done, actor=owner, for_good=True)
        return removed

    with monkeypatch.context() as patch:
        patch.setattr(transfer_undo, "_take_back", and_cancel)
        done = run(done)
    assert (done.state, done.work, done.rows_done) == ("cancelled", "undo", 5)
    assert count_rows(live) == 10
    # The other owner did, and not the one who had requested the undo.
    event = AuditEvent.objects.filter(action="transfer.undo_cancelled", project_id=live.pk)
    assert event.get().account_id == other.pk
    request_undo(transfer=done, actor=owner)
    # Cancelled again before it goes on, it has still undone something.
    stop_move(transfer=done, actor=owner, for_good=True)
    client.force_login(owner)
    page = client.get(f"/projects/{live.slug}/transfers/{done.pk}/").text
    assert "5 records were undone before it stopped." in page
    done.refresh_from_db()
    request_undo(transfer=done, actor=owner)
    done = run(done)
    assert (done.state, done.report["undone"]["removed"], count_rows(live)) == ("undone", 15, 0)


def test_a_cancel_counts_if_it_then_has_to_wait(
    first: Transfer, second: Transfer, owner: Account, meanwhile: Meanwhile
) -> None:
    def cancel() -> None:
        take_turn = TransferJob._take_turn

        def cancelled(job: TransferJob, target: Project) -> None:
            stop_move(transfer=second, actor=owner, for_good=True)
            take_turn(job, target)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(TransferJob, "_take_turn", cancelled)
            run_transfer(second.pk)
        assert run(second).state == "cancelled"

    meanwhile("move", cancel)
    assert run(first).state == "completed"


def test_once_it_has_begun_nothing_says_that_it_waits(
    first: Transfer, second: Transfer, meanwhile: Meanwhile
) -> None:
    # An earlier attempt has moved some of it.
    Transfer.objects.filter(pk=second.pk).update(rows_done=7)
    meanwhile("move", lambda: run_transfer(second.pk))
    run(first)

    def look() -> None:
        second.refresh_from_db()
        assert (second.state, second.reason) == ("running", "")
        second.moving_since = timezone.now() - timedelta(minutes=1)
        assert second.pace == Pace()

    meanwhile("move", look)
    assert run(second).state == "completed"


def test_the_command_says_that_it_waits(
    backup: Project, live: Project, first: Transfer, second: Transfer, meanwhile: Meanwhile
) -> None:
    Transfer.objects.filter(pk=second.pk).update(state="ready", work="plan")

    def go_on() -> None:
        with pytest.raises(CommandError, match=WAITS):
            call_command(
                *("transfer", backup.slug, live.slug, "--continue", str(second.pk)),
                stdout=StringIO(),
            )

    meanwhile("move", go_on)
    assert run(first).state == "completed"


def test_a_worker_that_was_frozen_writes_nothing_after_its_turn(
    live: Project, first: Transfer, second: Transfer, meanwhile: Meanwhile
) -> None:
    def freeze() -> None:
        # Its batch is being written, and nobody has renewed its lease.
        over = timezone.now() - timedelta(seconds=1)
        Transfer.objects.filter(pk=first.pk).update(lease_until=over)
        assert run(second).summary["add"] == 10

    @contextmanager
    def frozen(target: Connection, guard: Guard) -> Iterator[None]:
        with guarded(target, guard):
            yield
            patch.undo()
            freeze()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel_batches, "guarded", frozen)
        first = run(first)
    assert (first.state, count_rows(live)) == ("queued", 10)
    first = run(first)
    assert [first.summary[fate] for fate in ("add", "present")] == [0, 10]
