"""Services for owners' requests on transfers; each checks both projects."""

import uuid
from collections.abc import Sequence

import psycopg
from django.db import transaction
from django.http import Http404

from backups_portal.accounts.models import Account
from backups_portal.audit.recorder import operator
from backups_portal.lib import pgsession
from backups_portal.lib.loggers import get_logger
from backups_portal.projects.access import Permission, get_project
from backups_portal.projects.database_dsn import project_dsn
from backups_portal.projects.models import Project
from backups_portal.transfers.errors import SHUT_DOWN, TransferRefusedError
from backups_portal.transfers.models import Transfer
from backups_portal.transfers.plan.selection import Choice
from backups_portal.transfers.plan.source_names import check_names
from backups_portal.transfers.transfer_events import record_transfer

log = get_logger(__name__)

CONNECT_SECONDS = 5
CONFLICT = 409
State, Work, Wish = Transfer.State, Transfer.Work, Transfer.Wish


def check_owner(actor: Account, *projects: Project | None) -> None:
    """Check that an account owns all of these projects that still exist.

    Raises:
        Http404: the account has no access to one, or none of the projects exists.
        PermissionDenied: the account is only a collaborator in one.
    """
    there = [one for one in projects if one and one.state != Project.State.REMOVED]
    for project in there:
        get_project(actor, project.slug, Permission.MANAGE_BACKUPS)
    if not there:
        raise Http404("both projects are gone")


def request_transfer(
    *, source: Project, target: Project, actor: Account, choice: Choice, request_key: uuid.UUID
) -> Transfer:
    """Queue the dry run of a transfer; the caller enqueues it after commit.

    A repeated request with the same `request_key` returns the same transfer.

    Raises:
        Http404, PermissionDenied: the actor does not own both projects.
        TransferRefusedError: nothing was changed; the message can be shown on a page.
    """
    check_owner(actor, source, target)
    if source == target:
        raise TransferRefusedError("Choose another project to move data into.", field="target")
    _check_running(source, target)
    request_key = actor.bind_request_key(request_key)
    # Even if another owner has requested the current work since.
    earlier = Transfer.objects.filter(request_key=request_key).first()
    if earlier is not None:
        return earlier
    _check_names(source, choice)
    with transaction.atomic():
        transfer, is_new = Transfer.objects.get_or_create(
            request_key=request_key,
            defaults={
                "requested_by": actor,
                "operator": operator(),
                "source": source,
                "target": target,
                "source_name": source.name,
                "target_name": target.name,
                "choice": choice.as_json(),
            },
        )
        if is_new:
            record_transfer("transfer.requested", transfer, actor)
    return transfer


def _check_running(*projects: Project | None) -> None:
    for project in projects:
        if project is None or project.state == Project.State.REMOVED:
            raise TransferRefusedError("One of the projects was removed.", status=CONFLICT)
        if project.state != Project.State.ACTIVE:
            raise TransferRefusedError(SHUT_DOWN.format(name=project.name), status=CONFLICT)


def _check_names(source: Project, choice: Choice) -> None:
    """Refuse unknown devices and variables already before the dry run."""
    if not (choice.devices or choice.variables):
        return
    try:
        with pgsession.connect(
            project_dsn(source), settings=pgsession.PAGE, patience=CONNECT_SECONDS
        ) as connection:
            check_names(connection, choice, source.name)
    except psycopg.Error:
        # The dry run checks again, and reports that the database does not respond.
        log.warning("names could not be looked up", project=source.pk, exc_info=True)


@transaction.atomic
def start_move(*, transfer: Transfer, actor: Account) -> None:
    """Queue the move of a transfer after its dry run, a pause or a failure.

    Raises: as request_transfer.
    """
    check_owner(actor, transfer.source, transfer.target)
    _check_running(transfer.source, transfer.target)
    if not (transfer.state == State.READY or transfer.can_continue):
        raise TransferRefusedError("This transfer cannot be started now.", status=CONFLICT)
    _queue(transfer, actor, Work.MOVE, [State.READY, State.PAUSED, State.FAILED])
    record_transfer("transfer.started", transfer, actor)


@transaction.atomic
def retry_plan(*, transfer: Transfer, actor: Account) -> None:
    """Queue the dry run again, before anything is moved.

    Raises: as request_transfer.
    """
    check_owner(actor, transfer.source, transfer.target)
    _check_running(transfer.source, transfer.target)
    if transfer.has_begun:
        raise TransferRefusedError("This transfer has already begun.", status=CONFLICT)
    resting = [State.READY, State.FAILED]
    _queue(transfer, actor, Work.PLAN, resting, rows_done=0, rows_total=None)
    record_transfer("transfer.planned", transfer, actor)


