"""Signed backup evidence of a period."""

from datetime import date
from typing import Annotated

from django.utils import timezone
from ninja import Field, Query, Router, Schema

from backups_portal.access_tokens.scopes import Scope
from backups_portal.evidence.evidence_requests import make_file, period_of
from backups_portal.evidence.evidence_scope import Scope as EvidenceScope
from backups_portal.portal_api import schemas
from backups_portal.portal_api.permissions import owned
from backups_portal.portal_api.routes.projects import PROJECT
from backups_portal.portal_api.token_auth import ApiRequest, Needs

router = Router(tags=["Evidence"])


class Days(Schema):
    """The first and the last day of a period, in the project's time zone."""

    first: date | None = Field(None, alias="from", description="First day, such as 2026-10-01")
    last: date | None = Field(None, alias="to", description="Last day; two years at most")


@router.get(f"{PROJECT}/evidence", auth=Needs(Scope.EVIDENCE_READ), response=schemas.Evidence)
def get_evidence(
    request: ApiRequest, slug: str, days: Annotated[Days, Query()]
) -> schemas.Evidence:
    """Return the signed evidence of a period.

    Without days, the period is the current quarter.

    It has what was backed up, proven, missed, restored and deleted, and who had access.
    """
    project, now = owned(request, slug), timezone.now()
    account = request.auth.account
    period = period_of(project, days.first, days.last, now=now)
    scope = EvidenceScope(project, period, now, [account.pk])
    file = make_file(scope, actor=account, made_by=account.email)
    return schemas.Evidence(**file.members)
