"""Checks that every proof of a project's backups makes."""

import uuid

from django.http import Http404
from ninja import Router, Status

from backups_portal.access_tokens.scopes import Scope
from backups_portal.portal_api import schemas
from backups_portal.portal_api.permissions import owned
from backups_portal.portal_api.result_pages import Page, Pages, cut
from backups_portal.portal_api.routes.projects import PROJECT
from backups_portal.portal_api.token_auth import ApiRequest, Needs
from backups_portal.ui.curl_examples import example
from restores.checks.check_settings import WantedCheck, add_check, remove_check
from restores.models import Check

router = Router(tags=["Checks"])
CHECKS = f"{PROJECT}/checks"


@router.get(CHECKS, auth=Needs(Scope.SETTINGS_READ), response=Page[schemas.Check])
def list_checks(request: ApiRequest, slug: str, pages: Pages) -> Page[schemas.Check]:
    """List what is checked in every proof, oldest first."""
    found, about = cut(Check.objects.filter(project=owned(request, slug)), pages)
    return Page[schemas.Check](items=[_shown(check) for check in found], **about)


@router.post(
    CHECKS,
    auth=Needs(Scope.SETTINGS_WRITE),
    response={201: schemas.Check},
    openapi_extra=example({"kind": "devices", "at_least": 30}),
)
def create_check(
    request: ApiRequest, slug: str, body: schemas.CheckRequest
) -> Status[schemas.Check]:
    """Add a check, which proofs make from now on.

    A check that the project has already, and one too many, is a conflict (409).
    """
    project = owned(request, slug)
    given = body.model_dump()
    texts = {name: given[name] or "" for name in ("device", "variable")}
    wanted = WantedCheck(**{**given, **texts})
    check = add_check(project=project, actor=request.auth.account, wanted=wanted)
    return Status(201, _shown(check))


@router.delete(
    f"{CHECKS}/{{uuid:check_id}}", auth=Needs(Scope.SETTINGS_WRITE), response={204: None}
)
def delete_check(request: ApiRequest, slug: str, check_id: uuid.UUID) -> Status[None]:
    """Remove a check; what proofs have found stays with the backups."""
    removed = remove_check(
        project=owned(request, slug), actor=request.auth.account, check_id=check_id
    )
    if removed is None:
        raise Http404("no such check")
    return Status(204, None)


def _shown(check: Check) -> schemas.Check:
    numbers = ("id", "kind", "sentence", "hours", "at_least", "low", "high", "created_at")
    return schemas.Check.model_validate(
        {
            **{name: getattr(check, name) for name in numbers},
            "device": check.device_id or None,
            "device_name": check.device_name or None,
            "variable": check.variable or None,
        }
    )
