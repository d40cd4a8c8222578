"""What owners ask of transfers; every verb asks the gate for both projects."""

import uuid
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.http import Http404

from backups_portal.accounts.models import Account
from backups_portal.audit.services import record
from backups_portal.lib.compiled import compiled
from backups_portal.projects.access import Permission, get_project
from backups_portal.projects.models import Project
from backups_portal.transfers.choosing import Choice
from backups_portal.transfers.errors import TransferRefusedError
from backups_portal.transfers.models import Transfer

CONFLICT = 409
State, Work, Wish = Transfer.State, Transfer.Work, Transfer.Wish


def check_owner(actor: Account, *projects: Project | None) -> None:
    """Make sure that somebody owns all of these projects; those that are gone do not count.

    Raises:
        Http404: he is a stranger to one.
        PermissionDenied: he collaborates in one.
    """
    for project in projects:
        if project is not None:
            get_project(actor, project.slug, Permission.MANAGE_BACKUPS)
    if not any(projects):
        raise Http404("both projects are gone")


def request_transfer(
    *,
    source: Project,
    target: Project,
    actor: Account,
    choice: Choice,
    request_key: uuid.UUID,
    address: str | None = None,
) -> Transfer:
    """Queue the dry run of a transfer; the caller enqueues the work after commit.

    Asking again with the same `request_key` returns the same transfer.

    Raises:
        Http404, PermissionDenied: the actor does not own both projects.
        TransferRefusedError: nothing was changed; its message is fit for a page.
    """
    check_owner(actor, source, target)
    if source == target:
        raise TransferRefusedError("Choose another project to move data into.", field="target")
    _check_running(source, target)
    with transaction.atomic():
        transfer, is_new = Transfer.objects.get_or_create(
            request_key=request_key,
            requested_by=actor,
            defaults={
                "source": source,
                "target": target,
                "source_name": source.name,
                "target_name": target.name,
                "choice": choice.as_json(),
            },
        )
        if is_new:
            _record("transfer.requested", transfer, actor, address)
    return transfer


def _check_running(*projects: Project | None) -> None:
    for project in projects:
        if project is None:
            raise TransferRefusedError("One of the projects was deleted.", status=CONFLICT)
        if project.state != Project.State.ACTIVE:
            raise TransferRefusedError(f"{project.name} is shut down.", status=CONFLICT)


def start_move(*, transfer: Transfer, actor: Account, address: str | None = None) -> None:
    """Queue the move of a transfer whose dry run was looked at, or that stopped before its end.

    Raises: as request_transfer.
    """
    check_owner(actor, transfer.source, transfer.target)
    _check_running(transfer.source, transfer.target)
    if not (transfer.state == State.READY or transfer.can_continue):
        raise TransferRefusedError("This transfer cannot be started now.", status=CONFLICT)
    _queue(transfer, Work.MOVE, [State.READY, State.PAUSED, State.FAILED])
    _record("transfer.started", transfer, actor, address)


def retry_plan(*, transfer: Transfer, actor: Account, address: str | None = None) -> None:
    """Queue a dry run that failed, or one that is to be made anew before the move.

    Raises: as request_transfer.
    """
    check_owner(actor, transfer.source, transfer.target)
    _check_running(transfer.source, transfer.target)
    if transfer.work != Work.PLAN:
        raise TransferRefusedError("This transfer has begun already.", status=CONFLICT)
    _queue(transfer, Work.PLAN, [State.READY, State.FAILED])
    _record("transfer.planned", transfer, actor, address)


def stop_move(
    *, transfer: Transfer, actor: Account, for_good: bool, address: str | None = None
) -> None:
    """Pause or cancel a transfer: at the next batch where it is at work, else at once.

    Raises: as request_transfer.
    """
    check_owner(actor, transfer.source, transfer.target)
    resting = [State.READY, State.PAUSED, State.FAILED] if for_good else []
    ended = State.CANCELLED if for_good else State.PAUSED
    rows = Transfer.objects.filter(pk=transfer.pk).exclude(work=Work.UNDO)
    waiting = rows.filter(state=State.QUEUED, lease=None)
    at_work = rows.filter(state__in=[State.QUEUED, State.RUNNING])
    if for_good:
        stopped = (waiting | rows.filter(state__in=resting)).update(state=ended)
    else:
        stopped = waiting.filter(work=Work.MOVE).update(state=ended)
    if not stopped:
        stopped = at_work.update(wish=Wish.CANCEL if for_good else Wish.PAUSE)
    if not stopped:
        raise TransferRefusedError("This transfer is not at work.", status=CONFLICT)
    verb = "transfer.cancelled" if for_good else "transfer.paused"
    _record(verb, transfer, actor, address)


def request_undo(*, transfer: Transfer, actor: Account, address: str | None = None) -> None:
    """Queue the undoing of a transfer; only the target must still run.

    Raises: as request_transfer.
    """
    check_owner(actor, transfer.source, transfer.target)
    _check_running(transfer.target)
    if not transfer.can_undo:
        raise TransferRefusedError(
            "There is nothing to take back: the transfer is at work, was undone, or is older than "
            "30 days.",
            status=CONFLICT,
        )
    _queue(transfer, Work.UNDO, [State.COMPLETED, State.PAUSED, State.CANCELLED, State.FAILED])
    _record("transfer.undo_requested", transfer, actor, address)


def _queue(transfer: Transfer, work: str, states: list[Any]) -> None:
    queued = Transfer.objects.filter(pk=transfer.pk, state__in=states).update(
        state=State.QUEUED,
        work=work,
        wish=Wish.GO_ON,
        reason="",
        attempts=0,
        lease=None,
        lease_until=None,
        finished_at=None,
        moving_since=None,
    )
    if not queued:
        raise TransferRefusedError("The transfer has changed meanwhile.", status=CONFLICT)
    transfer.refresh_from_db()


def _record(action: str, transfer: Transfer, actor: Account, address: str | None) -> None:
    """In the logs of both projects."""
    for project in (transfer.source, transfer.target):
        if project is not None:
            record(
                action=action,
                actor=actor,
                project=project,
                subject=f"{transfer.source_name} → {transfer.target_name}",
                details={"transfer": str(transfer.pk)},
                address=address,
            )


def find_transfer(actor: Account, transfer_id: uuid.UUID) -> Transfer:
    """A transfer between projects of the actor.

    Raises:
        Http404: there is none, or he is a stranger to one of the projects.
        PermissionDenied: he collaborates in one.
    """
    transfer = _transfers(transfer_id).first()
    if transfer is None:
        raise Http404("no such transfer")
    check_owner(actor, transfer.source, transfer.target)
    return transfer


@compiled
def _transfers(pk: uuid.UUID) -> QuerySet[Transfer]:
    return Transfer.objects.filter(pk=pk).select_related("source", "target", "requested_by")
