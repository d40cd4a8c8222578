"""Serve configuration parameters of devices."""

import psycopg
from ninja import Router
from psycopg.rows import dict_row
from pydantic import BaseModel, Field, field_validator

from backups_portal.projectdb.devices import set_parameters
from backups_portal.projectdb.record_writer import UnknownDeviceError
from backups_portal.tagoio_api.auth.project_token_auth import ApiRequest, device, profile
from backups_portal.tagoio_api.data.device_data import find_device
from backups_portal.tagoio_api.envelope import ApiError
from backups_portal.tagoio_api.openapi import SENT
from backups_portal.tagoio_api.requests import query_strings
from backups_portal.tagoio_api.resources.crud import REMOVED
from backups_portal.tagoio_api.resources.resource_kinds import Row
from backups_portal.ui.curl_examples import example

UPDATED = "Params Successfully Updated"


class Parameter(BaseModel):
    """A key and a value for a device; `sent` is true once it has read them."""

    id: str | None = None
    key: str | None = Field(None, max_length=1000)
    value: str | None = None
    sent: bool | None = None

    @field_validator("value", mode="before")
    @classmethod
    def _as_text(cls, value: object) -> object:
        """Convert numbers and booleans to text, because scripts send them, too."""
        if isinstance(value, bool):
            return str(value).lower()
        return str(value) if isinstance(value, int | float) else value


class NewParameter(Parameter):
    """A parameter that comes with a new device."""

    key: str = Field(max_length=1000)
    value: str


class Sent(BaseModel):
    """Whether the device has read the parameter; no body, as the Python SDK sends, means yes."""

    sent: bool = True


router = Router(tags=["Configuration parameters"])


@router.get(
    "/device/params", auth=device, summary="List parameters of this device", openapi_extra=SENT
)
def list_own(request: ApiRequest) -> list[Row]:
    """List the parameters of the token's device."""
    return _list(request, request.auth.device_id)


@router.put("/device/params/{parameter_id}", auth=device, summary="Mark a parameter as read")
def mark(request: ApiRequest, parameter_id: str, body: Sent | None = None) -> str:
    """Mark a parameter as read by the device."""
    request.auth.change(
        "Parameter",
        "UPDATE device_parameter SET sent = %s WHERE id = %s AND device_id = %s",
        [body is None or body.sent, parameter_id, request.auth.device_id],
    )
    return UPDATED


@router.get(
    "/device/{device_id}/params",
    auth=profile,
    summary="List parameters of a device",
    openapi_extra=SENT,
)
def list_(request: ApiRequest, device_id: str) -> list[Row]:
    """List the parameters of any device of the project."""
    find_device(request.auth, device_id, [])
    return _list(request, device_id)


@router.post(
    "/device/{device_id}/params",
    auth=profile,
    summary="Set parameters",
    openapi_extra=example({"key": "interval", "value": "60"}),
)
def set_(request: ApiRequest, device_id: str, body: Parameter | list[Parameter]) -> str:
    """Change the parameter of this id; without an id, add one."""
    given = [item.model_dump() for item in (body if isinstance(body, list) else [body])]
    if not given:
        find_device(request.auth, device_id, [])
    try:
        set_parameters(request.auth.connection, device_id=device_id, parameters=given)
    except psycopg.errors.ForeignKeyViolation as error:
        raise UnknownDeviceError(device_id) from error
    except psycopg.errors.NotNullViolation as error:
        raise ApiError("A new parameter needs a key and a value") from error
    return UPDATED


@router.delete(
    "/device/{device_id}/params/{parameter_id}", auth=profile, summary="Delete a parameter"
)
def delete(request: ApiRequest, device_id: str, parameter_id: str) -> str:
    """Delete a parameter of this device."""
    statement = "DELETE FROM device_parameter WHERE id = %s AND device_id = %s"
    request.auth.change("Parameter", statement, [parameter_id, device_id])
    return REMOVED


def _list(request: ApiRequest, device_id: str) -> list[Row]:
    asked = query_strings.query_of(request)
    sent = query_strings.flag(asked.get("sent_status"), "sent_status")
    with request.auth.connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(
            """SELECT id, key, value, sent FROM device_parameter
               WHERE device_id = %s AND (%s::boolean IS NULL OR sent = %s) ORDER BY id""",
            [device_id, sent, sent],
        ).fetchall()
