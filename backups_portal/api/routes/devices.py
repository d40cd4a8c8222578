"""Devices: listed, made with a token, read, edited, deleted with all that is their own."""

from typing import Any

import psycopg
from ninja import Router
from psycopg import sql
from pydantic import Field, field_validator

from backups_portal.api import queries
from backups_portal.api.bodies import Body, Named, Renamed
from backups_portal.api.crud import Doing, add_routes, edit_resource, folded, read_resource
from backups_portal.api.data import unknown_device
from backups_portal.api.envelope import ApiError, NotFoundError
from backups_portal.api.identity import Caller
from backups_portal.api.kinds import ID, TEXT, Kind, Row
from backups_portal.api.listing import Condition, list_resources
from backups_portal.api.routes.parameters import NewParameter
from backups_portal.projectdb import devices
from backups_portal.projectdb.variables import UnknownDeviceError

# Where a client names none: those that every project knows, see publics.py.
DEFAULT_NETWORK = "5bbd0d144051a50034cd19fb"
DEFAULT_CONNECTOR = "5f5a8f3351d4db99c40dece5"
PROTECTION = "_delete_protection_"
PERIODS = "^(day|week|month|quarter)$"
RESOURCE_ID = "^[0-9a-f]{24}$"


def _shape(row: Row) -> Row:
    """What both a list and a reading say of a device, as far as it was asked for."""
    return {**row, "bucket": row["id"]} if "id" in row else row


DEVICE = Kind(
    title="Device",
    table="device",
    created="device_id",
    names={"network_id": "network", "connector_id": "connector"},
    filters={"type": TEXT, "network": ID, "connector": ID},
    shape=_shape,
)


class _Settings(Body):
    description: str | None = Field(None, max_length=10_000)
    active: bool | None = None
    visible: bool | None = None
    network: str | None = Field(None, pattern=RESOURCE_ID)
    connector: str | None = Field(None, pattern=RESOURCE_ID)
    chunk_retention: int | None = Field(None, ge=0, le=36)


class NewDevice(Named, _Settings):
    """A device to make."""

    type: str = Field("mutable", pattern="^(mutable|immutable|hybrid|legacy)$")
    chunk_period: str | None = Field(None, pattern=PERIODS)
    serie_number: str | None = Field(None, max_length=200)
    configuration_params: list[NewParameter] = []

    @field_validator("type")
    @classmethod
    def _as_kept(cls, value: str) -> str:
        """Hybrid and legacy devices are kept as mutable ones."""
        return "immutable" if value == "immutable" else "mutable"


class DeviceChanges(Renamed, _Settings):
    """What an edit of a device may name; its type and chunk period stay."""

    clearable = frozenset({"description", "network", "connector"})


# In a complete object that a client sends back, what an edit leaves alone.
FIXED = ("type", "chunk_period", "serie_number", "configuration_params")


def create(caller: Caller, values: dict[str, Any]) -> dict[str, str]:
    """Make a device; an immutable one needs its chunks described."""
    values = {"network": DEFAULT_NETWORK, "connector": DEFAULT_CONNECTOR, **values}
    parameters = values.pop("configuration_params", [])
    serie_number = values.pop("serie_number", None)
    try:
        device_id, token = devices.create_device(
            caller.connection,
            keys=caller.keys,
            parameters=parameters,
            serie_number=serie_number,
            **folded(DEVICE, values),
        )
    except psycopg.errors.CheckViolation as error:
        raise ApiError("chunk_period and chunk_retention are required") from error
    return {"device_id": device_id, "bucket_id": device_id, "token": token.value}


def list_(caller: Caller, query: queries.Parsed) -> list[Row]:
    """A page of devices; `serial` finds the one whose token has this serial number."""
    also: list[Condition] = []
    if serial := queries.text(query.get("serial")):
        statement = "id IN (SELECT device_id FROM token WHERE serie_number = %s)"
        also.append((sql.SQL(statement), [serial]))
    return list_resources(caller.connection, DEVICE, query, *also)


def read(caller: Caller, device_id: str) -> Row:
    """Everything about a device but its tokens."""
    try:
        row = read_resource(caller, DEVICE, device_id)
    except NotFoundError as error:
        raise unknown_device() from error
    return {**row, "bucket": {"id": row["id"], "name": row["name"]}}


def edit(caller: Caller, device_id: str, values: dict[str, Any]) -> None:
    """Change what may be changed."""
    changes = {key: value for key, value in values.items() if key not in FIXED}
    try:
        edit_resource(caller, DEVICE, device_id, changes)
    except NotFoundError as error:
        raise unknown_device() from error


def delete(caller: Caller, device_id: str) -> None:
    """Delete a device, unless a tag protects it."""
    row = caller.connection.execute(
        """SELECT tag->>'value' FROM device, jsonb_array_elements(tags) AS tag
           WHERE id = %s AND tag->>'key' = %s""",
        [device_id, PROTECTION],
    ).fetchone()
    if row:
        raise ApiError(row[0] or "The device is protected from deletion")
    try:
        devices.delete_device(caller.connection, device_id)
    except UnknownDeviceError as error:
        raise unknown_device() from error


router = Router(tags=["Devices"])
add_routes(
    router,
    DEVICE,
    "/device",
    body=NewDevice,
    changes=DeviceChanges,
    doing=Doing(list=list_, create=create, read=read, edit=edit, delete=delete),
)
