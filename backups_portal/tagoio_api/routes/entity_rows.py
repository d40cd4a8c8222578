"""Serve the rows of an entity, checked against its fields."""

import uuid
from collections.abc import Callable

from ninja import Router
from psycopg import sql
from psycopg.types.json import Jsonb

from backups_portal.projectdb.records import RecordError, parse_moment
from backups_portal.projectdb.resource_writer import add_rows
from backups_portal.projectdb.stored_json import as_object
from backups_portal.tagoio_api.auth.project_token_auth import (
    ApiRequest,
    Caller,
    profile,
    profile_deletes,
)
from backups_portal.tagoio_api.envelope import ApiError
from backups_portal.tagoio_api.requests import query_strings
from backups_portal.tagoio_api.requests.json_bodies import SentJson, SentObject
from backups_portal.tagoio_api.requests.query_strings import MAX_AMOUNT, MAX_PAGE, Parsed
from backups_portal.tagoio_api.requests.time_expressions import parse_since
from backups_portal.tagoio_api.resources.crud import read_resource
from backups_portal.tagoio_api.resources.resource_kinds import Row
from backups_portal.tagoio_api.routes.entities import ENTITY, OWN_FIELDS
from backups_portal.ui.curl_examples import example

DEFAULT_ROWS = 100
MAX_ROWS = 10_000

router = Router(tags=["Entities"], auth=profile)
ONE = "/entity/{entity_id}"
DATA = f"{ONE}/data"


@router.get(DATA, summary="Read the rows of an Entity")
def read_rows(request: ApiRequest, entity_id: str) -> list[Row]:
    """Read a page of rows, oldest first by default, by `filter[field]=value`."""
    query = query_strings.query_of(request)
    read_resource(request.auth, ENTITY, entity_id)
    amount, skipped = query_strings.page(query, DEFAULT_ROWS)
    skip = query_strings.number(
        query.get("skip"), "skip", default=skipped, most=MAX_PAGE * MAX_AMOUNT
    )
    conditions, values = _conditions(query)
    order, order_values = _order(query)
    statement = sql.SQL(
        "SELECT id::text, data, created_at, updated_at FROM entity_record"
        " WHERE entity_id = %s AND {} ORDER BY {}, created_at, id LIMIT %s OFFSET %s"
    ).format(conditions, order)
    rows = request.auth.connection.execute(
        statement, [entity_id, *values, *order_values, amount, skip]
    ).fetchall()
    return [
        {**as_object(data), "id": row_id, "created_at": created_at, "updated_at": updated_at}
        for row_id, data, created_at, updated_at in rows
    ]


def _conditions(query: Parsed) -> tuple[sql.Composable, list[object]]:
    parts: list[sql.Composable] = [sql.SQL("true")]
    values: list[object] = []
    asked = query.get("filter")
    for key, value in asked.items() if isinstance(asked, dict) else ():
        if isinstance(value, dict) and value.keys() & {"start", "end"}:
            for bound, sign in (("start", ">="), ("end", "<=")):
                if (text := query_strings.text(value.get(bound))) is not None:
                    parts.append(sql.SQL(f"{_column(key)} {sign} %s"))
                    values += [*_named(key), _bound(key, text)]
        else:
            parts.append(sql.SQL(f"({_column(key)})::text = ANY(%s)"))
            values += [*_named(key), query_strings.names(value)]
    return sql.SQL(" AND ").join(parts), values


def _bound(key: str, text: str) -> object:
    return parse_since(text, key) if key in ("created_at", "updated_at") else text


def _column(key: str) -> str:
    return key if key in OWN_FIELDS else "data->>%s"


def _named(key: str) -> list[str]:
    return [] if key in OWN_FIELDS else [key]


def _order(query: Parsed) -> tuple[sql.Composable, list[str]]:
    asked = query.get("order") or query.get("order_by") or query.get("orderBy")
    if isinstance(asked, dict):
        key, direction = next((str(k), str(query_strings.text(v))) for k, v in asked.items())
    else:
        key, _, direction = (query_strings.text(asked) or "").partition(",")
    way = "DESC" if direction.strip().lower() == "desc" else "ASC"
    if not key:
        return sql.SQL("created_at ASC"), []
    column = key if key in OWN_FIELDS else "data->%s"
    return sql.SQL(f"{column} {way}"), _named(key)


@router.post(DATA, summary="Add rows to an Entity", openapi_extra=example([{"FIELD": "VALUE"}]))
def create_rows(request: ApiRequest, entity_id: str, rows: SentJson) -> str:
    """Store one row or a list of rows: all of them, or none."""
    caller = request.auth
    listed = _listed(rows)
    with caller.connection.transaction():
        schema = _held_schema(caller, entity_id)
        checked = [check_row(schema, row, complete=True) for row in listed]
        add_rows(caller.connection, entity_id=entity_id, rows=checked)
    return f"{len(checked)} Data Added"


