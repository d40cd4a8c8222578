"""Serve entities: tables whose fields and indexes clients define."""

from ninja import Router
from psycopg.types.json import Jsonb

from backups_portal.projectdb.stored_json import as_object
from backups_portal.tagoio_api.auth.project_token_auth import ApiRequest, Caller, profile
from backups_portal.tagoio_api.envelope import ApiError, DeniedError
from backups_portal.tagoio_api.requests.json_bodies import Named, Renamed, SentObject
from backups_portal.tagoio_api.resources.crud import (
    Overrides,
    add_routes,
    create_resource,
    edit_resource,
    read_resource,
)
from backups_portal.tagoio_api.resources.resource_kinds import Kind, Row

TYPES = ("uuid", "string", "text", "int", "float", "json", "timestamp", "boolean")
# Every row has these fields; clients do not define them.
OWN_FIELDS = frozenset({"id", "created_at", "updated_at"})

ENTITY = Kind(title="Entity", table="entity", created="id", listed=("id", "name", "tags"))


def _field(name: str, about: object) -> Row:
    """Check a field, and return it in its stored form.

    Raises:
        ApiError: its type is missing or unknown.
    """
    if not isinstance(about, dict) or about.get("type") not in TYPES:
        raise ApiError(f"{name}: the type of a field is one of {', '.join(TYPES)}")
    return {"type": about["type"], "required": about.get("required") is True}


def _index(about: Row) -> Row:
    """Return an index in its stored form."""
    return {"fields": about.get("fields", [])}


def _objects(values: Row, key: str) -> Row:
    found = values.pop(key, {})
    if not isinstance(found, dict) or not all(isinstance(one, dict) for one in found.values()):
        raise ApiError(f"{key} must be an object of objects")
    return found


def _create(caller: Caller, values: Row) -> Row:
    fields = {
        name: _field(name, about)
        for name, about in _objects(values, "schema").items()
        if name not in OWN_FIELDS
    }
    index = {name: _index(about) for name, about in _objects(values, "index").items()}
    return create_resource(caller, ENTITY, {**values, "schema": fields, "index": index})


def _edit(caller: Caller, entity_id: str, values: Row) -> None:
    changes = {key: value for key, value in values.items() if key not in ("schema", "index")}
    with caller.connection.transaction():
        edit_resource(caller, ENTITY, entity_id, changes)
        change_schema(caller, entity_id, values)


def change_schema(caller: Caller, entity_id: str, values: Row) -> None:
    """Create, rename and delete fields and indexes, in a transaction.

    Raises:
        ApiError: a change is invalid, or needs the right to delete.
    """
    row = caller.connection.execute(
        "SELECT schema, index FROM entity WHERE id = %s FOR UPDATE", [entity_id]
    ).fetchone()
    schema, index = row or ({}, {})
    fields, indexes = as_object(schema), as_object(index)
    for name, about in _objects(values, "schema").items():
        if name not in OWN_FIELDS:
            _change_field(caller, entity_id, fields, name, about)
    for name, about in _objects(values, "index").items():
        if about.get("action") == "delete":
            indexes.pop(name, None)
        else:
            indexes[name] = _index(about)
    caller.connection.execute(
        "UPDATE entity SET schema = %s, index = %s, updated_at = now() WHERE id = %s",
        [Jsonb(fields), Jsonb(indexes), entity_id],
    )


def _change_field(caller: Caller, entity_id: str, fields: Row, name: str, about: Row) -> None:
    action = about.get("action")
    if action in (None, "create"):
        # Clients send complete objects back, so the field may already exist.
        fields[name] = _field(name, about)
        return
    if name not in fields:
        raise ApiError(f"There is no field {name}")
    if action == "delete":
        # This deletes its values in every row.
        if not caller.may("delete"):
            raise DeniedError
        del fields[name]
        statement, values = "data - %s::text", [name]
    elif action == "update":
        fields[name] = _field(name, {**as_object(fields[name]), **about})
        return
    elif action == "rename" and isinstance(new := about.get("new_name"), str) and new:
        if new in fields or new in OWN_FIELDS:
            raise ApiError(f"There is already a field {new}")
        fields[new] = fields.pop(name)
        statement = "data - %s::text || jsonb_build_object(%s::text, data->%s)"
        values = [name, new, name]
    else:
        raise ApiError(f"{name}: a change is create, update, delete, or rename with a new_name")
    caller.connection.execute(
        f"UPDATE entity_record SET data = {statement}, updated_at = now()"  # noqa: S608 - ours
        " WHERE entity_id = %s AND data ? %s",
        [*values, entity_id, name],
    )


router = Router(tags=["Entities"])
add_routes(
    router,
    ENTITY,
    "/entity",
    body=Named,
    changes=Renamed,
    overrides=Overrides(create=_create, edit=_edit),
)


@router.put("/entity/{entity_id}/schema", auth=profile, summary="Change the fields of an Entity")
def edit_schema(request: ApiRequest, entity_id: str, values: SentObject) -> Row:
    """Change fields and indexes.

    `{"schema": {field: {"action": "create" | "rename" | "delete", …}}, "index": …}`.
    """
    caller = request.auth
    read_resource(caller, ENTITY, entity_id)
    with caller.connection.transaction():
        change_schema(caller, entity_id, values)
    return {"message": "Entity Successfully Updated"}
