"""Serve device tokens with their values, since clients use the first one.

A caller never sees a token with more rights than its own: a read-only token sees the values of
read-only tokens only.
"""

from http import HTTPStatus
from typing import Literal

import psycopg
from ninja import Router
from psycopg import sql
from pydantic import Field

from backups_portal.lib.json_types import JsonObject
from backups_portal.projectdb.record_writer import UnknownDeviceError
from backups_portal.projectdb.tokens import TokenGrant, create_token, reveal
from backups_portal.tagoio_api.auth.project_token_auth import ApiRequest, Caller, profile
from backups_portal.tagoio_api.data.device_data import find_device
from backups_portal.tagoio_api.envelope import ApiError
from backups_portal.tagoio_api.openapi import LIST
from backups_portal.tagoio_api.requests import query_strings
from backups_portal.tagoio_api.requests.json_bodies import Body
from backups_portal.tagoio_api.requests.time_expressions import NEVER, parse_expiry
from backups_portal.tagoio_api.resources.resource_kinds import Kind, Row
from backups_portal.tagoio_api.resources.resource_list import asked_fields, list_resources, only


def _shape(row: Row) -> Row:
    if "expire_time" in row:
        row["expire_time"] = row["expire_time"] or NEVER
    return {"tags": [], **row}


TOKEN = Kind(
    title="Token",
    table="token",
    created="token",
    listed=("name", "token", "permission"),
    order="created_at",
    names={
        "sealed_value": "token",
        "expires_at": "expire_time",
        "last_used_at": "last_authorization",
    },
    hidden=frozenset({"kind", "analysis_id"}),
    unkept=("sealed_value", "last_used_at"),
    shape=_shape,
)


class NewDeviceToken(Body):
    """A token to create for a device."""

    device: str
    name: str = Field("Token", max_length=200)
    permission: Literal["full", "read", "write"] | None = None
    expire_time: str | int | None = NEVER
    serie_number: str | None = Field(None, max_length=200)


router = Router(tags=["Device tokens"])


@router.get(
    "/device/token/{value}", auth=profile, summary="List tokens of a device", openapi_extra=LIST
)
def list_(request: ApiRequest, value: str) -> list[Row]:
    """List the tokens of a device with their values, newest first."""
    find_device(request.auth, value, [])
    query = query_strings.query_of(request)
    query = {"orderBy": "created_at,desc", **query}
    condition = (sql.SQL("device_id = %s"), [value])
    fields = asked_fields(TOKEN, query)
    rows = list_resources(
        request.auth.connection, TOKEN, {**query, "fields": [*fields, "permission"]}, condition
    )
    return [only(_revealed(row, request.auth), fields) for row in rows]


def _revealed(row: Row, caller: Caller) -> Row:
    if "token" not in row:
        return row
    is_shown = caller.covers(row["permission"])
    prefix, keys = caller.project.prefix, caller.keys
    return {**row, "token": reveal(row["token"], prefix, keys=keys) if is_shown else ""}


@router.post("/device/token", auth=profile, summary="Create a token of a device")
def create(request: ApiRequest, body: NewDeviceToken) -> JsonObject:
    """Make a token of a device; it may do what the caller may by default."""
    permission = body.permission or request.auth.token.permission
    if not request.auth.covers(permission):
        raise ApiError(
            "This token cannot make one that may do more than itself", HTTPStatus.FORBIDDEN
        )
    expires_at = parse_expiry(body.expire_time)
    try:
        token = create_token(
            request.auth.connection,
            TokenGrant(
                "device",
                name=body.name,
                device_id=body.device,
                permission=permission,
                serie_number=body.serie_number,
                expires_at=expires_at,
            ),
            keys=request.auth.keys,
        )
    except psycopg.errors.IntegrityError as error:
        raise UnknownDeviceError(body.device) from error
    expiry = expires_at or NEVER
    return {
        "token": token.value,
        "permission": permission,
        # The SDK's types and the documentation use different names for it.
        "expire_date": expiry,
        "expire_time": expiry,
    }


@router.delete("/device/token/{value}", auth=profile, summary="Delete a token of a device")
def delete(request: ApiRequest, value: str) -> str:
    """Delete a token by its value; it stops working at once."""
    statement = "DELETE FROM token WHERE hash = %s AND kind = 'device'"
    request.auth.change("Token", statement, [request.auth.keys.digest(value)])
    return "Token Successfully Removed"