@transaction.atomic
def stop_move(*, transfer: Transfer, actor: Account, for_good: bool) -> None:
    """Pause a move or cancel the current work, at once or after a batch.

    Only a move can be paused, because only a move can be continued; a cancelled undo can be
    requested again.

    Raises: as request_transfer.
    """
    check_owner(actor, transfer.source, transfer.target)
    resting = [State.READY, State.PAUSED, State.FAILED] if for_good else []
    ended = State.CANCELLED if for_good else State.PAUSED
    rows = Transfer.objects.filter(pk=transfer.pk, work=transfer.work)
    if not for_good:
        rows = rows.filter(work=Work.MOVE)
    waiting = rows.filter(state=State.QUEUED, lease=None)
    at_work = rows.filter(state__in=[State.QUEUED, State.RUNNING])
    # The reason why it waited no longer applies.
    stopped = waiting.update(state=ended, reason="") or rows.filter(state__in=resting).update(
        state=ended
    )
    wish = Wish.CANCEL if for_good else Wish.PAUSE
    if not stopped and at_work.filter(wish__in=[wish, Wish.CANCEL]).exists():
        # Requested before, and recorded then; a pause does not take a cancellation back.
        return
    if not stopped:
        stopped = at_work.update(wish=wish)
    if not stopped:
        raise TransferRefusedError("This transfer is not running.", status=CONFLICT)
    is_undo = transfer.work == Work.UNDO
    action = "transfer.undo_cancelled" if is_undo else f"transfer.{ended}"
    record_transfer(action, transfer, actor)


@transaction.atomic
def request_undo(*, transfer: Transfer, actor: Account) -> None:
    """Queue the undo of a transfer; only the target must be running.

    Raises: as request_transfer.
    """
    check_owner(actor, transfer.source, transfer.target)
    _check_running(transfer.target)
    if not transfer.can_undo:
        raise TransferRefusedError(_why_no_undo(transfer), status=CONFLICT)
    resting = [State.COMPLETED, State.PAUSED, State.CANCELLED, State.FAILED]
    # An undo that stopped goes on from there.
    begin = {} if transfer.is_undoing else {"rows_done": 0, "rows_total": None}
    _queue(transfer, actor, Work.UNDO, resting, **begin)
    record_transfer("transfer.undo_requested", transfer, actor)


def _why_no_undo(transfer: Transfer) -> str:
    if transfer.state in Transfer.UNFINISHED:
        return "This transfer is still running."
    if transfer.state == State.UNDONE:
        return "This transfer is already undone."
    if transfer.is_idle or not transfer.has_begun:
        return "There is nothing to undo: this transfer has changed nothing."
    return "A transfer can be undone for 30 days, and they have passed."


def _queue(
    transfer: Transfer, actor: Account, work: str, states: Sequence[str], **fields: object
) -> None:
    # The actor becomes the requester of this work. The filter compares what was read, because
    # another tab may have queued work since, which may even have ended.
    rows = Transfer.objects.filter(
        pk=transfer.pk,
        state__in=states,
        work=transfer.work,
        started_at=transfer.started_at,
        has_ledger=transfer.has_ledger,
    )
    queued = rows.update(
        state=State.QUEUED,
        work=work,
        requested_by=actor,
        operator=operator(),
        wish=Wish.GO_ON,
        reason="",
        cause="",
        attempts=0,
        lease=None,
        lease_until=None,
        finished_at=None,
        moving_since=None,
        **fields,
    )
    if not queued:
        raise TransferRefusedError("The transfer has changed in the meantime.", status=CONFLICT)
    transfer.refresh_from_db()


def find_transfer(actor: Account, transfer_id: uuid.UUID) -> Transfer:
    """Find a transfer between projects of the actor.

    Raises:
        Http404: it does not exist, or the actor has no access to one of its projects.
        PermissionDenied: the actor is only a collaborator in one.
    """
    transfers = Transfer.objects.select_related("source", "target", "requested_by")
    transfer = transfers.filter(pk=transfer_id).first()
    if transfer is None:
        raise Http404("no such transfer")
    check_owner(actor, transfer.source, transfer.target)
    return transfer
