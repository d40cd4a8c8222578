"""Serve the routes that all kinds of resources share.

A kind without special behaviour is a row of the table in routes/plain_kinds.py.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
from ninja import Router
from psycopg import sql
from psycopg.rows import dict_row

from backups_portal.projectdb.catalogue import BY_NAME
from backups_portal.projectdb.resource_writer import create, edit, fold
from backups_portal.tagoio_api.auth.project_token_auth import ApiRequest, Caller, profile
from backups_portal.tagoio_api.envelope import ApiError
from backups_portal.tagoio_api.openapi import FIELDS, LIST
from backups_portal.tagoio_api.requests.json_bodies import Body
from backups_portal.tagoio_api.requests.query_strings import Parsed, query_of, texts
from backups_portal.tagoio_api.resources.resource_kinds import Kind, Row
from backups_portal.tagoio_api.resources.resource_list import list_resources, only, with_public

UPDATED = "Successfully Updated"
REMOVED = "Successfully Removed"
# An alias, because a field below is named `list`.
Rows = list[Row]


@dataclass(frozen=True)
class Overrides:
    """Overrides for the routes of one kind; None means the default behaviour."""

    list: Callable[[Caller, Parsed], Rows] | None = None
    create: Callable[[Caller, Row], Row] | None = None
    read: Callable[[Caller, str], Row] | None = None
    edit: Callable[[Caller, str, Row], None] | None = None
    delete: Callable[[Caller, str], None] | None = None
    updated: str = UPDATED
    removed: str = REMOVED


def read_resource(caller: Caller, kind: Kind, resource_id: str) -> Row:
    """Read a complete object.

    Raises:
        ApiError: the project has no such object.
    """
    if kind.public and resource_id == kind.public["id"]:
        return kind.public
    statement = sql.SQL("SELECT {} FROM {} WHERE id = %s").format(
        sql.SQL(", ").join(map(sql.Identifier, kind.columns)), sql.Identifier(kind.table)
    )
    with caller.connection.cursor(row_factory=dict_row) as cursor:
        row = cursor.execute(statement, [resource_id]).fetchone()
    if row is None:
        raise kind.not_found
    return kind.show(row)


def create_resource(caller: Caller, kind: Kind, values: Row) -> Row:
    """Store a client's object; return the answer with its new id."""
    return {kind.created: create(caller.connection, kind.table, **folded(kind, values))}


def edit_resource(caller: Caller, kind: Kind, resource_id: str, values: Row) -> None:
    """Change the fields of an object that a client sent.

    Raises:
        ApiError: the project has no such object.
    """
    if not edit(caller.connection, kind.table, resource_id, **folded(kind, values)):
        raise kind.not_found


def delete_resource(caller: Caller, kind: Kind, resource_id: str) -> None:
    """Delete an object with everything that depends on it.

    Raises:
        ApiError: the project has no such object.
    """
    statement = sql.SQL("DELETE FROM {} WHERE id = %s").format(sql.Identifier(kind.table))
    if not caller.connection.execute(statement, [resource_id]).rowcount:
        raise kind.not_found


def folded(kind: Kind, values: Row) -> Row:
    """Turn a client's object into columns and settings; drop the rest."""
    return fold(kind.table, {kind.column(key): value for key, value in values.items()})


@contextmanager
def _conflict_explained(kind: Kind, values: Row) -> Iterator[None]:
    try:
        yield
    except psycopg.errors.UniqueViolation as error:
        if not kind.taken:
            raise
        raise ApiError(kind.taken.format(**values)) from error


def add_routes(
    router: Router,
    kind: Kind,
    path: str,
    *,
    body: type[Body],
    changes: type[Body],
    overrides: Overrides | None = None,
) -> None:
    """Give a router the five routes of a kind.

    Args:
        path: The path of the collection; an object's id is appended to it.
        body: The schema of a creation.
        changes: The schema of an edit.
        overrides: What differs from the default behaviour.
    """
    overrides = overrides or Overrides()
    do_create = overrides.create or (lambda caller, values: create_resource(caller, kind, values))
    do_read = overrides.read or (lambda caller, known: read_resource(caller, kind, known))
    do_edit = overrides.edit or (lambda caller, known, new: edit_resource(caller, kind, known, new))
    do_delete = overrides.delete or (lambda caller, known: delete_resource(caller, kind, known))
    do_list = overrides.list or (
        lambda caller, query: list_resources(caller.connection, kind, query)
    )

    def list_(request: ApiRequest) -> Rows:
        query = query_of(request)
        return with_public(kind, query, do_list(request.auth, query))

    def create_(request: ApiRequest, body: Body) -> Row:
        values = body.given()
        with _conflict_explained(kind, values):
            return do_create(request.auth, values)

    def read_(request: ApiRequest, resource_id: str) -> Row:
        fields = texts(query_of(request).get("fields"))
        found = do_read(request.auth, resource_id)
        shown = {"profile": request.auth.project.profile_id, **found}
        return only(shown, ["id", "tags", *fields]) if fields else shown

    def edit_(request: ApiRequest, resource_id: str, body: Body) -> str:
        values = body.given()
        with _conflict_explained(kind, values):
            do_edit(request.auth, resource_id, values)
        return overrides.updated

    def delete_(request: ApiRequest, resource_id: str) -> str:
        do_delete(request.auth, resource_id)
        return overrides.removed

    # Ninja reads annotations, and the class of the body is known only here.
    create_.__annotations__["body"], edit_.__annotations__["body"] = body, changes
    one, noun = f"{path}/{{resource_id}}", kind.table.replace("_", " ")
    name = kind.title.lower().replace(" ", "_")
    for method, address, view, verb, what, extra in (
        ("GET", path, list_, "List", BY_NAME[kind.table].label, LIST),
        ("POST", path, create_, "Create", noun, None),
        ("GET", one, read_, "Read", noun, FIELDS),
        ("PUT", one, edit_, "Edit", noun, None),
        ("DELETE", one, delete_, "Delete", noun, None),
    ):
        router.add_api_operation(
            address,
            [method],
            view,
            auth=profile,
            operation_id=f"{verb.lower()}_{name}",
            summary=f"{verb} {what}",
            openapi_extra=extra,
        )
