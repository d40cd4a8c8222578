"""Restores of backups into new projects."""

import uuid
from http import HTTPStatus
from typing import Any

from django.http import HttpResponse
from ninja import Router

from backups_portal.access_tokens.scopes import Scope
from backups_portal.billing.charge_ledger import current_quote
from backups_portal.billing.prices import Quote
from backups_portal.lib.leased_job import send_on_commit
from backups_portal.portal_api import schemas
from backups_portal.portal_api.idempotency import Key, check_same, request_key
from backups_portal.portal_api.permissions import backup_of, owned, restore_for
from backups_portal.portal_api.problem_details import ProblemError
from backups_portal.portal_api.result_pages import Page, Pages, cut
from backups_portal.portal_api.routes.backups import BACKUP
from backups_portal.portal_api.routes.projects import PROJECT
from backups_portal.portal_api.token_auth import ApiRequest, Needs
from backups_portal.portal_api.view_wrapper import ROOT
from backups_portal.ui.curl_examples import example
from restores.errors import ChargesChangedError
from restores.models import Restore
from restores.project_names import suggest_name
from restores.restore_requests import NewProject, request_restore, retry_restore
from restores.shown_restores import restores_for
from restores.tasks import run_restore
from snapshots.models import Snapshot

router = Router(tags=["Restores"])
RESTORE = "/restores/{uuid:restore_id}"
CHARGES_CHANGED = (
    "The prices are not those that you accepted. Check the quote, then accept its terms."
)


@router.post(
    f"{BACKUP}/restores",
    auth=Needs(Scope.RESTORES_WRITE),
    response={202: schemas.RestoreDetail},
    openapi_extra=example({"accept_charges": True}),
)
def start_restore(
    request: ApiRequest,
    response: HttpResponse,
    slug: str,
    backup_id: uuid.UUID,
    body: schemas.RestoreRequest,
    idempotency_key: Key = None,
) -> schemas.RestoreDetail:
    """Queue a restore into a new project, which costs what the quote says.

    With accepted_terms, prices that have changed since are a conflict (409, charges_changed).
    """
    account = request.auth.account
    snapshot = backup_of(owned(request, slug), backup_id)
    try:
        restore = request_restore(
            snapshot=snapshot,
            actor=account,
            wanted=NewProject(
                name=suggest_name(snapshot, account) if body.name is None else body.name,
                accepted_charges=body.accept_charges,
                request_key=request_key(account, idempotency_key),
                shown_terms=body.accepted_terms or "",
            ),
        )
    except ChargesChangedError as refused:
        raise ProblemError(
            HTTPStatus.CONFLICT,
            CHARGES_CHANGED,
            code="charges_changed",
            terms=current_quote().terms,
        ) from refused
    check_same(is_same=_is_same(restore, snapshot, body))
    send_on_commit(run_restore, restore.pk)
    response["Location"] = f"{ROOT}restores/{restore.pk}"
    return _detail(request, restore)


@router.get(f"{PROJECT}/restores", auth=Needs(Scope.RESTORES_READ), response=Page[schemas.Restore])
def list_restores(request: ApiRequest, slug: str, pages: Pages) -> Page[schemas.Restore]:
    """List the restores of the project's backups, newest first."""
    project = owned(request, slug)
    rows = Restore.objects.filter(snapshot__project=project).order_by("-created_at", "-pk")
    related = rows.select_related("snapshot", "project", "requested_by")
    found, about = cut(related.defer("report", "snapshot__table_rows"), pages)
    for restore in found:
        restore.snapshot.project = project
    shown = restores_for(request.auth.account, found)
    items = [schemas.Restore(**_shown(restore)) for restore in shown]
    return Page[schemas.Restore](items=items, **about)


@router.get(RESTORE, auth=Needs(Scope.RESTORES_READ), response=schemas.RestoreDetail)
def get_restore(request: ApiRequest, restore_id: uuid.UUID) -> schemas.RestoreDetail:
    """Return a restore, with its progress and outcome."""
    return _detail(request, restore_for(request, restore_id))


@router.post(
    f"{RESTORE}/retry", auth=Needs(Scope.RESTORES_WRITE), response={202: schemas.RestoreDetail}
)
def retry(request: ApiRequest, restore_id: uuid.UUID) -> schemas.RestoreDetail:
    """Queue a failed restore again, with its name and price.

    The caller accepts the charges, and the new project is theirs.
    """
    restore = restore_for(request, restore_id)
    retry_restore(restore=restore, actor=request.auth.account)
    send_on_commit(run_restore, restore.pk)
    return _detail(request, restore)


def _is_same(restore: Restore, snapshot: Snapshot, body: schemas.RestoreRequest) -> bool:
    name = None if body.name is None else " ".join(body.name.split())
    price = Quote(restore.creation_fee, restore.running_fee_per_hour, restore.currency)
    return (
        restore.snapshot_id == snapshot.pk
        and name in (None, restore.name)
        and body.accepted_terms in (None, price.terms)
    )


def _detail(request: ApiRequest, restore: Restore) -> schemas.RestoreDetail:
    restores_for(request.auth.account, [restore])
    return schemas.RestoreDetail(**_shown(restore), report=restore.report)


def _shown(restore: Restore) -> dict[str, Any]:
    same = (
        *("id", "state", "step", "cause", "rows_done", "rows_total"),
        *("currency", "created_at", "started_at", "finished_at"),
    )
    # The new project belongs to the account that requested it; other owners have no access.
    is_enterable = restore.shown_name == restore.name
    return {
        **{name: getattr(restore, name) for name in same},
        "name": restore.shown_name,
        "reason": restore.shown_reason,
        "backup_id": restore.snapshot_id,
        "source": restore.snapshot.project.slug,
        "project": restore.project.slug if restore.project and is_enterable else None,
        "creation_fee": schemas.money(restore.creation_fee),
        "running_fee_per_hour": schemas.money(restore.running_fee_per_hour),
        "requested_by": restore.requested_by.email,
    }
