"""Transfers of data between projects: dry run, move, undo."""

import uuid
from collections.abc import Callable
from functools import partial
from typing import Any

from django.http import HttpResponse
from ninja import Router

from backups_portal.access_tokens.scopes import Scope
from backups_portal.lib.leased_job import send_on_commit
from backups_portal.portal_api import schemas
from backups_portal.portal_api.idempotency import Key, check_same, request_key
from backups_portal.portal_api.permissions import owned, transfer_for
from backups_portal.portal_api.problem_details import ProblemError
from backups_portal.portal_api.result_pages import Page, Pages, cut
from backups_portal.portal_api.routes.projects import PROJECT
from backups_portal.portal_api.token_auth import ApiRequest, Needs
from backups_portal.portal_api.view_wrapper import ROOT
from backups_portal.projects.models import Project
from backups_portal.transfers.models import Transfer
from backups_portal.transfers.pages.shown_transfers import transfers_for
from backups_portal.transfers.plan.selection import Choice, ChoiceError
from backups_portal.transfers.tasks import run_transfer
from backups_portal.transfers.transfer_report import transfer_json
from backups_portal.transfers.transfer_requests import (
    request_transfer,
    request_undo,
    retry_plan,
    start_move,
    stop_move,
)

router = Router(tags=["Transfers"])
TRANSFERS = f"{PROJECT}/transfers"
TRANSFER = "/transfers/{uuid:transfer_id}"
READ, WRITE = Needs(Scope.TRANSFERS_READ), Needs(Scope.TRANSFERS_WRITE)
TAKEN_UP = {202: schemas.TransferDetail}


@router.get(TRANSFERS, auth=READ, response=Page[schemas.Transfer])
def list_transfers(request: ApiRequest, slug: str, pages: Pages) -> Page[schemas.Transfer]:
    """List the transfers out of the project or into it, newest first."""
    rows = Transfer.objects.all().touching(owned(request, slug))
    found, about = cut(rows.order_by("-created_at", "-pk"), pages)
    shown = transfers_for(request.auth.account, found)
    items = [schemas.Transfer(**_shown(transfer)) for transfer in shown]
    return Page[schemas.Transfer](items=items, **about)


@router.post(TRANSFERS, auth=WRITE, response=TAKEN_UP)
def plan_transfer(
    request: ApiRequest,
    response: HttpResponse,
    slug: str,
    body: schemas.TransferRequest,
    idempotency_key: Key = None,
) -> schemas.TransferDetail:
    """Queue the dry run of a transfer; nothing is moved before you start it."""
    account = request.auth.account
    source, target = owned(request, slug), owned(request, body.target)
    choice = _choice(body)
    transfer = request_transfer(
        source=source,
        target=target,
        actor=account,
        choice=choice,
        request_key=request_key(account, idempotency_key),
    )
    wanted = (source.pk, target.pk, choice)
    check_same(is_same=(transfer.source_id, transfer.target_id, transfer.chosen()) == wanted)
    send_on_commit(run_transfer, transfer.pk)
    response["Location"] = f"{ROOT}transfers/{transfer.pk}"
    return _detail(request, transfer)


@router.get(TRANSFER, auth=READ, response=schemas.TransferDetail)
def get_transfer(request: ApiRequest, transfer_id: uuid.UUID) -> schemas.TransferDetail:
    """Return a transfer, with its dry run, progress and report."""
    return _detail(request, transfer_for(request, transfer_id))


@router.post(f"{TRANSFER}/plan", auth=WRITE, response=TAKEN_UP)
def plan_again(request: ApiRequest, transfer_id: uuid.UUID) -> schemas.TransferDetail:
    """Queue the dry run again."""
    return _act(request, transfer_id, retry_plan, is_work=True)


@router.post(f"{TRANSFER}/start", auth=WRITE, response=TAKEN_UP)
def start_transfer(request: ApiRequest, transfer_id: uuid.UUID) -> schemas.TransferDetail:
    """Move what the dry run found, or continue after a pause or failure."""
    return _act(request, transfer_id, start_move, is_work=True)


@router.post(f"{TRANSFER}/pause", auth=WRITE, response=TAKEN_UP)
def pause_transfer(request: ApiRequest, transfer_id: uuid.UUID) -> schemas.TransferDetail:
    """Pause the move after the current batch."""
    return _act(request, transfer_id, partial(stop_move, for_good=False))


@router.post(f"{TRANSFER}/cancel", auth=WRITE, response=TAKEN_UP)
def cancel_transfer(request: ApiRequest, transfer_id: uuid.UUID) -> schemas.TransferDetail:
    """Cancel the dry run, the move or the undo; what was moved can be undone."""
    return _act(request, transfer_id, partial(stop_move, for_good=True))


@router.post(f"{TRANSFER}/undo", auth=WRITE, response=TAKEN_UP)
def undo_transfer(request: ApiRequest, transfer_id: uuid.UUID) -> schemas.TransferDetail:
    """Undo the move: take back everything that was moved."""
    return _act(request, transfer_id, request_undo, is_work=True)


def _act(
    request: ApiRequest, transfer_id: uuid.UUID, verb: Callable[..., None], *, is_work: bool = False
) -> schemas.TransferDetail:
    """Call a service for a transfer; with `is_work`, enqueue it for a worker."""
    transfer = transfer_for(request, transfer_id)
    verb(transfer=transfer, actor=request.auth.account)
    if is_work:
        send_on_commit(run_transfer, transfer.pk)
    transfer.refresh_from_db()
    return _detail(request, transfer)


def _choice(body: schemas.TransferRequest) -> Choice:
    try:
        return Choice(
            devices=_names(body.devices),
            variables=_names(body.variables),
            since=body.since,
            until=body.until,
            kinds=tuple(body.kinds),
            rule=body.rule,
            unmatched=body.unmatched,
            tag=body.tag.strip(),
            device_settings=body.device_settings,
        )
    except ChoiceError as error:
        raise ProblemError.of_field(error.field or "devices", str(error)) from error


def _names(names: list[str] | None) -> tuple[str, ...] | None:
    return None if names is None else tuple(names)


def _detail(request: ApiRequest, transfer: Transfer) -> schemas.TransferDetail:
    transfers_for(request.auth.account, [transfer])
    everything = transfer_json(transfer)
    more = {name: everything[name] for name in ("choice", "dry_run", "report")}
    return schemas.TransferDetail(**_shown(transfer), **more)


def _shown(transfer: Transfer) -> dict[str, Any]:
    same = (
        *("id", "state", "work", "cause", "rows_done", "rows_total"),
        *("created_at", "started_at", "finished_at"),
    )
    return {
        **{name: getattr(transfer, name) for name in same},
        "source": _slug(transfer.source, transfer.shown_source),
        "target": _slug(transfer.target, transfer.shown_target),
        "source_name": transfer.shown_source,
        "target_name": transfer.shown_target,
        "reason": transfer.shown_reason,
        "undo_until": transfer.ledger_until if transfer.has_ledger else None,
    }


def _slug(project: Project | None, shown_name: str) -> str | None:
    """Return a project's slug if it exists and the caller has access to it."""
    if project is None or project.state == Project.State.REMOVED:
        return None
    return project.slug if project.name == shown_name else None
