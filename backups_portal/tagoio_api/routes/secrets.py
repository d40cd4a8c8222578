"""Serve secrets: values that scripts use and that no route returns."""

from ninja import Router
from pydantic import Field

from backups_portal.projectdb.credentials import create_secret, seal_secret
from backups_portal.tagoio_api.auth.project_token_auth import Caller
from backups_portal.tagoio_api.envelope import ApiError
from backups_portal.tagoio_api.requests.json_bodies import Body, Tag
from backups_portal.tagoio_api.resources.crud import Overrides, add_routes, edit_resource
from backups_portal.tagoio_api.resources.resource_kinds import Kind, Row

MAX_VALUE = 100_000
NO_VALUE = (
    "The secret {key} has no value. Downloaded backups contain none: create the secret with the "
    "value it had, or restore the backup as a new project, which keeps it"
)


class NewSecret(Body):
    """A secret; scripts read it by its key."""

    key: str = Field(min_length=1, max_length=1000)
    value: str | None = Field(None, min_length=1, max_length=MAX_VALUE)
    tags: list[Tag] = []


class ChangedSecret(Body):
    """The fields of a secret to change; its key cannot change."""

    value: str | None = Field(None, min_length=1, max_length=MAX_VALUE)
    tags: list[Tag] | None = None


SECRET = Kind(
    title="Secret",
    table="secret",
    created="id",
    listed=("id", "key"),
    order="key",
    hidden=frozenset({"sealed_value"}),
    taken="There is already a secret with the key {key}",
)


def _create(caller: Caller, values: Row) -> Row:
    if "value" not in values:
        raise ApiError(NO_VALUE.format(key=values["key"]))
    secret_id = create_secret(
        caller.connection,
        keys=caller.keys,
        key=values["key"],
        value=values["value"],
        tags=values.get("tags", []),
    )
    return {"id": secret_id}


def _edit(caller: Caller, secret_id: str, values: Row) -> None:
    changes = {"tags": values["tags"]} if "tags" in values else {}
    with caller.connection.transaction():
        edit_resource(caller, SECRET, secret_id, changes)
        if "value" in values:
            seal_secret(caller.connection, secret_id, keys=caller.keys, value=values["value"])


router = Router(tags=["Secrets"])
add_routes(
    router,
    SECRET,
    "/secrets",
    body=NewSecret,
    changes=ChangedSecret,
    overrides=Overrides(create=_create, edit=_edit),
)
