"""Serve chunks of immutable devices: data by day, week, month or quarter."""

import re
from datetime import UTC, datetime

from ninja import Router

from backups_portal.projectdb.devices import delete_chunk, list_chunks
from backups_portal.tagoio_api.auth.project_token_auth import ApiRequest, profile
from backups_portal.tagoio_api.data.device_data import find_device
from backups_portal.tagoio_api.envelope import ApiError, NotFoundError
from backups_portal.tagoio_api.resources.resource_kinds import Row

CHUNK = re.compile(r"(-?\d{1,12})_(-?\d{1,12})")

router = Router(tags=["Chunks"])


@router.get("/device/{device_id}/chunk", auth=profile, summary="List chunks")
def list_(request: ApiRequest, device_id: str) -> list[Row]:
    """List the periods in which an immutable device has data, and how much."""
    find_device(request.auth, device_id, [])
    return [
        {
            "id": f"{int(chunk.start.timestamp())}_{int(chunk.end.timestamp())}",
            "from": chunk.start,
            "to": chunk.end,
            "amount": chunk.amount,
        }
        for chunk in list_chunks(request.auth.connection, device_id)
    ]


@router.delete("/device/{device_id}/chunk/{chunk_id}", auth=profile, summary="Delete a chunk")
def delete(request: ApiRequest, device_id: str, chunk_id: str) -> str:
    """Delete all data of a period."""
    device = find_device(request.auth, device_id, [])
    if device.is_mutable:
        raise ApiError("A mutable device has no chunks")
    start, end = bounds_of(chunk_id)
    if not delete_chunk(request.auth.connection, device_id, start, end):
        raise NotFoundError("Chunk")
    return f"Chunk {chunk_id} deleted"


def bounds_of(chunk_id: str) -> tuple[datetime, datetime]:
    """Return the start of a chunk (inclusive) and its end (exclusive).

    Raises:
        NotFoundError: no chunk can have this id.
    """
    match = CHUNK.fullmatch(chunk_id)
    if match is None:
        raise NotFoundError("Chunk")
    try:
        start, end = (datetime.fromtimestamp(int(part), UTC) for part in match.groups())
    except (OverflowError, ValueError, OSError) as error:
        raise NotFoundError("Chunk") from error
    return start, end
