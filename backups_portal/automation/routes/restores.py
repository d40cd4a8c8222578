"""New projects made out of backups."""

import uuid
from http import HTTPStatus
from typing import Any

from django.http import HttpResponse
from ninja import Router

from backups_portal.accounts.scopes import Scope
from backups_portal.audit.services import address_of
from backups_portal.automation import schemas
from backups_portal.automation.door import ROOT
from backups_portal.automation.gate import backup_of, owned, restore_for
from backups_portal.automation.idempotency import Key, check_same, request_key
from backups_portal.automation.identity import ApiRequest, Needs
from backups_portal.automation.paging import Page, Pages, cut
from backups_portal.automation.problems import ProblemError
from backups_portal.automation.routes.backups import BACKUP
from backups_portal.automation.routes.projects import PROJECT
from restores.enqueueing import enqueue
from restores.errors import RestoreRefusedError
from restores.models import Restore
from restores.naming import suggest_name
from restores.services import request_restore, retry_restore
from snapshots.models import Snapshot

router = Router(tags=["Restores"])
RESTORE = "/restores/{uuid:restore_id}"


@router.post(
    f"{BACKUP}/restores",
    auth=Needs(Scope.RESTORES_WRITE),
    response={202: schemas.RestoreDetail},
)
def start_restore(
    request: ApiRequest,
    response: HttpResponse,
    slug: str,
    backup_id: uuid.UUID,
    body: schemas.RestoreRequest,
    idempotency_key: Key = None,
) -> schemas.RestoreDetail:
    """Queues a restore into a new project, which costs what the quote says; a worker does it."""
    account = request.auth.account
    snapshot = backup_of(owned(request, slug), backup_id)
    try:
        restore = request_restore(
            snapshot=snapshot,
            actor=account,
            name=suggest_name(snapshot, account) if body.name is None else body.name,
            accepted_charges=body.accept_charges,
            request_key=request_key(account, idempotency_key),
            address=address_of(request),
        )
    except RestoreRefusedError as refused:
        raise _refusal(refused) from refused
    check_same(is_same=_is_same(restore, snapshot, body))
    enqueue(restore)
    response["Location"] = f"{ROOT}restores/{restore.pk}"
    return _detail(request, restore)


@router.get(f"{PROJECT}/restores", auth=Needs(Scope.RESTORES_READ), response=Page[schemas.Restore])
def list_restores(request: ApiRequest, slug: str, pages: Pages) -> Page[schemas.Restore]:
    """Every restore of the project's backups, newest first."""
    project = owned(request, slug)
    rows = Restore.objects.filter(snapshot__project=project).order_by("-created_at", "-pk")
    related = rows.select_related("snapshot", "project", "requested_by")
    found, about = cut(related.defer("report", "snapshot__table_rows"), pages)
    for restore in found:
        restore.snapshot.project = project
    items = [schemas.Restore(**_shown(request, restore)) for restore in found]
    return Page[schemas.Restore](items=items, **about)


@router.get(RESTORE, auth=Needs(Scope.RESTORES_READ), response=schemas.RestoreDetail)
def get_restore(request: ApiRequest, restore_id: uuid.UUID) -> schemas.RestoreDetail:
    """How far it is, and what became of it."""
    return _detail(request, restore_for(request, restore_id))


@router.post(
    f"{RESTORE}/retry", auth=Needs(Scope.RESTORES_WRITE), response={202: schemas.RestoreDetail}
)
def retry(request: ApiRequest, restore_id: uuid.UUID) -> schemas.RestoreDetail:
    """Queues a failed one again, with the name and the price that were accepted."""
    restore = restore_for(request, restore_id)
    try:
        retry_restore(restore=restore, actor=request.auth.account, address=address_of(request))
    except RestoreRefusedError as refused:
        raise _refusal(refused) from refused
    enqueue(restore)
    return _detail(request, restore)


def _is_same(restore: Restore, snapshot: Snapshot, body: schemas.RestoreRequest) -> bool:
    name = None if body.name is None else " ".join(body.name.split())
    return restore.snapshot_id == snapshot.pk and name in (None, restore.name)


def _refusal(refused: RestoreRefusedError) -> ProblemError:
    if refused.field and refused.status == HTTPStatus.BAD_REQUEST:
        errors = [{"field": name, "message": text} for name, text in refused.errors.items()]
        return ProblemError(HTTPStatus.UNPROCESSABLE_ENTITY, refused.message, errors=errors)
    return ProblemError(HTTPStatus(refused.status), refused.message)


def _detail(request: ApiRequest, restore: Restore) -> schemas.RestoreDetail:
    return schemas.RestoreDetail(**_shown(request, restore), report=restore.report)


def _shown(request: ApiRequest, restore: Restore) -> dict[str, Any]:
    same = (
        *("id", "state", "step", "name", "reason", "cause", "rows_done", "rows_total"),
        *("currency", "created_at", "started_at", "finished_at"),
    )
    # The new project is the account's that asked for it; other owners cannot enter.
    is_theirs = restore.requested_by_id == request.auth.account.pk
    return {
        **{name: getattr(restore, name) for name in same},
        "backup_id": restore.snapshot_id,
        "source": restore.snapshot.project.slug,
        "project": restore.project.slug if restore.project and is_theirs else None,
        "creation_fee": schemas.money(restore.creation_fee),
        "running_fee_per_hour": schemas.money(restore.running_fee_per_hour),
        "requested_by": restore.requested_by.email,
    }
