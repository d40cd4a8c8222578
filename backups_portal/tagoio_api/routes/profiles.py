"""Serve profiles, as TagoIO calls projects; a token sees only its own."""

from http import HTTPStatus

from ninja import Router
from psycopg import sql
from pydantic import Field

from backups_portal.projectdb.resource_writer import edit, fold
from backups_portal.projectdb.stored_json import as_object
from backups_portal.tagoio_api.auth.account_auth import account_key, first_owner
from backups_portal.tagoio_api.auth.project_token_auth import ApiRequest, Caller, profile
from backups_portal.tagoio_api.envelope import ApiError, NotFoundError
from backups_portal.tagoio_api.requests.json_bodies import Changes
from backups_portal.tagoio_api.resources.crud import UPDATED
from backups_portal.tagoio_api.resources.resource_kinds import Row

# Clients' names for the kinds of resources that a summary counts, and their tables.
COUNTED = {
    "device": "device",
    "bucket": "device",
    "dashboard": "dashboard",
    "analysis": "analysis",
    "action": "action",
    "am": "access_rule",
    "run_users": "run_user",
    "dictionary": "dictionary",
    "connectors": "connector",
    "networks": "network",
}


class ChangedProfile(Changes):
    """The fields of a profile to change."""

    clearable = frozenset({"logo_url", "banner_url"})
    name: str | None = None
    logo_url: str | None = Field(None, max_length=10_000)
    banner_url: str | None = Field(None, max_length=10_000)


router = Router(tags=["Profiles"], auth=profile)
ONE = "/profile/{profile_id}"


def check_own(caller: Caller, profile_id: str) -> None:
    """Raise NotFoundError unless an id is `current` or the caller's own."""
    if profile_id not in ("current", caller.project.profile_id):
        raise NotFoundError("Profile")


@router.get("/profile", summary="List Profiles")
def list_profiles(request: ApiRequest) -> list[Row]:
    """List the token's own project, and no other."""
    info = _info(request.auth)
    return [{key: info[key] for key in ("id", "name", "logo_url", "account")}]


@router.post("/profile", summary="Create Profile")
def create_profile(request: ApiRequest) -> str:
    """Refuse: projects are created in the portal, where their price is shown."""
    raise ApiError("Projects are created in the portal, not by the API", HTTPStatus.FORBIDDEN)


@router.get(ONE, summary="Read Profile")
def read_profile(request: ApiRequest, profile_id: str) -> Row:
    """Read the project behind the token."""
    check_own(request.auth, profile_id)
    return {
        "info": _info(request.auth),
        "allocation": dict.fromkeys(("input", "output", "analysis", "data_records"), 0),
        "addons": {},
        "account_plan": "self-hosted",
    }


def _info(caller: Caller) -> Row:
    project = caller.project
    row = caller.connection.execute(
        "SELECT logo_url, banner_url, settings, updated_at FROM profile"
    ).fetchone()
    logo, banner, settings, updated_at = row or (None, None, {}, project.created_at)
    return {
        **as_object(settings),
        "id": project.profile_id,
        "account": account_key(first_owner(project)),
        "name": project.name,
        "logo_url": logo,
        "banner_url": banner,
        "created_at": project.created_at,
        "updated_at": updated_at,
    }


@router.put(ONE, summary="Edit Profile")
def edit_profile(request: ApiRequest, profile_id: str, body: ChangedProfile) -> str:
    """Edit everything except the project's name, which is set in the portal."""
    caller = request.auth
    check_own(caller, profile_id)
    if body.name not in (None, caller.project.name):
        raise ApiError("The name of a project cannot be changed by the API")
    values = fold("profile", body.given())
    values.pop("name", None)
    edit(caller.connection, "profile", None, **values)
    return UPDATED


@router.get(f"{ONE}/summary", summary="Count what a Profile contains")
def summary(request: ApiRequest, profile_id: str) -> Row:
    """Count the resources of each kind; nothing is limited."""
    check_own(request.auth, profile_id)
    amount = {name: _count(request.auth, table) for name, table in COUNTED.items()}
    return {
        "limit": {},
        "limit_used": {},
        "addons": {},
        "amount": {**amount, "dashboard_shared": 0, "tcore": 0},
    }


def _count(caller: Caller, table: str) -> int:
    statement = sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table))
    row = caller.connection.execute(statement).fetchone()
    return int(row[0]) if row else 0


@router.get(f"{ONE}/statistics", summary="Read the usage of a Profile")
def statistics(request: ApiRequest, profile_id: str) -> list[Row]:
    """Return nothing: use is not counted here."""
    check_own(request.auth, profile_id)
    return []
