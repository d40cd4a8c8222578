"""What a device is: changed from one type into another, and how much it is used."""

from typing import Literal

from ninja import Router
from pydantic import Field

from backups_portal.api.bodies import Body
from backups_portal.api.data import find_device, unknown_device
from backups_portal.api.envelope import ApiError
from backups_portal.api.identity import ApiRequest, profile
from backups_portal.api.kinds import Row
from backups_portal.api.routes.devices import PERIODS
from backups_portal.projectdb.devices import ConversionError, convert_device
from backups_portal.projectdb.variables import UnknownDeviceError

router = Router(tags=["Devices"])


class NewType(Body):
    """What a device is to be; an immutable one needs its chunks described."""

    type: Literal["mutable", "immutable"]
    chunk_period: str | None = Field(None, pattern=PERIODS)
    chunk_retention: int | None = Field(None, ge=0, le=36)


@router.post("/device/{device_id}/convert", auth=profile, summary="Convert a device")
def convert(request: ApiRequest, device_id: str, body: NewType) -> str:
    """Of a device that is switched off and has no data."""
    immutable = body.type == "immutable"
    if immutable and (body.chunk_period is None or body.chunk_retention is None):
        raise ApiError("chunk_period and chunk_retention are required")
    try:
        convert_device(
            request.auth.connection,
            device_id,
            type=body.type,
            chunk_period=body.chunk_period if immutable else None,
            chunk_retention=body.chunk_retention if immutable else None,
        )
    except UnknownDeviceError as error:
        raise unknown_device() from error
    except ConversionError as error:
        raise ApiError(str(error)) from error
    return "Device type/chunk was converted"


@router.get("/device/{device_id}/statistics", auth=profile, summary="Use of a device")
def statistics(request: ApiRequest, device_id: str) -> list[Row]:
    """Use is not counted here."""
    find_device(request.auth, device_id, [])
    return []
