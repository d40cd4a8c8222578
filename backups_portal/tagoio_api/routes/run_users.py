"""Serve Run users: the people who sign in to a project's own pages."""

from ninja import Router
from pydantic import Field

from backups_portal.projectdb.credentials import create_run_user, set_password
from backups_portal.tagoio_api.auth.project_token_auth import ApiRequest, Caller, profile
from backups_portal.tagoio_api.envelope import ApiError
from backups_portal.tagoio_api.requests.json_bodies import Body, Tag, changes_of
from backups_portal.tagoio_api.resources.crud import Overrides, add_routes, edit_resource, folded
from backups_portal.tagoio_api.resources.resource_kinds import Kind, Row

MAX_TEXT = 1000


class NewRunUser(Body):
    """A user of TagoRUN; only a salted hash of the password is stored."""

    name: str = Field(min_length=1, max_length=MAX_TEXT)
    email: str = Field(min_length=3, max_length=254)
    password: str = Field(min_length=1, max_length=MAX_TEXT)
    timezone: str = Field("UTC", max_length=MAX_TEXT)
    company: str | None = Field(None, max_length=MAX_TEXT)
    phone: str | None = Field(None, max_length=MAX_TEXT)
    language: str | None = Field(None, max_length=MAX_TEXT)
    active: bool = True
    tags: list[Tag] = []


ChangedRunUser = changes_of(
    NewRunUser,
    "ChangedRunUser",
    "The fields of a user to change.",
    clearable=("company", "phone", "language"),
)
RUN_USER = Kind(
    title="Run User",
    table="run_user",
    created="user",
    hidden=frozenset({"password_hash"}),
    filters={"email": "text"},
    shape=lambda row: {"options": {}, **row} if "email" in row else row,
    taken="There is already a Run user with the e-mail {email}",
)


def _create(caller: Caller, values: Row) -> Row:
    password = values.pop("password")
    columns = folded(RUN_USER, values)
    return {"user": create_run_user(caller.connection, password=password, **columns)}


def _edit(caller: Caller, user_id: str, values: Row) -> None:
    password = values.pop("password", None)
    with caller.connection.transaction():
        edit_resource(caller, RUN_USER, user_id, values)
        if password is not None:
            set_password(caller.connection, user_id, password)


router = Router(tags=["Run users"])
add_routes(
    router,
    RUN_USER,
    "/run/users",
    body=NewRunUser,
    changes=ChangedRunUser,
    overrides=Overrides(create=_create, edit=_edit),
)


@router.get("/run/users/{user_id}/login", auth=profile, summary="Sign in as a Run user")
def login_as(request: ApiRequest, user_id: str) -> str:
    """Refuse: a project's own pages are not served here."""
    raise ApiError("A project's own pages are not served here, so nobody can sign in to them")
