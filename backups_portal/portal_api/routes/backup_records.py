"""Devices inside backups and their records, read from segments."""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Annotated, Any, Literal

from django.http import Http404
from ninja import Field, Query, Router, Schema

from backups_portal.access_tokens.scopes import Scope
from backups_portal.portal_api import record_schemas, schemas
from backups_portal.portal_api.permissions import backup_of, owned
from backups_portal.portal_api.problem_details import ProblemError
from backups_portal.portal_api.routes.backups import BACKUP
from backups_portal.portal_api.token_auth import ApiRequest, Needs
from backups_portal.projectdb.stored_json import load_json
from snapshots.engine.errors import EngineError
from snapshots.engine.record_rows import Record, records_of
from snapshots.engine.series_search import Cursor, Selection, Series, micros
from snapshots.models import Snapshot
from snapshots.reports.contents import DeviceLine, recall_inside, search_devices
from snapshots.reports.device_reading import (
    READERS,
    UnknownDeviceError,
    find_obstacle,
    note_look,
    open_device,
)

router = Router(tags=["Backups"])
MAX_RECORDS = 1_000
WRONG_CURSOR = "Send a cursor as a page before gave it."


class Wanted(Schema):
    """Which records are asked for."""

    variable: schemas.Text | None = Field(None, description="Its name; null for all")
    type: Literal["number", "string", "boolean", "none"] | None = Field(
        None, description="Type of the value; null for all"
    )
    since: schemas.Moment | None = Field(None, description="From this time on")
    until: schemas.Moment | None = Field(None, description="Before this time")
    group: schemas.Text | None = Field(None, description="Only records of this group")
    cursor: schemas.Text | None = Field(None, description="Of the page before")
    limit: int = Field(100, ge=1, le=MAX_RECORDS, description="Records per page")


class WantedDevices(Schema):
    """Which devices are asked for."""

    q: schemas.Text = Field("", description="Part of the name or id, in any case")
    cursor: schemas.Text | None = Field(None, description="Of the page before")
    limit: int = Field(100, ge=1, le=MAX_RECORDS, description="Devices per page")


@router.get(f"{BACKUP}/devices", auth=Needs(Scope.RECORDS_READ), response=record_schemas.Devices)
def list_devices(
    request: ApiRequest, slug: str, backup_id: uuid.UUID, wanted: Annotated[WantedDevices, Query()]
) -> record_schemas.Devices:
    """List the devices inside a backup, by name."""
    snapshot = _stored(backup_of(owned(request, slug), backup_id))
    with _problems(snapshot), READERS.entered():
        devices = [one for one in recall_inside(snapshot).devices if one.device_id]
    found = search_devices(devices, wanted.q)
    start = _after(found, wanted.cursor)
    page = found[start : start + wanted.limit]
    same = ("name", "variables", "rows", "first", "last")
    items = [
        record_schemas.Device(id=one.device_id, **{name: getattr(one, name) for name in same})
        for one in page
    ]
    has_more = start + wanted.limit < len(found)
    return record_schemas.Devices(items=items, cursor=page[-1].device_id if has_more else None)


def _after(devices: Sequence[DeviceLine], cursor: str | None) -> int:
    """Return the index after the last device of the previous page."""
    if cursor is None:
        return 0
    ids = [device.device_id for device in devices]
    if cursor not in ids:
        raise ProblemError.of_field("cursor", WRONG_CURSOR)
    return ids.index(cursor) + 1


@router.get(
    f"{BACKUP}/devices/{{str:device_id}}/records",
    auth=Needs(Scope.RECORDS_READ),
    response=record_schemas.Records,
)
def list_records(
    request: ApiRequest,
    slug: str,
    backup_id: uuid.UUID,
    device_id: str,
    wanted: Annotated[Wanted, Query()],
) -> record_schemas.Records:
    """List the records of a device inside a backup, newest first."""
    before = _place(wanted.cursor)
    snapshot = _stored(backup_of(owned(request, slug), backup_id))
    with _problems(snapshot), READERS.entered():
        opened = open_device(snapshot, device_id)
        selection = _selection(wanted, opened.records.series)
        page = opened.records.newest(selection, before=before, limit=wanted.limit)
        items = [_shown(one) for one in records_of(page.rows, selection.series, opened.prefix)]
    note_look(snapshot, request.auth.account, opened.device)
    return record_schemas.Records(items=items, cursor=str(page.after) if page.after else None)


def _stored(snapshot: Snapshot) -> Snapshot:
    if snapshot.state != Snapshot.State.COMPLETED:
        raise ProblemError(HTTPStatus.CONFLICT, "This backup is not stored.")
    return snapshot


@contextmanager
def _problems(snapshot: Snapshot) -> Iterator[None]:
    """Turn errors of reading a backup into answers that explain them."""
    try:
        yield
    except UnknownDeviceError as error:
        raise Http404("no such device") from error
    except EngineError as error:
        found = find_obstacle(snapshot, error)
        status = HTTPStatus.SERVICE_UNAVAILABLE if found.is_passing else HTTPStatus.CONFLICT
        raise ProblemError(status, str(found), cause=str(error.cause)) from error


def _place(cursor: str | None) -> Cursor | None:
    try:
        return None if cursor is None else Cursor.parse(cursor)
    except ValueError as error:
        raise ProblemError.of_field("cursor", WRONG_CURSOR) from error


def _selection(wanted: Wanted, series: tuple[Series, ...]) -> Selection:
    chosen = (
        one
        for one in series
        if wanted.variable in (None, one.variable) and wanted.type in (None, one.type)
    )
    return Selection(tuple(chosen), micros(wanted.since), micros(wanted.until), wanted.group or "")


def _shown(record: Record) -> record_schemas.Record:
    location = None
    if record.latitude is not None and record.longitude is not None:
        location = record_schemas.Location(latitude=record.latitude, longitude=record.longitude)
    metadata: Any = load_json(record.metadata) if record.metadata else None
    same = ("id", "variable", "type", "value", "unit", "group", "time")
    return record_schemas.Record(
        **{name: getattr(record, name) for name in same}, location=location, metadata=metadata
    )
