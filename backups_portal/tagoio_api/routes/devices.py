"""Serve devices, created with a token and deleted with all their data."""

from typing import Literal

import psycopg
from ninja import Router
from psycopg import sql
from pydantic import Field, field_validator

from backups_portal.lib.json_types import JsonObject
from backups_portal.projectdb import devices
from backups_portal.tagoio_api.auth.project_token_auth import ApiRequest, Caller, profile
from backups_portal.tagoio_api.data.device_data import UNKNOWN, find_device
from backups_portal.tagoio_api.envelope import ApiError
from backups_portal.tagoio_api.requests import query_strings
from backups_portal.tagoio_api.requests.json_bodies import Body, Named, ResourceId, changes_of
from backups_portal.tagoio_api.resources.crud import (
    Overrides,
    add_routes,
    edit_resource,
    folded,
    read_resource,
)
from backups_portal.tagoio_api.resources.resource_kinds import ID, TEXT, Kind, Row
from backups_portal.tagoio_api.resources.resource_list import Condition, elements, list_resources
from backups_portal.tagoio_api.routes.parameters import NewParameter
from backups_portal.tagoio_api.routes.plain_kinds import PUBLIC_CONNECTOR, PUBLIC_NETWORK

PROTECTION = "_delete_protection_"
Period = Literal["day", "week", "month", "quarter"]
# The most chunks of each period that a device may keep.
MAX_CHUNKS = {"day": 31, "week": 26, "month": 36, "quarter": 36}


def _shape(row: Row) -> Row:
    """Add the bucket, which clients expect in every device."""
    return {**row, "bucket": row["id"]} if "id" in row else row


DEVICE = Kind(
    title="Device",
    table="device",
    created="device_id",
    names={"network_id": "network", "connector_id": "connector"},
    filters={"type": TEXT, "network": ID, "connector": ID},
    shape=_shape,
    missing=UNKNOWN,
)


class NewDevice(Named):
    """A device to create."""

    description: str | None = Field(None, max_length=10_000)
    active: bool | None = None
    visible: bool | None = None
    network: ResourceId | None = None
    connector: ResourceId | None = None
    chunk_retention: int | None = Field(None, ge=0, le=36)
    type: Literal["mutable", "immutable", "hybrid", "legacy"] = "mutable"
    chunk_period: Period | None = None
    serie_number: str | None = Field(None, max_length=200)
    configuration_params: list[NewParameter] = []

    @field_validator("type")
    @classmethod
    def _as_kept(cls, value: str) -> str:
        """Keep hybrid and legacy devices as mutable ones."""
        return "immutable" if value == "immutable" else "mutable"


# Fields that an edit ignores, because clients send complete objects back.
FIXED = ("type", "chunk_period", "serie_number", "configuration_params")
DeviceChanges = changes_of(
    NewDevice,
    "DeviceChanges",
    "The fields of a device to change; its type and chunk period stay.",
    clearable=("description", "network", "connector"),
    fixed=FIXED,
)


def create(caller: Caller, values: Row) -> Row:
    """Create a device; an immutable one needs its chunk period and retention."""
    check_retention(values.get("chunk_period"), values.get("chunk_retention"))
    values = {"network": PUBLIC_NETWORK["id"], "connector": PUBLIC_CONNECTOR["id"], **values}
    parameters = values.pop("configuration_params", [])
    serie_number = values.pop("serie_number", None)
    try:
        device_id, token = devices.create_device(
            caller.connection,
            keys=caller.keys,
            parameters=parameters,
            serie_number=serie_number,
            permission=caller.token.permission,
            **folded(DEVICE, values),
        )
    except psycopg.errors.CheckViolation as error:
        raise ApiError("chunk_period and chunk_retention are required") from error
    return {"device_id": device_id, "bucket_id": device_id, "token": token.value}


def check_retention(period: str | None, retention: int | None) -> None:
    """Raise ApiError if a retention exceeds the most chunks of its period."""
    most = MAX_CHUNKS.get(period or "", 36)
    if retention is not None and retention > most:
        raise ApiError(f"Chunk retention must be at most {most} where chunk period is {period}")


def list_(caller: Caller, query: query_strings.Parsed) -> list[Row]:
    """List a page of devices; `serial` finds one by a token's serial number."""
    also: list[Condition] = []
    if serial := query_strings.text(query.get("serial")):
        statement = "id IN (SELECT device_id FROM token WHERE serie_number = %s)"
        also.append((sql.SQL(statement), [serial]))
    return list_resources(caller.connection, DEVICE, query, *also)


def read(caller: Caller, device_id: str) -> Row:
    """Read everything about a device except its tokens."""
    row = read_resource(caller, DEVICE, device_id)
    return {**row, "bucket": {"id": row["id"], "name": row["name"]}}


def edit(caller: Caller, device_id: str, values: JsonObject) -> None:
    """Edit a device, ignoring the fixed fields."""
    changes = {key: value for key, value in values.items() if key not in FIXED}
    row = caller.connection.execute(
        "SELECT chunk_period FROM device WHERE id = %s", [device_id]
    ).fetchone()
    check_retention(row[0] if row else None, changes.get("chunk_retention"))
    edit_resource(caller, DEVICE, device_id, changes)


def delete(caller: Caller, device_id: str) -> None:
    """Delete a device, unless a tag protects it."""
    statement = "SELECT tag->>'value' FROM device, {} AS tag WHERE id = %s AND tag->>'key' = %s"
    row = caller.connection.execute(
        sql.SQL(statement).format(elements(sql.Identifier("tags"))), [device_id, PROTECTION]
    ).fetchone()
    if row:
        raise ApiError(row[0] or "The device is protected from deletion")
    devices.delete_device(caller.connection, device_id)


router = Router(tags=["Devices"])
add_routes(
    router,
    DEVICE,
    "/device",
    body=NewDevice,
    changes=DeviceChanges,
    overrides=Overrides(list=list_, create=create, read=read, edit=edit, delete=delete),
)


class NewType(Body):
    """The new type of a device; an immutable one needs a chunk period."""

    type: Literal["mutable", "immutable"]
    chunk_period: Period | None = None
    chunk_retention: int | None = Field(None, ge=0, le=36)


@router.post("/device/{device_id}/convert", auth=profile, summary="Convert a device")
def convert(request: ApiRequest, device_id: str, body: NewType) -> str:
    """Convert a device that is switched off and has no data."""
    immutable = body.type == "immutable"
    if immutable and (body.chunk_period is None or body.chunk_retention is None):
        raise ApiError("chunk_period and chunk_retention are required")
    check_retention(body.chunk_period, body.chunk_retention)
    try:
        devices.convert_device(
            request.auth.connection,
            device_id,
            type=body.type,
            chunk_period=body.chunk_period if immutable else None,
            chunk_retention=body.chunk_retention if immutable else None,
        )
    except devices.ConversionError as error:
        raise ApiError(str(error)) from error
    return "Device type/chunk was converted"


@router.get("/device/{device_id}/statistics", auth=profile, summary="Read the usage of a device")
def statistics(request: ApiRequest, device_id: str) -> list[Row]:
    """Return nothing: use is not counted here."""
    find_device(request.auth, device_id, [])
    return []
