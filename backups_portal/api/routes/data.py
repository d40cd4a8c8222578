"""The data of a device: with its own token, and with the profile's."""

from django.http import HttpResponse
from ninja import Router

from backups_portal.api import data
from backups_portal.api.data import find_device
from backups_portal.api.identity import ApiRequest, device, profile, profile_deletes
from backups_portal.api.openapi import DATA_QUERY, RECORDS
from backups_portal.projectdb import reading
from backups_portal.projectdb.selection import Selection

router = Router(tags=["Data"])


@router.get("/data", auth=device, summary="Read data", openapi_extra=DATA_QUERY)
def read_own(request: ApiRequest) -> HttpResponse:
    """Records of the device that the token is of."""
    return data.read_data(request, request.auth.device_id)


@router.post("/data", auth=device, summary="Send data", openapi_extra=RECORDS)
def send_own(request: ApiRequest) -> str:
    """Up to 10,000 records, all of which are stored, or none."""
    return data.send_data(request, request.auth.device_id)


@router.put("/data", auth=device, summary="Edit data", openapi_extra=RECORDS)
def edit_own(request: ApiRequest) -> str:
    """Records with their ids and what changes; mutable devices only."""
    return data.edit_data(request, request.auth.device_id)


@router.delete("/data", auth=device, summary="Delete data", openapi_extra=DATA_QUERY)
def delete_own(request: ApiRequest) -> str:
    """Deletes what a reading would return; mutable devices only."""
    return data.delete_data(request, request.auth.device_id)


@router.get("/device/{device_id}/data", auth=profile, summary="Read data", openapi_extra=DATA_QUERY)
def read(request: ApiRequest, device_id: str) -> HttpResponse:
    """Records of any device of the project."""
    return data.read_data(request, device_id)


@router.post("/device/{device_id}/data", auth=profile, summary="Send data", openapi_extra=RECORDS)
def send(request: ApiRequest, device_id: str) -> str:
    """Up to 10,000 records, all of which are stored, or none."""
    return data.send_data(request, device_id)


@router.put("/device/{device_id}/data", auth=profile, summary="Edit data", openapi_extra=RECORDS)
def edit(request: ApiRequest, device_id: str) -> str:
    """Records with their ids and what changes; mutable devices only."""
    return data.edit_data(request, device_id)


@router.delete(
    "/device/{device_id}/data", auth=profile, summary="Delete data", openapi_extra=DATA_QUERY
)
def delete(request: ApiRequest, device_id: str) -> str:
    """Deletes what a reading would return; mutable devices only."""
    return data.delete_data(request, device_id)


@router.get("/device/{device_id}/data_amount", auth=profile, summary="Count data")
@router.get("/bucket/{device_id}/data_amount", auth=profile, include_in_schema=False)
def amount(request: ApiRequest, device_id: str) -> int:
    """How many records a device has."""
    found = find_device(request.auth, device_id, [])
    return reading.count(request.auth.connection, found, Selection())


@router.post("/device/{device_id}/empty", auth=profile_deletes, summary="Delete all data")
def empty(request: ApiRequest, device_id: str) -> str:
    """Of mutable and immutable devices."""
    data.empty_device(request.auth, device_id)
    return "Data Successfully Removed"
