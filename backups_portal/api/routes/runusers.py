"""Run users: the people who sign in to a project's own pages."""

import psycopg
from ninja import Router
from pydantic import Field

from backups_portal.api.bodies import Body, Changes, Tag
from backups_portal.api.crud import Doing, add_routes, edit_resource, folded
from backups_portal.api.envelope import ApiError
from backups_portal.api.identity import ApiRequest, Caller, profile
from backups_portal.api.kinds import Kind, Row
from backups_portal.projectdb.credentials import create_run_user, set_password

LONGEST = 1000


class NewRunUser(Body):
    """Somebody who signs in; of the password, a salted hash is stored."""

    name: str = Field(min_length=1, max_length=LONGEST)
    email: str = Field(min_length=3, max_length=254)
    password: str = Field(min_length=1, max_length=LONGEST)
    timezone: str = Field("UTC", max_length=LONGEST)
    company: str | None = Field(None, max_length=LONGEST)
    phone: str | None = Field(None, max_length=LONGEST)
    language: str | None = Field(None, max_length=LONGEST)
    active: bool = True
    tags: list[Tag] = []


class ChangedRunUser(Changes):
    """What of a person is edited."""

    clearable = frozenset({"company", "phone", "language"})

    name: str | None = Field(None, min_length=1, max_length=LONGEST)
    email: str | None = Field(None, min_length=3, max_length=254)
    password: str | None = Field(None, min_length=1, max_length=LONGEST)
    timezone: str | None = Field(None, max_length=LONGEST)
    company: str | None = Field(None, max_length=LONGEST)
    phone: str | None = Field(None, max_length=LONGEST)
    language: str | None = Field(None, max_length=LONGEST)
    active: bool | None = None
    tags: list[Tag] | None = None


RUN_USER = Kind(
    title="Run User",
    table="run_user",
    created="user",
    hidden=frozenset({"password_hash"}),
    filters={"email": "text"},
    shape=lambda row: {"options": {}, **row} if "email" in row else row,
)


def _create(caller: Caller, values: Row) -> Row:
    password = values.pop("password")
    columns = folded(RUN_USER, values)
    try:
        user_id = create_run_user(caller.connection, password=password, **columns)
    except psycopg.errors.UniqueViolation as error:
        raise _taken(values["email"]) from error
    return {"user": user_id}


def _edit(caller: Caller, user_id: str, values: Row) -> None:
    password = values.pop("password", None)
    try:
        with caller.connection.transaction():
            edit_resource(caller, RUN_USER, user_id, values)
            if password is not None:
                set_password(caller.connection, user_id, password)
    except psycopg.errors.UniqueViolation as error:
        raise _taken(values["email"]) from error


def _taken(email: str) -> ApiError:
    return ApiError(f"There is a Run user with the e-mail {email} already")


router = Router(tags=["Run users"])
add_routes(
    router,
    RUN_USER,
    "/run/users",
    body=NewRunUser,
    changes=ChangedRunUser,
    doing=Doing(create=_create, edit=_edit),
)


@router.get("/run/users/{user_id}/login", auth=profile, summary="Sign in as a Run user")
def login_as(request: ApiRequest, user_id: str) -> str:
    """Refused: no pages for a project's people are served here."""
    raise ApiError("A project's own pages are not served here, so nobody can sign in to them")
