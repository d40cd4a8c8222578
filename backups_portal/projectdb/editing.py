"""Changing and deleting data records of a device."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from psycopg import Connection

from backups_portal.projectdb.ids import variable_number
from backups_portal.projectdb.reading import Device, by_variable, read_page
from backups_portal.projectdb.records import Record, RecordError, parse_record
from backups_portal.projectdb.selection import Selection, find
from backups_portal.projectdb.variables import MAX_RECORDS, delete_of_device, ensure_series

EDITABLE = ("value", "unit", "group", "time", "location", "metadata")
CLEARABLE = ("value", "unit", "location", "metadata")
PLACE = "series_id, time, id"


def edit_records(
    connection: Connection[Any], device: Device, items: Sequence[Mapping[str, Any]]
) -> int:
    """Change what each item names of the record with its id; returns how many there were.

    Args:
        device: With all of its series.
        items: {id, value?, unit?, group?, time?, location?, metadata?} each. All or none is done.

    Raises:
        RecordError: an item is none, or names a value that cannot be stored.
    """
    changes = _by_number(items, device.prefix)
    with connection.transaction():
        selection = Selection(numbers=tuple(changes))
        # Waits for other edits of the same device, so that none of them is lost.
        connection.execute("SELECT FROM device WHERE id = %s FOR NO KEY UPDATE", [device.id])
        known = read_page(connection, device, selection, limit=MAX_RECORDS).records
        edited = [_edited(orjson.loads(text), changes, device.prefix) for text in known]
        keys = {(record.variable, record.type, record.unit) for _, record in edited}
        series = ensure_series(connection, device.id, keys) if keys else {}
        _update(connection, device, [(number, series[item[:3]], item) for number, item in edited])
    return len(edited)


def _by_number(
    items: Sequence[Mapping[str, Any]], prefix: str
) -> dict[int, tuple[int, Mapping[str, Any]]]:
    if len(items) > MAX_RECORDS:
        raise RecordError(f"a request holds at most {MAX_RECORDS} records")
    changes = {}
    for position, item in enumerate(items):
        if not isinstance(item, Mapping) or not isinstance(item.get("id"), str):
            raise RecordError("a record must be an object with an id", index=position)
        number = variable_number(prefix, item["id"])
        if number is not None and number < 2**63:
            changes[number] = (position, item)
    return changes


def _edited(
    old: dict[str, Any], changes: Mapping[int, tuple[int, Mapping[str, Any]]], prefix: str
) -> tuple[int, Record]:
    number = variable_number(prefix, old["id"]) or 0
    position, item = changes[number]
    if "serie" in item and "group" not in item:
        item = {**item, "group": item["serie"]}
    # A record always has a time and a group; null empties the rest.
    named = {
        name: item[name]
        for name in EDITABLE
        if name in item and (item[name] is not None or name in CLEARABLE)
    }
    try:
        record = parse_record({**old, **named}, now=datetime.now(UTC), group=old["group"])
    except RecordError as error:
        raise RecordError(error.reason, index=position) from error
    return number, record


def _update(
    connection: Connection[Any], device: Device, rows: Sequence[tuple[int, int, Record]]
) -> None:
    connection.execute(
        """UPDATE variable
           SET series_id = new.series_id, time = new.time, number_value = new.number_value,
               text_value = new.text_value, group_key = new.group_key,
               location = point(new.longitude, new.latitude), metadata = new.metadata
           FROM unnest(%s::bigint[], %s::integer[], %s::timestamptz[], %s::float8[], %s::text[],
                       %s::text[], %s::float8[], %s::float8[], %s::json[])
                AS new (id, series_id, time, number_value, text_value, group_key, longitude,
                        latitude, metadata)
           WHERE variable.id = new.id AND variable.series_id = ANY(%s)""",
        [
            [number for number, _, _ in rows],
            [series for _, series, _ in rows],
            [record.time for _, _, record in rows],
            [record.number for _, _, record in rows],
            [record.text for _, _, record in rows],
            [record.group for _, _, record in rows],
            [record.location and record.location[0] for _, _, record in rows],
            [record.location and record.location[1] for _, _, record in rows],
            [record.metadata for _, _, record in rows],
            [item.id for item in device.series],
        ],
    )


def delete_records(
    connection: Connection[Any],
    device: Device,
    selection: Selection,
    *,
    limit: int,
    skip: int = 0,
    each: bool = False,
    order: str = "",
) -> int:
    """Delete the records that a reading would return; how many.

    Args:
        each: `limit` counts for each variable by itself.
        order: By which they are chosen; that of the selection unless given.
    """
    groups = by_variable(device.series) if each else [device.series]
    found = [
        find(group, selection, columns="variable.*", limit=limit, skip=skip, order=order,
             name=f"v{number}s")
        for number, group in enumerate(groups) if group
    ]  # fmt: skip
    if not found:
        return 0
    values: dict[str, Any] = {}
    for _, more in found:
        values |= more
    places = (f"(SELECT {PLACE} FROM ({text}) AS one)" for text, _ in found)  # noqa: S608
    together = " UNION ALL ".join(places)
    return connection.execute(
        f"DELETE FROM variable USING ({together}) AS gone"  # noqa: S608 - our own words
        " WHERE variable.series_id = gone.series_id AND variable.time = gone.time"
        " AND variable.id = gone.id",
        values,
    ).rowcount


def empty_device(connection: Connection[Any], device_id: str) -> int:
    """Delete all records of a device; returns how many there were."""
    return delete_of_device(connection, device_id)