def _held_schema(caller: Caller, entity_id: str) -> object:
    """Return an entity's fields, fixed until the transaction ends.

    Raises:
        ApiError: the project has no such entity.
    """
    row = caller.connection.execute(
        "SELECT schema FROM entity WHERE id = %s FOR KEY SHARE", [entity_id]
    ).fetchone()
    if row is None:
        raise ENTITY.not_found
    return row[0]


def _listed(rows: object) -> list[Row]:
    sent = rows if isinstance(rows, list) else [rows]
    found = [row for row in sent if isinstance(row, dict)]
    if len(found) < len(sent):
        raise ApiError("A row must be an object")
    if len(found) > MAX_ROWS:
        raise ApiError(f"A request holds at most {MAX_ROWS} rows")
    return found


@router.put(
    DATA,
    summary="Edit rows of an Entity",
    openapi_extra=example([{"id": "ROW_ID", "FIELD": "VALUE"}]),
)
def edit_rows(request: ApiRequest, entity_id: str, rows: SentJson) -> str:
    """Edit rows by their ids; fields that are not named keep their values."""
    caller = request.auth
    listed = [(_row_id(row), row) for row in _listed(rows)]
    with caller.connection.transaction():
        schema = _held_schema(caller, entity_id)
        changes = [(known, check_row(schema, row, complete=False)) for known, row in listed]
        changed = sum(_edit_row(caller, entity_id, *change) for change in changes)
    return f"{changed} item(s) updated"


def _row_id(row: Row) -> uuid.UUID:
    try:
        return uuid.UUID(str(row.get("id")))
    except ValueError as error:
        raise ApiError("A row to be edited names its id") from error


def _edit_row(caller: Caller, entity_id: str, row_id: uuid.UUID, values: Row) -> int:
    return caller.connection.execute(
        "UPDATE entity_record SET data = data || %s, updated_at = now()"
        " WHERE entity_id = %s AND id = %s",
        [Jsonb(values), entity_id, row_id],
    ).rowcount


@router.delete(DATA, summary="Delete rows of an Entity", openapi_extra=example({"ids": ["ROW_ID"]}))
def delete_rows(request: ApiRequest, entity_id: str, values: SentObject) -> str:
    """Delete rows by `{"ids": […]}`."""
    read_resource(request.auth, ENTITY, entity_id)
    asked = values.get("ids")
    if not isinstance(asked, list):
        raise ApiError("ids must be a list")
    ids = [_row_id({"id": one}) for one in asked]
    deleted = request.auth.connection.execute(
        "DELETE FROM entity_record WHERE entity_id = %s AND id = ANY(%s)", [entity_id, ids]
    )
    return f"{deleted.rowcount} item(s) deleted"


@router.get(f"{ONE}/data_amount", summary="Count the rows of an Entity")
def amount_of_rows(request: ApiRequest, entity_id: str) -> int:
    """Count the rows."""
    read_resource(request.auth, ENTITY, entity_id)
    row = request.auth.connection.execute(
        "SELECT count(*) FROM entity_record WHERE entity_id = %s", [entity_id]
    ).fetchone()
    return int(row[0]) if row else 0


@router.post(f"{ONE}/empty", auth=profile_deletes, summary="Delete all rows of an Entity")
def empty(request: ApiRequest, entity_id: str) -> Row:
    """Delete all rows; the fields stay."""
    read_resource(request.auth, ENTITY, entity_id)
    request.auth.connection.execute("DELETE FROM entity_record WHERE entity_id = %s", [entity_id])
    return {"message": "Data Successfully Removed"}


def check_row(schema: object, row: Row, *, complete: bool) -> Row:
    """Check a row against the entity's fields; return it without OWN_FIELDS.

    Args:
        complete: Whether required fields must be present.

    Raises:
        ApiError: a field is unknown, missing or of another type.
    """
    # Somebody may have stored something other than an object of objects by SQL.
    fields = {name: as_object(about) for name, about in as_object(schema).items()}
    if unknown := sorted(row.keys() - fields.keys() - OWN_FIELDS):
        raise ApiError(f"There is no field {unknown[0]}")
    values = {name: value for name, value in row.items() if name not in OWN_FIELDS}
    for name, about in fields.items():
        value, kind = values.get(name), about.get("type")
        if value is None:
            if about.get("required") and (complete or name in values):
                raise ApiError(f"{name} is required")
        elif not FITS.get(str(kind), _is_text)(value):
            raise ApiError(f"{name} must be of the type {kind}")
    return values


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_moment(value: object) -> bool:
    try:
        parse_moment(value)
    except RecordError:
        return False
    return True


def _is_uuid(value: object) -> bool:
    try:
        uuid.UUID(value if isinstance(value, str) else "")
    except ValueError:
        return False
    return True


# Checks by field type; fields of all other types hold text.
FITS: dict[str, Callable[[object], bool]] = {
    "json": lambda value: True,
    "boolean": lambda value: isinstance(value, bool),
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "float": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "timestamp": _is_moment,
    "uuid": _is_uuid,
}
