"""CSV files of devices: exported into the project's files, and imported from them, by a worker."""

import logging
import time
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from celery import Task
from celery.exceptions import OperationalError
from ninja import Router
from pydantic import Field

from backups_portal.api.bodies import Body
from backups_portal.api.data import find_device
from backups_portal.api.envelope import ApiError, NotFoundError
from backups_portal.api.identity import ApiRequest, profile
from backups_portal.api.kinds import Row
from backups_portal.api.routes.chunks import bounds_of
from backups_portal.api.tasks import export_file, import_file
from backups_portal.api.uploads import LONGEST_PATH, clean_path
from backups_portal.projectdb.files import find_file
from backups_portal.projectdb.ids import new_resource_id

log = logging.getLogger(__name__)

router = Router(tags=["CSV files"])


class Export(Body):
    """Where to, with `$DEVICE$`, `$FROM$`, `$TO$`, `$TIMESTAMP$` and a chunk's `$CHUNK$`,
    `$CHUNK_START$` and `$CHUNK_END$` filled in."""

    file_address: str = Field(min_length=1, max_length=LONGEST_PATH)
    headers: bool = True
    chunk_id: str | None = Field(None, max_length=100)


class Import(Body):
    """Where from."""

    file_address: str = Field(min_length=1, max_length=LONGEST_PATH)


def _export(request: ApiRequest, device_id: str, body: Export) -> Row:
    caller = request.auth
    find_device(caller, device_id, [])
    between = bounds_of(body.chunk_id) if body.chunk_id else None
    path = clean_path(_filled(body, device_id, between))
    _send(
        export_file,
        str(caller.project.pk),
        device_id,
        path,
        body.headers,
        [moment.isoformat() for moment in between] if between else None,
    )
    chunk = {"chunk_id": body.chunk_id} if body.chunk_id else {}
    return {"file_address": path, **chunk, "status": "scheduled"}


def _filled(body: Export, device_id: str, between: tuple[datetime, datetime] | None) -> str:
    now = datetime.now(UTC)
    start, end = between or (datetime.fromtimestamp(0, UTC), now)
    path = body.file_address
    for key, value in {
        "$DEVICE$": device_id,
        "$CHUNK$": body.chunk_id or "",
        "$FROM$": f"{start:%Y-%m-%d}",
        "$TO$": f"{end:%Y-%m-%d}",
        "$TIMESTAMP$": str(int(time.time() * 1000)),
        "$CHUNK_START$": f"{start:%Y-%m-%d}",
        "$CHUNK_END$": f"{end:%Y-%m-%d}",
    }.items():
        path = path.replace(key, value)
    return path if path.endswith(".csv") else f"{path}.csv"


@router.post("/device/{device_id}/data/backup", auth=profile, summary="Export data as CSV")
def export_data(request: ApiRequest, device_id: str, body: Export) -> Row:
    """Of a device of any type. The file appears once a worker has written it."""
    return _export(request, device_id, body)


@router.post("/device/{device_id}/chunk/backup", auth=profile, summary="Export a chunk as CSV")
@router.post("/device/{device_id}/chunk/copy", auth=profile, include_in_schema=False)
def export_chunk(request: ApiRequest, device_id: str, body: Export) -> Row:
    """The same under the addresses that clients use for chunks; without one, all of them."""
    return _export(request, device_id, body)


@router.post("/device/{device_id}/data/restore", auth=profile, summary="Import data from CSV")
def import_data(request: ApiRequest, device_id: str, body: Import) -> str:
    """All lines of the file, or none: what is wrong is then said in a file beside it, whose name
    ends in `.errors.txt`."""
    caller = request.auth
    find_device(caller, device_id, [])
    path = clean_path(body.file_address)
    if find_file(caller.connection, path) is None:
        raise NotFoundError("File")
    _send(import_file, str(caller.project.pk), new_resource_id(), device_id, path)
    return "Data import added to the queue successfully!"


def _send(task: "Task[Any, None]", *arguments: Any) -> None:
    try:
        task.delay(*arguments)
    except OperationalError as error:
        log.exception("a job cannot be queued task=%s", task.name)
        raise ApiError(
            "Jobs cannot be queued at the moment", HTTPStatus.SERVICE_UNAVAILABLE
        ) from error
