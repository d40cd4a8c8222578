"""Read, store, edit and delete the data of a device."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime

import orjson
import psycopg
from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest, HttpResponse

from backups_portal.lib.json_types import JsonObject
from backups_portal.projectdb import record_edits, record_reader
from backups_portal.projectdb.record_filter import Position, Window
from backups_portal.projectdb.record_reader import Device, as_array
from backups_portal.projectdb.record_writer import send
from backups_portal.tagoio_api.auth.project_token_auth import ApiRequest, Caller
from backups_portal.tagoio_api.data.data_queries import DataQuery, parse_data_query
from backups_portal.tagoio_api.envelope import ApiError, as_json, raw_success
from backups_portal.tagoio_api.requests.json_bodies import body_of
from backups_portal.tagoio_api.streams.events import publish_data

UNKNOWN = "Invalid Device ID"
# How long the position after a page is kept.
POSITION_SECONDS = 900
TOO_MANY = "These variables have more than {most} records in all: name fewer of them"
TOO_MANY_INTERVALS = (
    "These records are in more than {most} intervals: choose a longer interval or a shorter period"
)
TOO_LARGE = "The numbers come to more than double precision holds"


def find_device(caller: Caller, device_id: str, variables: list[str]) -> Device:
    """Find a device of the caller's project with its series.

    Raises:
        UnknownDeviceError: the project has no such device.
    """
    return record_reader.find_device(
        caller.connection, device_id, prefix=caller.project.prefix, variables=variables
    )


def read_data(request: ApiRequest, device_id: str) -> HttpResponse:
    """Read the data that the query string asks for."""
    caller = request.auth
    asked = parse_data_query(request.META["QUERY_STRING"], caller.project.prefix)
    if asked.takes_one:
        return raw_success(as_array(_one_each(caller, device_id, asked)))
    device = find_device(caller, device_id, asked.variables)
    if answer := ANSWERS.get(asked.query):
        try:
            return raw_success(as_json(answer(caller, device, asked)))
        except psycopg.errors.NumericValueOutOfRange as error:
            raise ApiError(TOO_LARGE) from error
    return raw_success(as_array(_records(request, device, asked)))


def _one_each(caller: Caller, device_id: str, asked: DataQuery) -> list[str]:
    """Read one record per variable in one statement; dashboards poll this."""
    records = record_reader.read_one_each(
        caller.connection,
        device_id,
        asked.selection,
        prefix=caller.project.prefix,
        wanted=record_reader.Wanted(asked.variables, asked.types),
        order=asked.order,
    )
    if not records:
        find_device(caller, device_id, [])
    return _limited(records)


def _limited(records: list[str]) -> list[str]:
    if len(records) > record_reader.MAX_TOGETHER:
        raise ApiError(TOO_MANY.format(most=record_reader.MAX_TOGETHER))
    return records


def _records(request: ApiRequest, device: Device, asked: DataQuery) -> list[str]:
    connection = request.auth.connection
    if asked.counts_each:
        return _limited(
            record_reader.read_each(connection, device, asked.selection, limit=asked.limit)
        )
    if asked.skip is None:
        return record_reader.read_page(connection, device, asked.selection, limit=asked.limit)
    return _next_page(request, device, asked, asked.skip)


def _next_page(request: ApiRequest, device: Device, asked: DataQuery, skip: int) -> list[str]:
    """Read the page that begins where the previous one ended.

    Clients page by `skip`, the number of records that they have received. Skipping rows costs more
    with each page, and a record that is stored or deleted meanwhile shifts all later ones, so that
    a client would get one twice or miss one. Therefore the position after a page is kept for a
    while under the number of records up to it. If it is unknown, rows are skipped.
    """
    caller, selection = request.auth, asked.selection
    reading = _reading(request, device, asked)
    found = cache.get(f"{reading}:{skip}") if skip else None
    after = Position(*found) if found else None
    records = record_reader.read_page(
        caller.connection,
        device,
        replace(selection, after=after) if after else selection,
        limit=asked.limit,
        skip=0 if after else skip,
    )
    if records:
        last = record_reader.position_of(records[-1], caller.project.prefix)
        cache.set(f"{reading}:{skip + len(records)}", tuple(last), POSITION_SECONDS)
    return records


def _reading(request: ApiRequest, device: Device, asked: DataQuery) -> str:
    """Name a reading by its client and query, whatever page it is at."""
    # Not the raw X-Forwarded-For: some proxies add a port, which changes with each request.
    reader = request.META.get("REMOTE_ADDR", "")
    query = repr((asked.variables, asked.selection))
    parts = orjson.dumps((request.auth.token.id, reader, device.id, query))
    return f"api:page:{hashlib.sha256(parts).hexdigest()[:32]}"


def _count(caller: Caller, device: Device, asked: DataQuery) -> int:
    return record_reader.count(caller.connection, device, asked.selection)


def _one_number(caller: Caller, device: Device, asked: DataQuery) -> list[JsonObject]:
    if asked.selection.start is None:
        raise ApiError("start_date field is required")
    value = record_reader.aggregate(caller.connection, device, asked.selection, asked.query)
    # An array of one, because the Python SDK cannot read a bare fraction.
    end = asked.selection.end or datetime.now(UTC)
    return [] if value is None else [{"time": end, "value": value}]


def _numbers(caller: Caller, device: Device, asked: DataQuery) -> list[JsonObject]:
    if asked.interval not in record_reader.INTERVALS:
        raise ApiError(f"interval must be one of {', '.join(record_reader.INTERVALS)}")
    if asked.function not in record_reader.AGGREGATES:
        raise ApiError(f"function must be one of {', '.join(record_reader.AGGREGATES)}")
    found = record_reader.aggregate_by(
        caller.connection,
        device,
        asked.selection,
        function=asked.function,
        interval=asked.interval,
    )
    if len(found) > record_reader.MAX_BUCKETS:
        raise ApiError(TOO_MANY_INTERVALS.format(most=record_reader.MAX_BUCKETS))
    return [{"time": time, "value": value} for time, value in found]


ANSWERS: dict[str, Callable[[Caller, Device, DataQuery], object]] = {
    "count": _count,
    "avg": _one_number,
    "sum": _one_number,
    "aggregate": _numbers,
}


def send_data(request: ApiRequest, device_id: str) -> str:
    """Store the records in the body, all or none."""
    items = _items(request)
    count = send(
        request.auth.connection,
        device_id=device_id,
        records=items,
        most=settings.MUTABLE_DEVICE_ROWS,
    )
    if not count:
        find_device(request.auth, device_id, [])
    else:
        publish_data(request.auth.project.prefix, device_id, items)
    return f"{count} Data Added"


def edit_data(request: ApiRequest, device_id: str) -> str:
    """Edit the records in the body; mutable devices only."""
    items = _items(request)
    device = find_device(request.auth, device_id, [])
    if not device.is_mutable:
        raise ApiError("You cannot edit data on immutable device")
    count = record_edits.edit_records(request.auth.connection, device, items)
    return f"{count} item(s) updated"


def delete_data(request: ApiRequest, device_id: str) -> str:
    """Delete the records that reading with the same query string would return."""
    caller = request.auth
    asked = parse_data_query(request.META["QUERY_STRING"], caller.project.prefix)
    if asked.query in ANSWERS:
        raise ApiError(f"Invalid query: {asked.query}")
    device = find_device(caller, device_id, asked.variables)
    if not device.is_mutable:
        raise ApiError("Data in immutable devices cannot be deleted")
    count = record_edits.delete_records(
        caller.connection,
        device.of_types(asked.types),
        asked.selection,
        window=Window(1) if asked.takes_one else Window(asked.limit, asked.skip or 0),
        each=asked.takes_one or asked.counts_each,
        order=asked.order,
    )
    return f"{count} Data Removed"


def _items(request: HttpRequest) -> list[JsonObject]:
    body = body_of(request)
    if isinstance(body, list):
        return body
    if isinstance(body, dict) and body:
        return [body]
    raise ApiError("The body must be a record, or an array of records")
