"""Queue CSV exports and imports of devices, with files of the project."""

import time
from datetime import UTC, datetime

from ninja import Router
from pydantic import Field

from backups_portal.lib.leased_job import send_on_commit
from backups_portal.projectdb.files import find_file
from backups_portal.tagoio_api.auth.project_token_auth import ApiRequest, Caller, profile
from backups_portal.tagoio_api.data.device_data import find_device
from backups_portal.tagoio_api.envelope import NotFoundError
from backups_portal.tagoio_api.files.multipart_uploads import MAX_PATH, clean_path
from backups_portal.tagoio_api.requests.json_bodies import Body
from backups_portal.tagoio_api.resources.resource_kinds import Row
from backups_portal.tagoio_api.routes.chunks import bounds_of
from backups_portal.transfers.models import CsvRequest
from backups_portal.transfers.tasks import run_csv

Work = CsvRequest.Work
router = Router(tags=["CSV files"])


class Export(Body):
    """Where to write a file.

    `$DEVICE$`, `$FROM$`, `$TO$`, `$TIMESTAMP$` and a chunk's `$CHUNK$`, `$CHUNK_START$` and
    `$CHUNK_END$` are filled in.
    """

    file_address: str = Field(min_length=1, max_length=MAX_PATH)
    headers: bool = True
    chunk_id: str | None = Field(None, max_length=100)


class Import(Body):
    """The file to read, and whether to store rows that the device already has."""

    file_address: str = Field(min_length=1, max_length=MAX_PATH)
    duplicates: bool = False


def _export(request: ApiRequest, device_id: str, body: Export) -> Row:
    caller = request.auth
    find_device(caller, device_id, [])
    between = bounds_of(body.chunk_id) if body.chunk_id else None
    path = clean_path(_filled(body, device_id, between))
    since, until = between or (None, None)
    period = {"headers": body.headers, "since": since, "until": until}
    _queue(caller, Work.EXPORT, device_id, path, **period)
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
    """Export any device; the file appears once a worker has written it."""
    return _export(request, device_id, body)


@router.post("/device/{device_id}/chunk/backup", auth=profile, summary="Export a chunk as CSV")
@router.post("/device/{device_id}/chunk/copy", auth=profile, include_in_schema=False)
def export_chunk(request: ApiRequest, device_id: str, body: Export) -> Row:
    """Export a chunk, or all if none is named."""
    return _export(request, device_id, body)


@router.post("/device/{device_id}/data/restore", auth=profile, summary="Import data from CSV")
def import_data(request: ApiRequest, device_id: str, body: Import) -> str:
    """Import all lines of the file, or none.

    A file beside it whose name ends in `.errors.txt` says what is wrong. Rows that the device has
    already are skipped, unless `duplicates` is true; a file whose name ends in `.skipped.txt` says
    how many.
    """
    caller = request.auth
    find_device(caller, device_id, [])
    path = clean_path(body.file_address)
    if find_file(caller.connection, path) is None:
        raise NotFoundError("File")
    _queue(caller, Work.IMPORT, device_id, path, again=body.duplicates)
    return "Data import added to the queue successfully!"


def _queue(caller: Caller, work: str, device_id: str, path: str, **options: object) -> None:
    asked = {"device": device_id, "path": path, "token": caller.token.id, **options}
    request = CsvRequest.objects.create(project=caller.project, work=work, **asked)
    send_on_commit(run_csv, request.pk)
