"""Projects and their backup settings."""

from http import HTTPStatus

from django.utils import timezone
from ninja import Router

from backups_portal.access_tokens.scopes import Scope
from backups_portal.overview.project_overview import hide_origins, with_overview
from backups_portal.portal_api import schemas
from backups_portal.portal_api.permissions import member, owned
from backups_portal.portal_api.preconditions import check_preconditions
from backups_portal.portal_api.problem_details import ProblemError
from backups_portal.portal_api.result_pages import Page, Pages, cut
from backups_portal.portal_api.token_auth import ApiRequest, Needs
from backups_portal.projects.models import MainDatabase, Membership, plain_settings
from backups_portal.ui.curl_examples import example
from backups_portal.ui.formats import count
from snapshots.retention.retention_preview import Shortening, preview_shortening
from snapshots.schedule.backup_settings import change_backup_settings

router = Router()
PROJECT = "/projects/{slug:slug}"


@router.get(
    "/projects",
    auth=Needs(Scope.PROJECTS_READ),
    response=Page[schemas.Project],
    tags=["Projects"],
)
def list_projects(request: ApiRequest, pages: Pages) -> Page[schemas.Project]:
    """List the projects that the account is a member of, by name."""
    check_preconditions(request)
    mine = Membership.objects.filter(account=request.auth.account)
    rows, about = cut(with_overview(mine).order_by("project__name", "project_id"), pages)
    hide_origins(request.auth.account, rows)
    return Page[schemas.Project](items=[_project(row) for row in rows], **about)


@router.get(PROJECT, auth=Needs(Scope.PROJECTS_READ), response=schemas.Project, tags=["Projects"])
def get_project(request: ApiRequest, slug: str) -> schemas.Project:
    """Return a project."""
    mine = Membership.objects.filter(pk=member(request, slug).pk)
    membership = with_overview(mine).get()
    hide_origins(request.auth.account, [membership])
    return _project(membership)


def _project(membership: Membership) -> schemas.Project:
    project = membership.project
    is_owner = membership.role == Membership.Role.OWNER
    return schemas.Project.model_validate(
        {
            "slug": project.slug,
            "name": project.name,
            "state": project.state,
            "role": membership.role,
            "created_at": project.created_at,
            "last_backup_at": getattr(membership, "last_backup", None) if is_owner else None,
            "restored_from": getattr(membership, "restored_from", None) if is_owner else None,
        }
    )


@router.get(
    f"{PROJECT}/settings",
    auth=Needs(Scope.SETTINGS_READ),
    response=schemas.Settings,
    tags=["Settings"],
)
def get_settings(request: ApiRequest, slug: str) -> schemas.Settings:
    """Return the backup schedule and the retention period."""
    return _settings(owned(request, slug).main_database)


@router.patch(
    f"{PROJECT}/settings",
    auth=Needs(Scope.SETTINGS_WRITE),
    response=schemas.Settings,
    tags=["Settings"],
    openapi_extra=example({"backup_time": "03:00"}),
)
def change_settings(
    request: ApiRequest, slug: str, body: schemas.SettingsChange
) -> schemas.Settings:
    """Change the given settings; the others stay.

    A shorter period that would delete backups is a conflict (409), which says how many (preview),
    until accept_deletion is true.
    """
    database = owned(request, slug).main_database
    loaded = {
        "backup_time": database.backup_time,
        "backup_time_zone": database.backup_time_zone,
        "retention_days": database.retention_days,
    }
    named = body.model_dump(exclude_none=True, exclude={"accept_deletion"})
    wanted = {**loaded, **named}
    if not body.accept_deletion:
        _check_deletion(database, wanted["retention_days"])
    changed = change_backup_settings(
        database=database,
        actor=request.auth.account,
        # Settings that were not sent stay, even if somebody else is changing them right now.
        loaded={name: value for name, value in loaded.items() if name not in named},
        wanted=wanted,
    )
    return _settings(changed)


def _check_deletion(database: MainDatabase, days: int) -> None:
    """Raise ProblemError if a shorter period would delete backups."""
    shortening = preview_shortening(database, days, timezone.now())
    if shortening is not None:
        raise ProblemError(
            HTTPStatus.CONFLICT,
            f"Keeping backups for {count(days, 'day')} deletes {shortening.count} of them. "
            "Send accept_deletion: true to agree.",
            code="deletes_backups",
            preview=_preview(shortening),
        )


def _preview(shortening: Shortening) -> dict[str, object]:
    return {
        "retention_days": shortening.days,
        "deletes": shortening.count,
        "oldest": shortening.oldest,
        "newest": shortening.newest,
        "kept": shortening.kept,
    }


def _settings(database: MainDatabase) -> schemas.Settings:
    return schemas.Settings.model_validate(
        {**plain_settings(database), "next_backup_at": database.next_snapshot_at}
    )
