"""Routes that all kinds of resources have alike: list, create, read, edit, delete.

A kind with nothing special is a `Kind`, a body and one call; see routes/networks.py.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ninja import Router
from psycopg import sql
from psycopg.rows import dict_row

from backups_portal.api import queries
from backups_portal.api.bodies import Body
from backups_portal.api.envelope import NotFoundError
from backups_portal.api.identity import ApiRequest, Caller, profile
from backups_portal.api.kinds import Kind, Row
from backups_portal.api.listing import list_resources, only
from backups_portal.api.openapi import FIELDS, LIST
from backups_portal.projectdb.resources import create, edit, fold

UPDATED = "Successfully Updated"
REMOVED = "Successfully Removed"
# Not spelt out below, where `list` is the name of a field.
Rows = list[Row]


@dataclass(frozen=True)
class Doing:
    """What the routes of a kind do where storing the object is not all; None: the usual."""

    list: Callable[[Caller, queries.Parsed], Rows] | None = None
    create: Callable[[Caller, dict[str, Any]], Any] | None = None
    read: Callable[[Caller, str], Row] | None = None
    edit: Callable[[Caller, str, dict[str, Any]], None] | None = None
    delete: Callable[[Caller, str], None] | None = None
    updated: str = UPDATED
    removed: str = REMOVED


USUAL = Doing()


def read_resource(caller: Caller, kind: Kind, resource_id: str) -> Row:
    """The complete object.

    Raises:
        NotFoundError: the project has none with this id.
    """
    statement = sql.SQL("SELECT {} FROM {} WHERE id = %s").format(
        sql.SQL(", ").join(map(sql.Identifier, kind.columns)), sql.Identifier(kind.table)
    )
    with caller.connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(statement, [resource_id]).fetchone()
    if row is None:
        raise NotFoundError(kind.title)
    return kind.show(row)


def create_resource(caller: Caller, kind: Kind, values: dict[str, Any]) -> dict[str, str]:
    """Store a client's object; the answer to its creation."""
    return {kind.created: create(caller.connection, kind.table, **folded(kind, values))}


def edit_resource(caller: Caller, kind: Kind, resource_id: str, values: dict[str, Any]) -> None:
    """Change what a client names of an object.

    Raises:
        NotFoundError: the project has none with this id.
    """
    if not edit(caller.connection, kind.table, resource_id, **folded(kind, values)):
        raise NotFoundError(kind.title)


def delete_resource(caller: Caller, kind: Kind, resource_id: str) -> None:
    """Delete an object with all that hangs on it.

    Raises:
        NotFoundError: the project has none with this id.
    """
    statement = sql.SQL("DELETE FROM {} WHERE id = %s").format(sql.Identifier(kind.table))
    if not caller.connection.execute(statement, [resource_id]).rowcount:
        raise NotFoundError(kind.title)


def folded(kind: Kind, values: dict[str, Any]) -> dict[str, Any]:
    """A client's object as columns; `profile`, tokens and what else is ours is left out."""
    mine = {key: value for key, value in values.items() if key not in OURS}
    return fold(kind.table, {kind.column(key): value for key, value in mine.items()})


# Keys that clients read from one project and send to another, where they mean nothing.
OURS = frozenset({"profile", "token", "bucket"})


def add_routes(
    router: Router,
    kind: Kind,
    path: str,
    *,
    body: type[Body],
    changes: type[Body],
    doing: Doing = USUAL,
) -> None:
    """Give a router the five routes of a kind.

    Args:
        path: Of the collection; one object is behind its id.
        body: What a creation takes.
        changes: What an edit takes.
        doing: What is special about this kind.
    """
    one = f"{path}/{{resource_id}}"

    def list_(request: ApiRequest) -> list[Row]:
        query = queries.parse_query(request.META["QUERY_STRING"])
        if doing.list:
            return doing.list(request.auth, query)
        return list_resources(request.auth.connection, kind, query)

    def create_(request: ApiRequest, body: body) -> Any:  # type: ignore[valid-type]
        values = body.given()  # type: ignore[attr-defined]
        if doing.create:
            return doing.create(request.auth, values)
        return create_resource(request.auth, kind, values)

    def read_(request: ApiRequest, resource_id: str) -> Row:
        query = queries.parse_query(request.META["QUERY_STRING"])
        read = doing.read or (lambda caller, known: read_resource(caller, kind, known))
        shown = {"profile": request.auth.project.profile_id, **read(request.auth, resource_id)}
        fields = queries.texts(query.get("fields"))
        return only(shown, ["id", "tags", *fields]) if fields else shown

    def edit_(request: ApiRequest, resource_id: str, body: changes) -> str:  # type: ignore[valid-type]
        values = body.given()  # type: ignore[attr-defined]
        if doing.edit:
            doing.edit(request.auth, resource_id, values)
        else:
            edit_resource(request.auth, kind, resource_id, values)
        return doing.updated

    def delete_(request: ApiRequest, resource_id: str) -> str:
        if doing.delete:
            doing.delete(request.auth, resource_id)
        else:
            delete_resource(request.auth, kind, resource_id)
        return doing.removed

    name = kind.title.lower().replace(" ", "_")
    add = router.add_api_operation
    for method, address, view, verb, extra in (
        ("GET", path, list_, "List", LIST),
        ("POST", path, create_, "Create", None),
        ("GET", one, read_, "Read", FIELDS),
        ("PUT", one, edit_, "Edit", None),
        ("DELETE", one, delete_, "Delete", None),
    ):
        add(
            address,
            [method],
            view,
            auth=profile,
            operation_id=f"{verb.lower()}_{name}",
            summary=f"{verb} {kind.title}",
            openapi_extra=extra,
        )
