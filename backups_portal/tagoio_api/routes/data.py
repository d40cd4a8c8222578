"""Serve the data of a device, to device tokens and profile tokens."""

from django.http import HttpResponse
from ninja import Router

from backups_portal.projectdb import record_reader
from backups_portal.projectdb.record_filter import Selection
from backups_portal.projectdb.record_writer import delete_of_device
from backups_portal.tagoio_api.auth.project_token_auth import (
    ApiRequest,
    device,
    profile,
    profile_deletes,
)
from backups_portal.tagoio_api.data import device_data
from backups_portal.tagoio_api.data.device_data import find_device
from backups_portal.tagoio_api.openapi import DATA_QUERY, EDITED_RECORDS, RECORDS

router = Router(tags=["Data"])


@router.get("/data", auth=device, summary="Read data", openapi_extra=DATA_QUERY)
def read_own(request: ApiRequest) -> HttpResponse:
    """Read records of the token's device."""
    return device_data.read_data(request, request.auth.device_id)


@router.post("/data", auth=device, summary="Send data", openapi_extra=RECORDS)
def send_own(request: ApiRequest) -> str:
    """Store up to 10,000 records: all of them, or none."""
    return device_data.send_data(request, request.auth.device_id)


@router.put("/data", auth=device, summary="Edit data", openapi_extra=EDITED_RECORDS)
def edit_own(request: ApiRequest) -> str:
    """Edit records by their ids; mutable devices only."""
    return device_data.edit_data(request, request.auth.device_id)


@router.delete("/data", auth=device, summary="Delete data", openapi_extra=DATA_QUERY)
def delete_own(request: ApiRequest) -> str:
    """Delete what a reading would return; mutable devices only."""
    return device_data.delete_data(request, request.auth.device_id)


@router.get("/device/{device_id}/data", auth=profile, summary="Read data", openapi_extra=DATA_QUERY)
def read(request: ApiRequest, device_id: str) -> HttpResponse:
    """Read records of any device of the project."""
    return device_data.read_data(request, device_id)


@router.post("/device/{device_id}/data", auth=profile, summary="Send data", openapi_extra=RECORDS)
def send(request: ApiRequest, device_id: str) -> str:
    """Store up to 10,000 records: all of them, or none."""
    return device_data.send_data(request, device_id)


@router.put(
    "/device/{device_id}/data", auth=profile, summary="Edit data", openapi_extra=EDITED_RECORDS
)
def edit(request: ApiRequest, device_id: str) -> str:
    """Edit records by their ids; mutable devices only."""
    return device_data.edit_data(request, device_id)


@router.delete(
    "/device/{device_id}/data", auth=profile, summary="Delete data", openapi_extra=DATA_QUERY
)
def delete(request: ApiRequest, device_id: str) -> str:
    """Delete what a reading would return; mutable devices only."""
    return device_data.delete_data(request, device_id)


@router.get("/device/{device_id}/data_amount", auth=profile, summary="Count data")
@router.get("/bucket/{device_id}/data_amount", auth=profile, include_in_schema=False)
def amount(request: ApiRequest, device_id: str) -> int:
    """Count the records of a device."""
    found = find_device(request.auth, device_id, [])
    return record_reader.count(request.auth.connection, found, Selection())


@router.post("/device/{device_id}/empty", auth=profile_deletes, summary="Delete all data")
def empty(request: ApiRequest, device_id: str) -> str:
    """Delete all data of a mutable or immutable device."""
    find_device(request.auth, device_id, [])
    delete_of_device(request.auth.connection, device_id)
    return "Data Successfully Removed"
