"""Tokens of devices. A list shows their values: clients take the first one to talk to a device.

What a token may do, no token that it is shown may do more: one that only reads sees the values of
those that only read.
"""

from typing import Any

import psycopg
from ninja import Router
from psycopg import sql
from pydantic import BaseModel, Field

from backups_portal.api import queries
from backups_portal.api.data import find_device, unknown_device
from backups_portal.api.envelope import NotFoundError
from backups_portal.api.identity import ApiRequest, profile
from backups_portal.api.kinds import Kind, Row
from backups_portal.api.listing import asked_fields, list_resources, only
from backups_portal.api.moments import parse_expiry
from backups_portal.api.openapi import LIST
from backups_portal.projectdb.tokens import create_token, reveal
from backups_portal.projects.connections import keyring

NEVER = "never"


def _shape(row: Row) -> Row:
    if "token" in row:
        row["token"] = reveal(row["token"], keys=keyring())
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


class NewToken(BaseModel):
    """A token to make for a device."""

    device: str
    name: str = Field("Token", max_length=200)
    permission: str = Field("full", pattern="^(full|read|write)$")
    expire_time: str | int | None = NEVER
    serie_number: str | None = Field(None, max_length=200)


router = Router(tags=["Device tokens"])


@router.get("/device/token/{value}", auth=profile, summary="List", openapi_extra=LIST)
def list_(request: ApiRequest, value: str) -> list[Row]:
    """The tokens of the device with this id, with their values, newest first."""
    find_device(request.auth, value, [])
    query = queries.parse_query(request.META["QUERY_STRING"])
    query = {"orderBy": "created_at,desc", **query}
    condition = (sql.SQL("device_id = %s"), [value])
    fields = asked_fields(TOKEN, query)
    rows = list_resources(
        request.auth.connection, TOKEN, {**query, "fields": [*fields, "permission"]}, condition
    )
    return [only(_veiled(row, request.auth.token.permission), fields) for row in rows]


def _veiled(row: Row, permission: str) -> Row:
    hides = permission != "full" and row["permission"] != permission
    return {**row, "token": ""} if hides and "token" in row else row


@router.post("/device/token", auth=profile, summary="Create")
def create(request: ApiRequest, body: NewToken) -> dict[str, Any]:
    """A further token of a device."""
    expires_at = parse_expiry(body.expire_time)
    try:
        token = create_token(
            request.auth.connection,
            keys=request.auth.keys,
            kind="device",
            name=body.name,
            device_id=body.device,
            permission=body.permission,
            serie_number=body.serie_number,
            expires_at=expires_at,
        )
    except psycopg.errors.IntegrityError as error:
        raise unknown_device() from error
    expiry = expires_at or NEVER
    return {
        "token": token.value,
        "permission": body.permission,
        # The SDK's types and the documentation call it differently.
        "expire_date": expiry,
        "expire_time": expiry,
    }


@router.delete("/device/token/{value}", auth=profile, summary="Delete")
def delete(request: ApiRequest, value: str) -> str:
    """Named by its value; it stops working at once."""
    found = request.auth.connection.execute(
        "DELETE FROM token WHERE hash = %s AND kind = 'device'", [request.auth.keys.digest(value)]
    )
    if not found.rowcount:
        raise NotFoundError("Token")
    return "Token Successfully Removed"
