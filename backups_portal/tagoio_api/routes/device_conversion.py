"""Convert devices from one type to another."""

from typing import Literal

from ninja import Router
from pydantic import Field

from backups_portal.projectdb.devices import ConversionError, convert_device
from backups_portal.tagoio_api.auth.project_token_auth import ApiRequest, profile
from backups_portal.tagoio_api.data.device_data import find_device
from backups_portal.tagoio_api.envelope import ApiError
from backups_portal.tagoio_api.requests.json_bodies import Body
from backups_portal.tagoio_api.resources.resource_kinds import Row
from backups_portal.tagoio_api.routes.devices import Period, check_retention

router = Router(tags=["Devices"])


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
        convert_device(
            request.auth.connection,
            device_id,
            type=body.type,
            chunk_period=body.chunk_period if immutable else None,
            chunk_retention=body.chunk_retention if immutable else None,
        )
    except ConversionError as error:
        raise ApiError(str(error)) from error
    return "Device type/chunk was converted"


@router.get("/device/{device_id}/statistics", auth=profile, summary="Read the usage of a device")
def statistics(request: ApiRequest, device_id: str) -> list[Row]:
    """Return nothing: use is not counted here."""
    find_device(request.auth, device_id, [])
    return []
