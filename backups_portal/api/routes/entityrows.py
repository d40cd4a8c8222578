"""Rows of an entity."""

import uuid
from typing import Any

from ninja import Body, Router
from psycopg import sql
from psycopg.types.json import Jsonb

from backups_portal.api import queries
from backups_portal.api.crud import read_resource
from backups_portal.api.entityvalues import check_row
from backups_portal.api.envelope import ApiError
from backups_portal.api.identity import ApiRequest, Caller, profile, profile_deletes
from backups_portal.api.kinds import Row
from backups_portal.api.listing import MAX_AMOUNT, MAX_PAGE
from backups_portal.api.moments import parse_since
from backups_portal.api.routes.entities import ENTITY, OWN_FIELDS
from backups_portal.projectdb.entities import add_rows

DEFAULT_ROWS = 100
MOST_ROWS = 10_000

router = Router(tags=["Entities"], auth=profile)
ONE = "/entity/{entity_id}"
DATA = f"{ONE}/data"


@router.get(DATA, summary="Read the rows of an Entity")
def read_rows(request: ApiRequest, entity_id: str) -> list[Row]:
    """A page of rows, oldest first unless `order` says otherwise, with `filter[field]=value`."""
    query = queries.parse_query(request.META["QUERY_STRING"])
    read_resource(request.auth, ENTITY, entity_id)
    amount = queries.number(query.get("amount"), "amount", default=DEFAULT_ROWS, most=MAX_AMOUNT)
    page = max(1, queries.number(query.get("page"), "page", default=1, most=MAX_PAGE))
    skip = queries.number(
        query.get("skip"), "skip", default=(page - 1) * amount, most=MAX_PAGE * MAX_AMOUNT
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
        {**data, "id": row_id, "created_at": created_at, "updated_at": updated_at}
        for row_id, data, created_at, updated_at in rows
    ]


def _conditions(query: queries.Parsed) -> tuple[sql.Composable, list[Any]]:
    parts: list[sql.Composable] = [sql.SQL("true")]
    values: list[Any] = []
    asked = query.get("filter")
    for key, value in asked.items() if isinstance(asked, dict) else ():
        if isinstance(value, dict) and value.keys() & {"start", "end"}:
            for bound, sign in (("start", ">="), ("end", "<=")):
                if (text := queries.text(value.get(bound))) is not None:
                    parts.append(sql.SQL(f"{_column(key)} {sign} %s"))
                    values += [*_named(key), _bound(key, text)]
        else:
            parts.append(sql.SQL(f"({_column(key)})::text = ANY(%s)"))
            values += [*_named(key), queries.names(value)]
    return sql.SQL(" AND ").join(parts), values


def _bound(key: str, text: str) -> Any:
    return parse_since(text, key) if key in ("created_at", "updated_at") else text


def _column(key: str) -> str:
    return key if key in OWN_FIELDS else "data->>%s"


def _named(key: str) -> list[str]:
    return [] if key in OWN_FIELDS else [key]


def _order(query: queries.Parsed) -> tuple[sql.Composable, list[str]]:
    asked = query.get("order") or query.get("order_by") or query.get("orderBy")
    if isinstance(asked, dict):
        key, direction = next((str(k), str(queries.text(v))) for k, v in asked.items())
    else:
        key, _, direction = (queries.text(asked) or "").partition(",")
    way = "DESC" if direction.strip().lower() == "desc" else "ASC"
    if not key:
        return sql.SQL("created_at ASC"), []
    column = key if key in OWN_FIELDS else "data->%s"
    return sql.SQL(f"{column} {way}"), _named(key)


@router.post(DATA, summary="Add rows to an Entity")
def create_rows(
    request: ApiRequest,
    entity_id: str,
    rows: Any = Body(...),  # noqa: B008 - ninja's way to name a body
) -> str:
    """One row or a list of them: all are stored, or none."""
    caller = request.auth
    schema = read_resource(caller, ENTITY, entity_id)["schema"]
    checked = [check_row(schema, row, complete=True) for row in _listed(rows)]
    with caller.connection.transaction():
        add_rows(caller.connection, entity_id=entity_id, rows=checked)
    return f"{len(checked)} Data Added"


def _listed(rows: Any) -> list[Row]:
    found = rows if isinstance(rows, list) else [rows]
    if not all(isinstance(row, dict) for row in found):
        raise ApiError("A row must be an object")
    if len(found) > MOST_ROWS:
        raise ApiError(f"A request holds at most {MOST_ROWS} rows")
    return found


@router.put(DATA, summary="Edit rows of an Entity")
def edit_rows(
    request: ApiRequest,
    entity_id: str,
    rows: Any = Body(...),  # noqa: B008 - ninja's way to name a body
) -> str:
    """Each row names its id; fields that it does not name keep their values."""
    caller = request.auth
    schema = read_resource(caller, ENTITY, entity_id)["schema"]
    changes = [(_row_id(row), check_row(schema, row, complete=False)) for row in _listed(rows)]
    with caller.connection.transaction():
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


@router.delete(DATA, summary="Delete rows of an Entity")
def delete_rows(
    request: ApiRequest,
    entity_id: str,
    values: dict[str, Any] = Body(...),  # noqa: B008 - ninja's way to name a body
) -> str:
    """`{"ids": […]}`."""
    read_resource(request.auth, ENTITY, entity_id)
    asked = values.get("ids")
    ids = [_row_id({"id": one}) for one in (asked if isinstance(asked, list) else [])]
    deleted = request.auth.connection.execute(
        "DELETE FROM entity_record WHERE entity_id = %s AND id = ANY(%s)", [entity_id, ids]
    )
    return f"{deleted.rowcount} item(s) deleted"


@router.get(f"{ONE}/data_amount", summary="How many rows an Entity has")
def amount_of_rows(request: ApiRequest, entity_id: str) -> int:
    """0 included."""
    read_resource(request.auth, ENTITY, entity_id)
    row = request.auth.connection.execute(
        "SELECT count(*) FROM entity_record WHERE entity_id = %s", [entity_id]
    ).fetchone()
    return int(row[0]) if row else 0


@router.post(f"{ONE}/empty", auth=profile_deletes, summary="Delete all rows of an Entity")
def empty(request: ApiRequest, entity_id: str) -> Row:
    """Its fields stay."""
    read_resource(request.auth, ENTITY, entity_id)
    request.auth.connection.execute("DELETE FROM entity_record WHERE entity_id = %s", [entity_id])
    return {"message": "Data Successfully Removed"}
