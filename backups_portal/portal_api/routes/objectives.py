"""Recovery objectives and their current standing."""

from django.utils import timezone
from ninja import Router

from backups_portal.access_tokens.scopes import Scope
from backups_portal.objectives.objective_settings import (
    KINDS,
    LOSS,
    RESTORE,
    change_objectives,
    objectives_of,
)
from backups_portal.objectives.objective_warnings import warnings_of
from backups_portal.objectives.standings import Standing, standings_of
from backups_portal.portal_api import schemas
from backups_portal.portal_api.permissions import owned
from backups_portal.portal_api.routes.projects import PROJECT
from backups_portal.portal_api.token_auth import ApiRequest, Needs
from backups_portal.projects.models import Project

router = Router(tags=["Settings"])
OBJECTIVES = f"{PROJECT}/objectives"


@router.get(OBJECTIVES, auth=Needs(Scope.SETTINGS_READ), response=schemas.Objectives)
def get_objectives(request: ApiRequest, slug: str) -> schemas.Objectives:
    """Return the recovery objectives, and whether they are met."""
    return _objectives(owned(request, slug))


@router.patch(OBJECTIVES, auth=Needs(Scope.SETTINGS_WRITE), response=schemas.Objectives)
def change_recovery_objectives(
    request: ApiRequest, slug: str, body: schemas.ObjectivesChange
) -> schemas.Objectives:
    """Change the given objectives; null withdraws one, the others stay.

    One that cannot be met is saved; `warnings` says why it cannot.
    """
    project = owned(request, slug)
    wanted = body.model_dump(exclude_unset=True)
    change_objectives(project=project, actor=request.auth.account, wanted=wanted)
    return _objectives(project)


def _objectives(project: Project) -> schemas.Objectives:
    now, targets = timezone.now(), objectives_of(project.pk)
    by_kind = {one.objective.kind: one for one in standings_of(project, now)}
    warnings = warnings_of(project.main_database, targets, now)
    return schemas.Objectives.model_validate(
        {
            **targets,
            "recovery_point": _standing(by_kind.get(KINDS[LOSS])),
            "recovery_time": _standing(by_kind.get(KINDS[RESTORE])),
            "warnings": [{"field": name, "message": text} for name, text in warnings.items()],
        }
    )


def _standing(standing: Standing | None) -> dict[str, object] | None:
    if standing is None:
        return None
    return {
        "state": standing.state,
        "missed_since": standing.since,
        "seconds": standing.figure.total_seconds() if standing.figure is not None else None,
    }
