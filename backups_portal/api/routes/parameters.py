"""Configuration parameters of devices."""

from typing import Any

import psycopg
from ninja import Router
from pydantic import BaseModel, Field, field_validator

from backups_portal.api import queries
from backups_portal.api.crud import REMOVED
from backups_portal.api.data import find_device, unknown_device
from backups_portal.api.envelope import ApiError, NotFoundError
from backups_portal.api.identity import ApiRequest, Caller, device, profile
from backups_portal.api.kinds import Row
from backups_portal.api.openapi import SENT
from backups_portal.projectdb.devices import set_parameters

UPDATED = "Params Successfully Updated"


class Parameter(BaseModel):
    """A key and a value that a device asks for; `sent` says that it has."""

    id: str | None = None
    key: str | None = Field(None, max_length=1000)
    value: str | None = None
    sent: bool | None = None

    @field_validator("value", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        """Scripts send numbers and booleans, too."""
        if isinstance(value, bool):
            return str(value).lower()
        return str(value) if isinstance(value, int | float) else value


class NewParameter(Parameter):
    """A parameter that comes with a new device."""

    key: str = Field(max_length=1000)
    value: str


class Sent(BaseModel):
    """Whether the device has read the parameter; the Python SDK sends no body, and means yes."""

    sent: bool = True


router = Router(tags=["Configuration parameters"])


@router.get("/device/params", auth=device, summary="Parameters", openapi_extra=SENT)
def list_own(request: ApiRequest) -> list[Row]:
    """Those of the device that the token is of."""
    return _list(request, request.auth.device_id)


@router.put("/device/params/{parameter_id}", auth=device, summary="Mark a parameter as read")
def mark(request: ApiRequest, parameter_id: str, body: Sent | None = None) -> str:
    """The device says that it has read it."""
    found = request.auth.connection.execute(
        "UPDATE device_parameter SET sent = %s WHERE id = %s AND device_id = %s",
        [body is None or body.sent, parameter_id, request.auth.device_id],
    )
    if not found.rowcount:
        raise NotFoundError("Parameter")
    return UPDATED


@router.get("/device/{device_id}/params", auth=profile, summary="Parameters", openapi_extra=SENT)
def list_(request: ApiRequest, device_id: str) -> list[Row]:
    """Those of any device of the project."""
    find_device(request.auth, device_id, [])
    return _list(request, device_id)


@router.post("/device/{device_id}/params", auth=profile, summary="Set parameters")
def set_(request: ApiRequest, device_id: str, body: Parameter | list[Parameter]) -> str:
    """With the id of one, that one is changed; without, one is added."""
    given = body if isinstance(body, list) else [body]
    _set(request.auth, device_id, [item.model_dump() for item in given])
    return UPDATED


@router.delete("/device/{device_id}/params/{parameter_id}", auth=profile, summary="Delete one")
def delete(request: ApiRequest, device_id: str, parameter_id: str) -> str:
    """A parameter of this device."""
    found = request.auth.connection.execute(
        "DELETE FROM device_parameter WHERE id = %s AND device_id = %s", [parameter_id, device_id]
    )
    if not found.rowcount:
        raise NotFoundError("Parameter")
    return REMOVED


def _set(caller: Caller, device_id: str, given: list[dict[str, Any]]) -> None:
    if not given:
        find_device(caller, device_id, [])
    try:
        set_parameters(caller.connection, device_id=device_id, parameters=given)
    except psycopg.errors.ForeignKeyViolation as error:
        raise unknown_device() from error
    except psycopg.errors.NotNullViolation as error:
        raise ApiError("A new parameter needs a key and a value") from error


def _list(request: ApiRequest, device_id: str) -> list[Row]:
    asked = queries.parse_query(request.META["QUERY_STRING"])
    sent = queries.flag(asked.get("sent_status"), "sent_status")
    rows = request.auth.connection.execute(
        """SELECT id, key, value, sent FROM device_parameter
           WHERE device_id = %s AND (%s::boolean IS NULL OR sent = %s) ORDER BY id""",
        [device_id, sent, sent],
    )
    return [dict(zip(("id", "key", "value", "sent"), row, strict=True)) for row in rows]
