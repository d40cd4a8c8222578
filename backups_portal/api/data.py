"""The data of a device: read, sent, edited and deleted, whichever token came with the request."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import orjson
from django.conf import settings
from django.http import HttpRequest, HttpResponse

from backups_portal.api import bookmarks
from backups_portal.api.bodies import body_of
from backups_portal.api.dataevents import tell_of_data
from backups_portal.api.dataqueries import DataQuery, parse_data_query
from backups_portal.api.envelope import ApiError, as_json, raw_success
from backups_portal.api.identity import ApiRequest, Caller
from backups_portal.projectdb import editing, reading
from backups_portal.projectdb.reading import Device, Page
from backups_portal.projectdb.records import RecordError
from backups_portal.projectdb.variables import UnknownDeviceError, send

UNKNOWN = "Invalid Device ID"


def find_device(caller: Caller, device_id: str, variables: list[str]) -> Device:
    """A device of the caller's project with its series.

    Raises:
        ApiError: there is none.
    """
    try:
        return reading.find_device(
            caller.connection, device_id, prefix=caller.project.prefix, variables=variables
        )
    except UnknownDeviceError as error:
        raise unknown_device() from error


def unknown_device() -> ApiError:
    """The device is not the project's."""
    return ApiError(UNKNOWN, HTTPStatus.NOT_FOUND)


def read_data(request: ApiRequest, device_id: str) -> HttpResponse:
    """What the query string asks for."""
    caller = request.auth
    asked = parse_data_query(request.META["QUERY_STRING"], caller.project.prefix)
    if asked.takes_one:
        return raw_success(_one_each(caller, device_id, asked).as_json())
    device = find_device(caller, device_id, asked.variables)
    if asked.query in ANSWERS:
        return raw_success(as_json(ANSWERS[asked.query](caller, device, asked)))
    return raw_success(_records(request, device, asked).as_json())


def _one_each(caller: Caller, device_id: str, asked: DataQuery) -> Page:
    """One record of each variable: what dashboards ask for all day, so in one statement."""
    page = reading.read_one_each(
        caller.connection,
        device_id,
        asked.selection,
        prefix=caller.project.prefix,
        variables=asked.variables,
        types=asked.types,
        order=asked.order,
    )
    if not page.records:
        find_device(caller, device_id, [])
    return page


def _records(request: ApiRequest, device: Device, asked: DataQuery) -> Page:
    connection = request.auth.connection
    if asked.counts_each:
        return reading.read_each(connection, device, asked.selection, limit=asked.limit)
    if asked.skip is None:
        return reading.read_page(connection, device, asked.selection, limit=asked.limit)
    return _next_page(request, device, asked, asked.skip)


def _next_page(request: ApiRequest, device: Device, asked: DataQuery, skip: int) -> Page:
    """The page behind `skip` records: behind the very record at which the one before ended."""
    caller, selection = request.auth, asked.selection
    name = _name(request, device, asked)
    after = bookmarks.recall(name, skip) if skip else None
    page = reading.read_page(
        caller.connection,
        device,
        replace(selection, after=after) if after else selection,
        limit=asked.limit,
        skip=0 if after else skip,
    )
    if page.records:
        last = reading.position_of(orjson.loads(page.records[-1]), caller.project.prefix)
        bookmarks.remember(name, skip + len(page.records), last)
    return page


def _name(request: HttpRequest, device: Device, asked: DataQuery) -> str:
    caller: Caller = request.auth  # type: ignore[attr-defined]
    reader = request.META.get("HTTP_X_FORWARDED_FOR") or request.META.get("REMOTE_ADDR", "")
    return bookmarks.name_of(
        caller.token.id, reader, device.id, repr((asked.variables, asked.selection))
    )


def _count(caller: Caller, device: Device, asked: DataQuery) -> int:
    return reading.count(caller.connection, device, asked.selection)


def _one_number(caller: Caller, device: Device, asked: DataQuery) -> list[dict[str, Any]]:
    if asked.selection.start is None:
        raise ApiError("start_date field is required")
    value = reading.aggregate(caller.connection, device, asked.selection, asked.query)
    # An array of one: the Python SDK cannot read a bare fraction.
    end = asked.selection.end or datetime.now(UTC)
    return [] if value is None else [{"time": end, "value": value}]


def _numbers(caller: Caller, device: Device, asked: DataQuery) -> list[dict[str, Any]]:
    if asked.interval not in reading.INTERVALS:
        raise ApiError(f"interval must be one of {', '.join(reading.INTERVALS)}")
    if asked.function not in reading.AGGREGATES:
        raise ApiError(f"function must be one of {', '.join(reading.AGGREGATES)}")
    found = reading.aggregate_by(
        caller.connection,
        device,
        asked.selection,
        function=asked.function,
        interval=asked.interval,
    )
    return [{"time": time, "value": value} for time, value in found]


ANSWERS: dict[str, Callable[[Caller, Device, DataQuery], Any]] = {
    "count": _count,
    "avg": _one_number,
    "sum": _one_number,
    "aggregate": _numbers,
}


def send_data(request: ApiRequest, device_id: str) -> str:
    """Store the records of the body: all of them, or none."""
    items = _items(request)
    try:
        count = send(
            request.auth.connection,
            device_id=device_id,
            records=items,
            most=settings.MUTABLE_DEVICE_ROWS,
        )
    except UnknownDeviceError as error:
        raise unknown_device() from error
    except RecordError as error:
        raise ApiError(_message(error)) from error
    if not count:
        find_device(request.auth, device_id, [])
    else:
        tell_of_data(request.auth.project.prefix, device_id, items)
    return f"{count} Data Added"


def edit_data(request: ApiRequest, device_id: str) -> str:
    """Change the records of the body."""
    items = _items(request)
    device = find_device(request.auth, device_id, [])
    if not device.is_mutable:
        raise ApiError("You cannot edit data on immutable device")
    try:
        count = editing.edit_records(request.auth.connection, device, items)
    except RecordError as error:
        raise ApiError(_message(error)) from error
    return f"{count} item(s) updated"


def delete_data(request: ApiRequest, device_id: str) -> str:
    """Delete what a reading with the same query string would return."""
    caller = request.auth
    asked = parse_data_query(request.META["QUERY_STRING"], caller.project.prefix)
    if asked.query in ANSWERS:
        raise ApiError(f"Invalid query: {asked.query}")
    device = find_device(caller, device_id, asked.variables)
    if not device.is_mutable:
        raise ApiError("Data in immutable devices cannot be deleted")
    count = editing.delete_records(
        caller.connection,
        device.of_types(asked.types),
        asked.selection,
        limit=1 if asked.takes_one else asked.limit,
        skip=0 if asked.takes_one else asked.skip or 0,
        each=asked.takes_one or asked.counts_each,
        order=asked.order,
    )
    return f"{count} Data Removed"


def empty_device(caller: Caller, device_id: str) -> None:
    """Delete all data of a device, of whatever type it is."""
    find_device(caller, device_id, [])
    editing.empty_device(caller.connection, device_id)


def _items(request: HttpRequest) -> list[Any]:
    body = body_of(request)
    if isinstance(body, list):
        return body
    if isinstance(body, dict) and body:
        return [body]
    raise ApiError("The body must be a record, or an array of records")


def _message(error: RecordError) -> str:
    return str(error)[:1].upper() + str(error)[1:]
