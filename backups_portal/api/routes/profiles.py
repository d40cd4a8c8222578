"""Profiles: what TagoIO calls a project. A token knows one, its own."""

from http import HTTPStatus

from ninja import Router
from psycopg import sql
from psycopg.types.json import Jsonb
from pydantic import Field

from backups_portal.api.bodies import Changes
from backups_portal.api.crud import UPDATED
from backups_portal.api.envelope import ApiError, NotFoundError
from backups_portal.api.identity import ApiRequest, Caller, profile
from backups_portal.api.kinds import Row
from backups_portal.api.people import account_key, first_owner
from backups_portal.projectdb.resources import fold

# What clients call the kinds of resources that a summary counts.
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
# What a client reads from a profile and sends back.
OURS = frozenset({"id", "account", "profile", "created_at", "updated_at", "name"})


class ChangedProfile(Changes):
    """What of a profile is edited."""

    clearable = frozenset({"logo_url", "banner_url"})
    name: str | None = None
    logo_url: str | None = Field(None, max_length=10_000)
    banner_url: str | None = Field(None, max_length=10_000)


router = Router(tags=["Profiles"], auth=profile)
ONE = "/profile/{profile_id}"


def own(caller: Caller, profile_id: str) -> str:
    """The caller's own profile id, which it may call `current`.

    Raises:
        NotFoundError: it names another one.
    """
    if profile_id not in ("current", caller.project.profile_id):
        raise NotFoundError("Profile")
    return caller.project.profile_id


@router.get("/profile", summary="List Profiles")
def list_profiles(request: ApiRequest) -> list[Row]:
    """The token's own project, and no other."""
    info = _info(request.auth)
    return [{key: info[key] for key in ("id", "name", "logo_url", "account")}]


@router.post("/profile", summary="Create Profile")
def create_profile(request: ApiRequest) -> str:
    """Refused: projects are created in the portal, where what they cost is agreed to."""
    raise ApiError("Projects are created in the portal, not by the API", HTTPStatus.FORBIDDEN)


@router.get(ONE, summary="Read Profile")
def read_profile(request: ApiRequest, profile_id: str) -> Row:
    """The project behind the token."""
    own(request.auth, profile_id)
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
        **settings,
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
    """Everything but the project's name, which is the portal's."""
    caller = request.auth
    own(caller, profile_id)
    if body.name not in (None, caller.project.name):
        raise ApiError("The name of a project cannot be changed by the API")
    values = fold("profile", {k: v for k, v in body.given().items() if k not in OURS})
    _change(caller, values)
    return UPDATED


def _change(caller: Caller, values: Row) -> None:
    settings = values.pop("settings", {})
    caller.connection.execute(
        """UPDATE profile SET logo_url = CASE WHEN %(logo)s THEN %(logo_url)s ELSE logo_url END,
               banner_url = CASE WHEN %(banner)s THEN %(banner_url)s ELSE banner_url END,
               settings = settings || %(settings)s, updated_at = now()""",
        {
            "logo": "logo_url" in values,
            "logo_url": values.get("logo_url"),
            "banner": "banner_url" in values,
            "banner_url": values.get("banner_url"),
            "settings": Jsonb(settings),
        },
    )


@router.get(f"{ONE}/summary", summary="What a Profile holds")
def summary(request: ApiRequest, profile_id: str) -> Row:
    """How many resources of each kind there are; nothing is limited."""
    own(request.auth, profile_id)
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


@router.get(f"{ONE}/statistics", summary="Use of a Profile")
def statistics(request: ApiRequest, profile_id: str) -> list[Row]:
    """Use is not counted here."""
    own(request.auth, profile_id)
    return []
